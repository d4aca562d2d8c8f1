"""A log that strangers cannot fill: what the parsers of network input say of what they drop."""

from __future__ import annotations

import time
from collections import Counter
from typing import Final

import structlog

_log = structlog.get_logger()
_EVERY: Final = 30.0


class Quiet:
    """Says each kind of event once, and then at most every 30 s with how often it happened."""

    def __init__(self, *, every: float = _EVERY) -> None:
        self._every = every
        self._told: dict[str, float] = {}
        self._untold: Counter[str] = Counter()
        self.total: Counter[str] = Counter()
        """How often each kind happened in all."""

    def warn(self, event: str, **details: object) -> None:
        """Count an event, and log it unless it was logged lately.

        `event` is one of a few fixed sentences; what varies goes into `details`.
        """
        self.total[event] += 1
        now = time.monotonic()
        if now - self._told.get(event, -self._every) < self._every:
            self._untold[event] += 1
            return
        self._told[event] = now
        if more := self._untold.pop(event, 0):
            details["more"] = more
        _log.warning(event, **details)
