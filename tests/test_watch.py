from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ayllu.gotime import FOREVER
from ayllu.watch import Watch


def silences(seconds: float, work: Callable[[Watch], Awaitable[None]]) -> int:
    """How often a watch complained while some work went on."""
    heard: list[None] = []

    async def watched() -> None:
        with Watch(seconds, lambda: heard.append(None)) as watch:
            await work(watch)

    asyncio.run(watched())
    return len(heard)


async def nothing(_watch: Watch) -> None:
    await asyncio.sleep(0.3)


async def steps(watch: Watch) -> None:
    for _ in range(15):
        await asyncio.sleep(0.05)
        watch.touch()


def test_silence_is_told_once() -> None:
    assert silences(0.05, nothing) == 1


def test_who_does_something_in_time_is_left_alone() -> None:
    assert silences(0.5, steps) == 0


def test_silence_for_ever_is_never_told() -> None:
    assert silences(FOREVER, nothing) == 0


def test_a_pause_is_no_silence_and_counts_for_nothing_after_it() -> None:
    async def work(watch: Watch) -> None:
        watch.paused = True
        await asyncio.sleep(0.8)
        watch.paused = False
        watch.touch()
        await asyncio.sleep(0.05)

    assert silences(0.5, work) == 0


def test_the_next_silence_may_be_given_another_length() -> None:
    async def work(watch: Watch) -> None:
        watch.touch(0.05)
        await asyncio.sleep(0.3)

    assert silences(FOREVER, work) == 1


def test_nothing_is_told_after_the_end() -> None:
    heard: list[None] = []

    async def work() -> None:
        with Watch(0.05, lambda: heard.append(None)):
            pass
        await asyncio.sleep(0.15)

    asyncio.run(work())
    assert heard == []
