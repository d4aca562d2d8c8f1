"""This machine's answer in the form of another's: for what another one has begun to answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Scope

from ayllu.cluster.peer_server import PEER
from ayllu.cluster.tasks import Tasks

_KEPT = (
    *("type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string"),
    *("root_path", "client", "server"),
)
"""What of a request's scope is the client's."""
_PIECES = 16
"""How many pieces may wait for a slow client."""


class OwnAnswer:
    """Asks this server's own application, as another machine would. Whoever made it closes it.

    `node` is this machine's id: what came from a machine is answered here and never forwarded.
    """

    status = 200

    def __init__(
        self, request: Request, node: str, headers: Mapping[str, str], body: bytes
    ) -> None:
        self.node = node
        self._body: bytes | None = body
        self._left = asyncio.Event()
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue(_PIECES)
        pairs = [(name.encode("latin-1"), text.encode("latin-1")) for name, text in headers.items()]
        scope = {name: request.scope[name] for name in _KEPT if name in request.scope}
        scope |= {"headers": pairs, "state": {PEER: node}}
        self._task = Tasks().start(self._run(request.app, scope))

    async def piece(self) -> bytes:
        """The next bytes, none at its end."""
        return await self._pieces.get()

    def close(self) -> None:
        """End it."""
        self._left.set()
        self._task.cancel()

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if piece := message.get("body", b""):
            await self._pieces.put(piece)

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        try:
            await app(scope, self._receive, self._send)
        finally:
            if not self._left.is_set():
                await self._pieces.put(b"")
