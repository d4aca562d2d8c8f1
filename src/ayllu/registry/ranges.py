"""The parts that a download is cut into: runs of chunks, each fetched by one stream."""

from __future__ import annotations

import asyncio

from ayllu.registry.partial import CHUNK


class Part:
    """Chunks `number` to before `end`, fetched in order by one stream; `held` is of the first."""

    def __init__(self, number: int, end: int) -> None:
        self.number = number
        self.end = end
        self.held: list[memoryview] = []
        self.held_size = 0
        self.retries = 0
        self.restarts = 0
        self.started = 0.0
        self.received = 0
        self.scope: asyncio.Timeout | None = None

    @property
    def position(self) -> int:
        """The byte that is wanted next."""
        return self.number * CHUNK + self.held_size

    def abort(self) -> None:
        """End the stream, which raises TimeoutError in it."""
        if self.scope is not None:
            self.scope.reschedule(0)
            self.scope = None

    def rate(self, now: float) -> float:
        """Bytes per second of its stream."""
        return self.received / max(now - self.started, 1e-3)


def parts_of(numbers: list[int], longest: int) -> list[Part]:
    """Ascending chunk numbers as parts without gaps, of at most `longest` chunks."""
    parts: list[Part] = []
    for number in numbers:
        if not parts or number != parts[-1].end or number - parts[-1].number >= longest:
            parts.append(Part(number, number))
        parts[-1].end = number + 1
    return parts
