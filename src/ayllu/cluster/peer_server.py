"""The HTTP API for the other machines of the ayllu: the same application behind mutual TLS 1.3.

Who speaks is known by the certificate alone. Its common name, the node's id, is put into the state
of each request, where nothing that a client sends can put it.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
import uvicorn
from uvicorn.server import ServerState

from ayllu.cluster.listening import bind_each, endpoint

if sys.platform == "win32":
    from uvicorn.protocols.http.h11_impl import H11Protocol as HttpProtocol
else:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as HttpProtocol

PEER = "peer"
"""Where a request's state has the id of the machine that sent it."""
HANDSHAKE_SECONDS = 5.0
_log = structlog.get_logger(__name__)


class PeerServer:
    """Listens for members. `app` is an ASGI application; whoever starts it calls `close`.

    `is_refused` says of a node's id whether it may not speak, as when it was revoked.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        is_refused: Callable[[str], bool],
    ) -> None:
        self._config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=75,
        )
        self._config.load()
        self._state = ServerState()
        self._is_refused = is_refused
        self._servers: list[asyncio.Server] = []

    async def start(
        self, context: ssl.SSLContext, addresses: Iterable[str], port: int
    ) -> tuple[str, ...]:
        """Listen on each address, at `port` or, where that is taken, at any.

        Returns the endpoints as `host:port`. Raises AylluError where no address can be had.
        """
        loop = asyncio.get_running_loop()
        found = bind_each(addresses, port)
        for bound in found:
            server = await loop.create_server(
                lambda: _PeerProtocol(self._config, self._state, {}, loop, self._is_refused),
                sock=bound,
                ssl=context,
                backlog=128,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
            self._servers.append(server)
        return tuple(map(endpoint, found))

    @property
    def connections(self) -> list[str]:
        """The machines that are connected, once for each of their connections."""
        found = self._state.connections
        return [one.node for one in found if isinstance(one, _PeerProtocol)]

    def drop(self, node: str) -> None:
        """Break off what a machine has under way, and its connections."""
        for connection in list(self._state.connections):
            if isinstance(connection, _PeerProtocol) and connection.node == node:
                connection.transport.abort()

    async def close(self, grace: float = 0.0) -> None:
        """Listen no more; what is under way has so many seconds to end."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=grace)
        for connection in list(self._state.connections):
            connection.transport.abort()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks)


class _PeerProtocol(HttpProtocol):
    """One connection of a member."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
        is_refused: Callable[[str], bool],
    ) -> None:
        super().__init__(config, server_state, app_state, loop)
        self.node = ""
        self._is_refused = is_refused

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The handshake is over: the certificate is one of this ayllu, and says who this is."""
        super().connection_made(transport)
        self.node = common_name(transport.get_extra_info("peercert"))
        self.app_state = {PEER: self.node}
        if not self.node or self._is_refused(self.node):
            _log.warning("a machine was refused", node=self.node)
            transport.abort()


def peer_of(scope: Mapping[str, Any]) -> str | None:
    """The id of the machine of the ayllu that sent a request; None where it came otherwise."""
    node = scope.get("state", {}).get(PEER)
    return node if isinstance(node, str) else None


def common_name(certificate: Mapping[str, Any] | None) -> str:
    """The common name of a certificate, in the form of SSLSocket.getpeercert; empty: none."""
    subject = certificate.get("subject", ()) if certificate else ()
    names = [value for part in subject for key, value in part if key == "commonName"]
    return str(names[0]) if len(names) == 1 else ""
