from __future__ import annotations

import asyncio
from typing import Any

from ayllu.server.pings import pinging

START = {"type": "http.response.start", "status": 200, "headers": []}
PING = {"type": "http.response.body", "body": b"ping", "more_body": True}
MORE = {"type": "http.response.body", "body": b"x", "more_body": True}
END = {"type": "http.response.body", "body": b"", "more_body": False}


def test_pings_fill_a_silence_between_the_headers_and_the_end() -> None:
    sent: list[Any] = []
    pinged = asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message)
        if message == PING:
            pinged.set()

    async def answer() -> None:
        async with pinging(send, b"ping", 0.01) as send_alive:
            await asyncio.sleep(0.05)
            assert sent == []
            await send_alive(START)
            await send_alive(MORE)
            await asyncio.wait_for(pinged.wait(), 10)
            await send_alive(END)
            await asyncio.sleep(0.05)

    asyncio.run(answer())
    assert sent[0] == START
    assert sent[-1] == END
    assert PING in sent


def test_a_dialect_without_pings_has_none() -> None:
    async def send(_: Any) -> None:
        pass

    async def answer() -> None:
        async with pinging(send, b"", 0.01) as send_alive:
            assert send_alive is send

    asyncio.run(answer())
