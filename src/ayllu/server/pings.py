"""Signs of life within a stream: clients and proxies give up on a connection that is silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.types import Message, Send

PING_SECONDS = 10.0
"""How long a stream may be silent, as while a long prompt is read."""


@asynccontextmanager
async def pinging(send: Send, ping: bytes, seconds: float = PING_SECONDS) -> AsyncGenerator[Send]:
    """A `send` to be used in place of the given one; between its messages go pings, if any."""
    if not ping:
        yield send
        return
    pings = _Pings(send, ping, seconds)
    beat = asyncio.create_task(pings.beat())
    try:
        yield pings.send
    finally:
        beat.cancel()
        await asyncio.gather(beat, return_exceptions=True)


class _Pings:
    def __init__(self, send: Send, ping: bytes, seconds: float) -> None:
        self._send = send
        self._message = {"type": "http.response.body", "body": ping, "more_body": True}
        self._seconds = seconds
        self._last = time.monotonic()
        self._open = False

    async def send(self, message: Message) -> None:
        self._last = time.monotonic()
        # Nothing may come before the headers nor after the end.
        self._open = message.get("more_body", message["type"] == "http.response.start")
        await self._send(message)

    async def beat(self) -> None:
        while True:
            silent = time.monotonic() - self._last
            await asyncio.sleep(max(self._seconds - silent, self._seconds / 10))
            if self._open and time.monotonic() - self._last >= self._seconds:
                await self.send(self._message)
