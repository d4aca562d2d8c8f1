"""Texts as token ids and back, in the model's own vocabulary."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from ayllu.chat.attempts import persevere
from ayllu.errors import BadRequestError
from ayllu.gguf.cache import cached_header
from ayllu.gguf.read import GGUFArray
from ayllu.models.describe import capabilities
from ayllu.models.model import Model
from ayllu.runner.place import Lease
from ayllu.runner.pool import Pool
from ayllu.types import Options

T = TypeVar("T")

_MOST_TAKEN_APART = 6
"""Letters to a byte of UTF-8 where a tokenizer takes it apart (U+FDFA is 18 of them, in NFKC)."""


def check_tokens(model: Model, tokens: Sequence[int]) -> None:
    """Raises BadRequestError for an id that the vocabulary lacks, which ends some engines."""
    words = cached_header(model.path).kvs.get("tokenizer.ggml.tokens")
    size = words.count if isinstance(words, GGUFArray) else 0
    for token in tokens:
        if not 0 <= token < size:
            raise BadRequestError(
                f"the token id {token} is not below {size}, the vocabulary's size"
            )


def surely_fits(text: str, room: int) -> bool:
    """Whether a text has at most `room` tokens, whatever the tokenizer, begin and end apart.

    A token is at least a letter, but for a space that some put before the text.
    """
    letters = len(text) if text.isascii() else _MOST_TAKEN_APART * len(text.encode())
    return letters < room


async def ask_beside(
    pool: Pool,
    model: Model,
    ask: Callable[[Lease], Awaitable[T]],
    *,
    options: Options,
    keep_alive: float | None,
) -> tuple[T, int]:
    """What a loaded model tells of texts, and the nanoseconds until it was loaded.

    Its tokenizer and its template answer while all its slots are busy. One that is not loaded is
    loaded as it serves best.
    """
    embedding = "completion" not in capabilities(model)

    async def run() -> tuple[T, int]:
        async with pool.acquire(
            model, options, keep_alive=keep_alive, embedding=embedding, slot=False
        ) as lease:
            return await ask(lease), lease.load_duration

    return await persevere(run)
