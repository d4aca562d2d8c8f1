"""Texts to vectors: tokenized, cut to the context, pooled by the engine, cut to dimensions."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from msgspec import Struct

from ayllu.chat.attempts import persevere
from ayllu.chat.tokens import check_tokens, surely_fits
from ayllu.errors import BadRequestError, EngineError
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.models.model import Model
from ayllu.models.name import short_name
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
    texts: Sequence[str | Sequence[int]],
    *,
    options: Options,
    keep_alive: float | None,
    truncate: bool,
    dimensions: int,
) -> Embeddings:
    """Embed texts, or token ids as they are; none only loads the model.

    `dimensions` of 0 keeps them all.

    Raises BadRequestError when a text is too long and `truncate` is off, and for a reranker, whose
    engine would take its one score for a vector.
    """
    started = time.monotonic_ns()
    if arch.ranks(cached_header(model.path)):
        raise BadRequestError(
            f"{short_name(model.name)} scores documents for a query and makes no embeddings: "
            "use /api/rerank"
        )
    for text in texts:
        if not isinstance(text, str):
            check_tokens(model, text)

    async def run() -> Embeddings:
        async with pool.acquire(model, options, keep_alive=keep_alive, embedding=True) as lease:
            if not texts:
                return Embeddings([], 0, 0, 0)
            limit = min(lease.context, lease.runner.load.batch)
            inputs = await _inputs(lease.client, texts, limit=limit, truncate=truncate)
            embedded = await lease.client.embed(inputs)
        return Embeddings(
            vectors=[shorten(row.embedding, dimensions) for row in embedded.data],
            tokens=embedded.usage.prompt_tokens,
            total_duration=time.monotonic_ns() - started,
            load_duration=lease.load_duration,
        )

    return await persevere(run)


async def _inputs(
    client: RunnerClient, texts: Sequence[str | Sequence[int]], *, limit: int, truncate: bool
) -> list[str | list[int]]:
    """The texts, those that may be too long as at most `limit` tokens."""
    specials: list[int] | None = None
    inputs: list[str | list[int]] = []
    for text in texts:
        if not isinstance(text, str):
            inputs.append(_fit(list(text), (), limit=limit, truncate=truncate))
            continue
        if text and surely_fits(text, limit - 2):  # a begin and an end token
            inputs.append(text)
            continue
        if specials is None:
            specials = await client.tokenize("", special=True)
        inputs.append(await _tokens(client, text, specials, limit=limit, truncate=truncate))
    return inputs


async def _tokens(
    client: RunnerClient, text: str, specials: Sequence[int], *, limit: int, truncate: bool
) -> list[int]:
    """A text's tokens, with the model's begin and end tokens, at most `limit` of them."""
    tokens = await client.tokenize(text, special=True)
    if not tokens:
        raise BadRequestError("this model cannot embed an empty text")
    return _fit(tokens, specials, limit=limit, truncate=truncate)


def _fit(tokens: list[int], specials: Sequence[int], *, limit: int, truncate: bool) -> list[int]:
    """At most `limit` tokens."""
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
