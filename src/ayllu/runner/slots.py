"""The slots of one engine, given out in the order of asking. Plain asyncio, no engine in sight.

An engine works at one set of adapters at a time: it leaves requests with another one waiting for as
long as any with the first goes on, and would do so for ever. So who comes with other adapters waits
here until the engine is free, and nobody who comes later is let in before.
"""

from __future__ import annotations

import asyncio
from collections import deque

Scales = tuple[float, ...]
"""How much of each adapter of the engine a request wants; 0 is nothing."""


class Slots:
    """`count` slots. Whoever acquires one releases it."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._taken = 0
        self._scales: Scales = ()
        self._queue: deque[tuple[Scales, asyncio.Future[None]]] = deque()

    def locked(self, scales: Scales) -> bool:
        """Whether a request would have to wait."""
        other = self._taken > 0 and scales != self._scales
        return not self._free or other or bool(self._queue)

    async def acquire(self, scales: Scales) -> None:
        """Wait for a slot."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append((scales, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # it came at the same moment
            else:
                self._queue = deque(one for one in self._queue if one[1] is not turn)
                self._admit()
            raise

    def release(self) -> None:
        """Give a slot back."""
        self._taken -= 1
        self._free += 1
        self._admit()

    def _admit(self) -> None:
        """Let in who may come. An idle engine takes all that wait for what the first one wants."""
        if not self._taken and self._queue:
            self._scales = self._queue[0][0]
            mine = [one for one in self._queue if one[0] == self._scales]
            others = [one for one in self._queue if one[0] != self._scales]
            self._queue = deque([*mine, *others])
        while self._free and self._queue and self._queue[0][0] == self._scales:
            _, turn = self._queue.popleft()
            if not turn.cancelled():
                self._free -= 1
                self._taken += 1
                turn.set_result(None)
