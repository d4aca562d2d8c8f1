"""When a transfer loses patience, how many streams it has, and its work in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from typing import Any, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Limits(Struct, frozen=True):
    """When a transfer loses patience. Times are in seconds.

    `stall` is the longest silence of a stream, `backoff` the wait before its second of `tries`
    without progress (it doubles), `slow_after` the age at which a stream's speed is judged, `tick`
    how often streams are counted anew, between `least` and `most`.
    """

    stall: float = 30.0
    backoff: float = 1.0
    tries: int = 6
    slow_after: float = 5.0
    tick: float = 1.0
    least: int = 4
    most: int = 16


def next_streams(streams: int, limits: Limits, *, failures: int, faster: bool) -> int:
    """More streams while that makes it faster, fewer after failures."""
    wanted = streams - failures if failures else streams + 2 * faster
    return min(max(wanted, limits.least), limits.most)


async def in_thread(pool: Executor, work: Callable[..., T], *arguments: object) -> T:
    """Run what blocks. It is seen to its end even when cancelled: files are in its hands."""
    running = asyncio.get_running_loop().run_in_executor(pool, work, *arguments)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise


async def end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
