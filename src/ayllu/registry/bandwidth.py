"""How fast bytes may be moved: one limit for all downloads and uploads of a server."""

from __future__ import annotations

import asyncio

_BURST_SECONDS = 0.1


class Bandwidth:
    """A token bucket of `rate` bytes per second; 0 means no limit."""

    def __init__(self, rate: int = 0) -> None:
        self._rate = rate
        self._paid_until = 0.0

    async def take(self, size: int) -> None:
        """Wait until `size` more bytes may be moved."""
        if self._rate <= 0:
            return
        now = asyncio.get_running_loop().time()
        self._paid_until = max(self._paid_until, now - _BURST_SECONDS) + size / self._rate
        if self._paid_until > now:
            await asyncio.sleep(self._paid_until - now)
