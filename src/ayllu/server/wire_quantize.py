"""Requests and answers of the routes for quantizing, which are ours."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from ayllu.gguf.evaluate import LARGEST_CONTEXT, LEAST_CONTEXT
from ayllu.server.schemas import Name

CHUNKS = 40
MAX_CHUNKS = 1 << 20

Context = Annotated[int, Meta(ge=LEAST_CONTEXT, le=LARGEST_CONTEXT)]


class PerplexityRequest(Struct, frozen=True):
    """POST /api/perplexity. Without a text, the one that ships with Ayllu is read."""

    model: Name = ""
    text: str | None = None
    context: Context | None = None
    chunks: Annotated[int, Meta(ge=1, le=MAX_CHUNKS)] = CHUNKS
    stream: bool = True


class PerplexityLine(Struct, frozen=True, omit_defaults=True):
    """A line of its answer: how many chunks were read. The last one alone has what comes after.

    `size` is that of the model's own file, in bytes.
    """

    status: str
    total: int = 0
    completed: int = 0
    unit: str = ""
    perplexity: float = 0
    perplexity_error: float = 0
    tokens: int = 0
    context: int = 0
    quantization: str = ""
    size: int = 0
    bits_per_weight: float = 0


class QuantizationsRequest(Struct, frozen=True):
    """POST /api/quantizations."""

    model: Name = ""
    context: Context | None = None


class Quantization(Struct, frozen=True, kw_only=True):
    """What a model would be in a type: sizes in bytes, `memory` with the context.

    `fits` tells of all the machine's memory, `fits_now` of what is free.
    """

    type: str
    size: int
    bits_per_weight: float
    memory: int
    fits: bool
    fits_now: bool
    needs_imatrix: bool


class QuantizationsResponse(Struct, frozen=True, kw_only=True):
    """The answer of /api/quantizations, the largest first; `recommended` is empty if none fits."""

    model: str
    quantization: str
    size: int
    bits_per_weight: float
    context: int
    memory_total: int
    memory_available: int
    recommended: str
    types: tuple[Quantization, ...]
