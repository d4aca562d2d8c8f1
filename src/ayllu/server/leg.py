"""One machine's part of an answer that several may give: its frames, until it ends or goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack
from typing import Protocol

from starlette.requests import Request

from ayllu.cluster.peers import PeerGoneError
from ayllu.deploy.route import Replica
from ayllu.server.frames import (
    BEAT_SECONDS,
    END,
    HEAD,
    HOP_HEADER,
    ITEM,
    MEDIA_TYPE,
    MOST_SILENT,
    Head,
    Unframer,
    numbered_payload,
    read_head,
)
from ayllu.server.own_answer import OwnAnswer
from ayllu.server.state import state_of

_LARGEST_REFUSAL = 1 << 20
_SENT = (
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "content-encoding",
    "content-type",
    "openai-beta",
    "user-agent",
)
"""The request's headers that go along; keys and cookies are for this machine alone."""

Frame = tuple[int, bytes]


class _Source(Protocol):
    """Where the bytes come from: cluster/peers.py, or this machine itself."""

    async def piece(self) -> bytes:
        """The next bytes, none at its end; who gives up waiting loses none."""

    def close(self) -> None:
        """End it."""


class Leg:
    """A machine that was asked. Whoever made it closes it.

    Where it says nothing for long, it counts as gone if `others_can` go on.
    """

    def __init__(self, request: Request, replica: Replica, others_can: Callable[[], bool]) -> None:
        self.node = replica.node
        self._request = request
        self.is_here = replica.here
        self._others_can = others_can
        self._stack = ExitStack()
        self._early: list[Frame] = []
        self._frames: AsyncGenerator[Frame] | None = None

    async def open(self, carried: bytes, body: bytes | bytearray) -> Head:
        """The answer's status and headers, once the machine has them. Raises PeerGoneError."""
        headers = _headers(self._request) | {HOP_HEADER: str(len(carried))}
        if self.is_here:
            own = OwnAnswer(self._request, self.node, headers, carried + body)
            self._stack.callback(own.close)
            self._frames = self._read(own)
        else:
            refusal = await self._ask(headers, carried + body)
            if refusal is not None:
                return refusal
        async for kind, payload in self.frames():
            if kind == HEAD:
                return read_head(payload)
            self._early.append((kind, payload))
        raise PeerGoneError("the machine that answered has given no answer")

    async def frames(self) -> AsyncGenerator[Frame]:
        """The frames that are still to come, the last an END. Raises PeerGoneError."""
        early, self._early = self._early, []
        for one in early:
            yield one
        if self._frames is not None:
            async for one in self._frames:
                yield one

    def close(self) -> None:
        """End it; the machine stops to work for it."""
        self._stack.close()

    async def _ask(self, headers: dict[str, str], body: bytes) -> Head | None:
        """Ask another machine; the answer's beginning where that is not in frames."""
        state = state_of(self._request)
        peers = state.cluster.peers
        if peers is None:
            raise PeerGoneError("this machine has left the ayllu")
        self._stack.enter_context(state.router.under_way(self.node))
        answer = await peers.ask(
            self.node, self._request.method, _path(self._request), headers=headers, body=body
        )
        self._stack.callback(answer.close)
        given = {name.lower(): text for name, text in answer.headers.items()}
        if given.get("content-type") == MEDIA_TYPE:
            self._frames = self._read(answer)
            return None
        text = await answer.read(_LARGEST_REFUSAL)
        self._early = [(ITEM, numbered_payload(0, text)), (END, b"")]
        return Head(answer.status, list(given.items()))

    async def _read(self, source: _Source) -> AsyncGenerator[Frame]:
        """Frames until the last one. Raises PeerGoneError where it breaks off, or is silent."""
        unframer = Unframer()
        while piece := await self._next(source):
            for kind, payload in unframer.feed(piece):
                yield kind, payload
                if kind == END:
                    return
        raise PeerGoneError("the machine that answered broke off")

    async def _next(self, source: _Source) -> bytes:
        """The next bytes. Seconds are counted one by one: this machine may be slow itself."""
        silent = 0
        while True:
            try:
                async with asyncio.timeout(BEAT_SECONDS):
                    return await source.piece()
            except TimeoutError:
                silent += 1
            if silent >= MOST_SILENT and self._others_can():
                raise PeerGoneError("the machine that answered says nothing any more")


def _path(request: Request) -> str:
    query: bytes = request.scope["query_string"]
    path: bytes = request.scope["raw_path"]
    return (path + b"?" + query if query else path).decode("latin-1")


def _headers(request: Request) -> dict[str, str]:
    return {name: request.headers[name] for name in _SENT if name in request.headers}
