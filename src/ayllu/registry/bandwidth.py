"""How fast bytes may be moved: one limit for all downloads and uploads of a server."""

from __future__ import annotations

import asyncio
import threading
import time

_BURST_SECONDS = 0.1


class Bandwidth:
    """A token bucket of `rate` bytes per second; 0 means no limit. From any thread."""

    def __init__(self, rate: int = 0) -> None:
        self._rate = rate
        self._paid_until = 0.0
        self._lock = threading.Lock()

    def pay(self, size: int, longest: float | None = None) -> float | None:
        """Seconds to wait before `size` more bytes may be moved.

        None, and nothing is paid, where that is longer than `longest`.
        """
        if self._rate <= 0:
            return 0.0
        with self._lock:
            now = time.monotonic()
            paid = max(self._paid_until, now - _BURST_SECONDS) + size / self._rate
            if longest is not None and paid - now > longest:
                return None
            self._paid_until = paid
            return max(paid - now, 0.0)

    async def take(self, size: int) -> None:
        """Wait until `size` more bytes may be moved."""
        if wait := self.pay(size):
            await asyncio.sleep(wait)
