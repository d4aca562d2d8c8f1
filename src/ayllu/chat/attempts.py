"""Work that is run again where the engine dies; nothing of it has been sent before it is whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from ayllu.runner.process import EngineDiedError

ATTEMPTS = 3

T = TypeVar("T")


async def persevere(work: Callable[[], Awaitable[T]]) -> T:
    """The work's result. Raises EngineDiedError when the engine died in every attempt."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await work()
        except EngineDiedError:
            continue
    return await work()
