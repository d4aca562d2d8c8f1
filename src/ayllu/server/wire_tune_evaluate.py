"""Request and answer of /api/tune/evaluate, which is ours."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from ayllu.server.schemas import Name
from ayllu.tune.evaluate import Figures, Sample

EXAMPLES, ANSWERS, LONGEST = 200, 20, 256


class EvaluateRequest(Struct, frozen=True, kw_only=True):
    """POST /api/tune/evaluate. `data` maps relative paths to digests of blobs.

    Without data, the examples count that the model's own training held back. Without `base`, the
    model counts that it was trained from. At most `examples` are read, the first `answers` of them
    answered in at most `longest` tokens. `context` cuts longer examples, 0 leaves that to the data.
    """

    model: Name = ""
    base: str = ""
    data: dict[str, str] = {}
    examples: Annotated[int, Meta(ge=1, le=1 << 20)] = EXAMPLES
    answers: Annotated[int, Meta(ge=0, le=1 << 20)] = ANSWERS
    longest: Annotated[int, Meta(ge=1, le=1 << 16)] = LONGEST
    context: Annotated[int, Meta(ge=0, lt=1 << 31)] = 0
    strict: bool = False
    stream: bool = True


class EvaluateLine(Struct, frozen=True, omit_defaults=True):
    """A line of its answer: what is done, in `unit`s. The last one alone has what comes after."""

    status: str
    total: int = 0
    completed: int = 0
    unit: str = ""
    examples: int = 0
    base: Figures | None = None
    tuned: Figures | None = None
    samples: tuple[Sample, ...] = ()
