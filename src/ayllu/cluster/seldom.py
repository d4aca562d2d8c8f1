"""Log lines that strangers can cause: the first is written, then at most one a minute."""

from __future__ import annotations

import time

import structlog

SECONDS = 60.0
_log = structlog.get_logger()


class Seldom:
    """Writes warnings of one kind, and how many it kept to itself since the last."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._next = 0.0
        self._kept = 0

    def warn(self, event: str, **facts: object) -> None:
        """Write a line, unless one was written a short while ago."""
        now = time.monotonic()
        if now < self._next:
            self._kept += 1
            return
        more = {"not_shown": self._kept} if self._kept else {}
        self._next, self._kept = now + self._seconds, 0
        _log.warning(event, **facts, **more)
