"""The layer for requests that another machine forwarded: they are answered in frames.

The machine that forwards a request gives along what has to be the same wherever it is answered
(`Carried`); it is told at least each second that this one is there, and what it needs to have
another machine go on with the answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import msgspec
from msgspec import Raw
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ayllu.chat.hop import HOP, Hop
from ayllu.chat.said import Item, Said, joined
from ayllu.errors import BadRequestError
from ayllu.server.frames import (
    BEAT,
    BEAT_SECONDS,
    END,
    FAILED,
    HEAD,
    HOP_HEADER,
    ITEM,
    MEDIA_TYPE,
    SAID,
    Carried,
    Head,
    frame,
    numbered,
)

MOST_CARRIED = 64 << 20
"""Bytes before the body, at most."""
_ITEM = msgspec.msgpack.Decoder(Item)


async def carry(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request of another machine. Raises BadRequestError for one that is none."""
    header = Headers(scope=scope).get(HOP_HEADER)
    if header is None:
        await app(scope, receive, send)
        return
    body = _Body(receive)
    carried, said = await _read(body, header)
    framed = _Framed(send, dict(carried.skip))
    framed.hop = hop = Hop(carried.seed, carried.started, said, framed.hear)
    token = HOP.set(hop)
    beat = asyncio.create_task(framed.beat(body.whole))
    try:
        await app(scope, body.receive, framed.send)
    finally:
        HOP.reset(token)
        beat.cancel()
        await asyncio.gather(beat, return_exceptions=True)


async def _read(body: _Body, header: str) -> tuple[Carried, dict[int, Said]]:
    try:
        size = int(header)
        if not 0 < size <= MOST_CARRIED:
            raise BadRequestError(f"{HOP_HEADER} may be 1 to {MOST_CARRIED}")
        carried = msgspec.msgpack.decode(await body.take(size), type=Carried)
        return carried, {number: _joined(items) for number, items in carried.said.items()}
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise BadRequestError(f"this is no request of a machine: {error}") from error


def _joined(items: Sequence[Raw]) -> Said:
    said: Said | None = None
    for item in items:
        said = joined(said, _ITEM.decode(item))
    if said is None:
        raise ValueError("an answer of which nothing was said")
    return said


class _Body:
    """A request's body, with something before it that `take` takes away."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._rest: Message | None = None
        self.whole = asyncio.Event()

    async def take(self, size: int) -> bytes:
        """So many bytes, fewer where the body ends before."""
        data, more = bytearray(), True
        while more and len(data) < size:
            message = await self._receive()
            data += message.get("body", b"")
            more = message.get("more_body", False)
        if not more:
            self.whole.set()
        self._rest = {"type": "http.request", "body": bytes(data[size:]), "more_body": more}
        return bytes(data[:size])

    async def receive(self) -> Message:
        """What an application receives."""
        message, self._rest = self._rest or await self._receive(), None
        if not message.get("more_body", False):
            self.whole.set()
        return message


class _Framed:
    """Sends an answer in frames, each item that the client has left out."""

    hop: Hop

    def __init__(self, send: Send, skip: dict[int, int]) -> None:
        self._send = send
        self._skip = skip
        self._heard: list[bytes] = []
        self._begun = self._ended = False
        self._turn = asyncio.Lock()
        self._last = time.monotonic()

    def hear(self, number: int, item: Item) -> None:
        """The engine said something; it goes along with the next frame."""
        self._heard.append(numbered(SAID, number, msgspec.msgpack.encode(item)))

    async def send(self, message: Message) -> None:
        """What an application sends to."""
        if message["type"] == "http.response.start":
            texts = [
                (name.decode("latin-1"), text.decode("latin-1"))
                for name, text in message["headers"]
            ]
            await self._write(frame(HEAD, msgspec.msgpack.encode(Head(message["status"], texts))))
        elif message["type"] == "http.response.body":
            more = message.get("more_body", False)
            data = self._item(message.get("body", b""))
            if data or not more:
                await self._write(data + (b"" if more else frame(END)), more=more)

    async def beat(self, whole: asyncio.Event) -> None:
        """Say again and again that this machine is there, once it has the whole request."""
        await whole.wait()
        while not self._ended:
            await self._write(frame(BEAT))
            due = self._last + BEAT_SECONDS
            while (now := time.monotonic()) < due:
                await asyncio.sleep(due - now)
                due = self._last + BEAT_SECONDS

    def _item(self, body: bytes) -> bytes:
        if not body:
            return b""
        if self.hop.failed:
            return numbered(FAILED, self.hop.failed, body)
        part = self.hop.part
        if left := self._skip.get(part, 0):
            self._skip[part] = left - 1
            return b""
        return numbered(ITEM, part, body)

    async def _write(self, data: bytes, *, more: bool = True) -> None:
        async with self._turn:
            if self._ended:
                return
            if not self._begun:
                self._begun = True
                headers = [(b"content-type", MEDIA_TYPE.encode())]
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            self._last, self._ended = time.monotonic(), not more
            data = b"".join(self._heard) + data
            self._heard.clear()
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
