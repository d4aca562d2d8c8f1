"""Texts to vectors: tokenized, cut to the context, pooled by the engine, cut to dimensions."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from msgspec import Struct

from ayllu.errors import BadRequestError, EngineError
from ayllu.models.model import Model
from ayllu.runner.client import RunnerClient
from ayllu.runner.pool import Pool
from ayllu.types import Options

_SMALLEST_NORM = 1e-12


class Embeddings(Struct, frozen=True):
    """A vector of unit length per text; durations in nanoseconds, `tokens` over all texts."""

    vectors: list[list[float]]
    tokens: int
    total_duration: int
    load_duration: int


async def embed_texts(
    pool: Pool,
    model: Model,
    texts: Sequence[str],
    *,
    options: Options,
    keep_alive: float | None,
    truncate: bool,
    dimensions: int,
) -> Embeddings:
    """Embed texts; none only loads the model. `dimensions` of 0 keeps them all.

    Raises BadRequestError when a text is too long and `truncate` is off.
    """
    started = time.monotonic_ns()
    async with pool.acquire(model, options, keep_alive=keep_alive, embedding=True) as lease:
        if not texts:
            return Embeddings([], 0, 0, 0)
        specials = await lease.client.tokenize("", special=True)
        inputs = [
            await _tokens(lease.client, text, specials, limit=lease.context, truncate=truncate)
            for text in texts
        ]
        vectors = await lease.client.embed(inputs)
        load_duration = lease.load_duration
    return Embeddings(
        vectors=[shorten(vector, dimensions) for vector in vectors],
        tokens=sum(map(len, inputs)),
        total_duration=time.monotonic_ns() - started,
        load_duration=load_duration,
    )


async def _tokens(
    client: RunnerClient, text: str, specials: Sequence[int], *, limit: int, truncate: bool
) -> list[int]:
    """A text's tokens, with the model's begin and end tokens, at most `limit` of them."""
    tokens = await client.tokenize(text, special=True)
    if not tokens:
        raise BadRequestError("this model cannot embed an empty text")
    if len(tokens) <= limit:
        return tokens
    if not truncate:
        raise BadRequestError("the input length exceeds the context length")
    # An end token, where the model wants one, has to stay at the end.
    ends = 1 if specials and tokens[-1] == specials[-1] else 0
    return tokens[: limit - ends] + tokens[len(tokens) - ends :]


def shorten(vector: Sequence[float], dimensions: int) -> list[float]:
    """The first `dimensions` of a vector (0: all), at unit length.

    Raises EngineError when the engine gave no numbers.
    """
    if not all(map(math.isfinite, vector)):
        raise EngineError("the model gave an embedding that is not a number")
    kept = vector[:dimensions] if dimensions > 0 else vector
    norm = max(math.sqrt(sum(x * x for x in kept)), _SMALLEST_NORM)
    return [x / norm for x in kept]
