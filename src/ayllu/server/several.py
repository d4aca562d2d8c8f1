"""Several answers at once, as one stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")


async def several(
    answers: Sequence[AsyncGenerator[T]], *, at_once: int
) -> AsyncGenerator[tuple[int, T]]:
    """The items of all answers as they come, each with its answer's place.

    At most `at_once` answers run, so that others get a turn on the model's slots. Closing it closes
    all of them, and so does the first one that fails.
    """
    if len(answers) == 1:
        async with aclosing(answers[0]) as events:
            async for event in events:
                yield 0, event
        return
    queue: asyncio.Queue[tuple[int, T] | asyncio.Task[None]] = asyncio.Queue()
    free = asyncio.Semaphore(at_once)

    async def read(place: int, events: AsyncGenerator[T]) -> None:
        async with free, aclosing(events):
            async for event in events:
                queue.put_nowait((place, event))

    tasks = [asyncio.create_task(read(*item)) for item in enumerate(answers)]
    for task in tasks:
        task.add_done_callback(queue.put_nowait)
    try:
        running = len(tasks)
        while running:
            item = await queue.get()
            if isinstance(item, asyncio.Task):
                item.result()  # raises what ended it
                running -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
