"""From rows to tokens: what a training reads. (Its making follows.)"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

from msgspec import Struct

from ayllu.gguf.tool import Step
from ayllu.models.model import Model
from ayllu.runner.pool import Pool
from ayllu.trainer.spec import Settings
from ayllu.tune.data import BadRow, Data


class Segment(Struct, frozen=True):
    """A part of an example: `tokens` of them, which all count for the loss, or none does."""

    text: str
    trained: bool
    tokens: int


class Sample(Struct, frozen=True):
    """An example as the model will see it, and the row that it is made of."""

    file: str
    line: int
    segments: tuple[Segment, ...]


class Prepared(Struct, frozen=True, kw_only=True):
    """What was written to `examples.npz`, and what was not.

    `examples` are all, `held` of them for validation. `bad` are the first of the `bad_count` rows
    that were left out. `truncated` examples lost their ends to `context`, `dropped` ones would have
    lost all that is to be learned. `tokens` are of all examples, `trained_tokens` those whose
    prediction counts, `longest` is the longest example's count. `context` is the one asked for, or
    the one that suits the data.
    """

    examples: int
    held: int
    rows: int
    shapes: dict[str, int]
    bad: tuple[BadRow, ...]
    bad_count: int
    truncated: int
    dropped: int
    tokens: int
    trained_tokens: int
    longest: int
    context: int
    digest: str
    samples: tuple[Sample, ...]


async def prepare(
    pool: Pool,
    model: Model,
    data: Data,
    settings: Settings,
    folder: Path,
    *,
    system: str | None = None,
    strict: bool = False,
) -> AsyncGenerator[Step | Prepared]:
    """Render and tokenize the data as the model is served, and write `examples.npz` to a folder.

    Steps count rows; what was made comes last. Of the `settings`, `context`, `validation` and
    `seed` count. `system` is the system prompt of the model that is to be; None: that of the
    `model`. Raises BadRequestError where too little is left.
    """
    raise NotImplementedError
    yield
