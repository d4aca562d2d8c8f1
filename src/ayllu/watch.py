"""Notices that nothing has happened for a while, at next to no cost for each thing that happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ayllu.gotime import FOREVER

_AWAY = 1.0
"""Seconds too late at which a timer shows that this process did not run: it cannot tell, then."""


class Watch:
    """Calls `on_silence` once when nothing was done for `seconds`, unless it is `paused`.

    A time-out around every step of a stream would cost more than the step: here a step stores the
    time, and a timer looks at it when it could be too late.
    """

    def __init__(self, seconds: float, on_silence: Callable[[], object]) -> None:
        self.paused = False
        self._seconds = seconds
        self._on_silence = on_silence
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def touch(self, seconds: float | None = None) -> None:
        """Something happened. `seconds` is how long the next silence may last, if that changes."""
        self._last = self._loop.time()
        if seconds is not None:
            self.allow(seconds)

    def allow(self, seconds: float) -> None:
        """Change how long this silence may last."""
        if seconds != self._seconds:
            self._seconds = seconds
            self._arm()

    def __enter__(self) -> Self:
        self._arm()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._seconds != FOREVER:
            self._timer = self._loop.call_at(self._last + self._seconds, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        if self.paused or now > self._last + self._seconds + _AWAY:
            self._last = now
        if now < self._last + self._seconds:
            self._arm()
        else:
            self._on_silence()
