"""Machines with tunnels in this process, and a head at another machine's real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from ayllu.cluster.credentials import Credentials
from ayllu.cluster.ends import Framed
from ayllu.cluster.peers import Peers
from ayllu.cluster.tunnel import Opening, Serve, Tunnel
from ayllu.errors import NotFoundError

LOOPBACK = ("127.0.0.1",)


class Echo:
    """A host that gives back what comes, after the end of it, or whatever `serve` does."""

    def __init__(self, serve: Callable[[Framed], Awaitable[None]] | None = None) -> None:
        self.asked: list[tuple[str, Opening]] = []
        self._serve = serve or self._echo

    async def admit(self, node: str, opening: Opening) -> Serve:
        self.asked.append((node, opening))
        if opening.lease == "unknown":
            raise NotFoundError("there is no such lease (any more)")
        return self._serve

    @staticmethod
    async def _echo(stream: Framed) -> None:
        while data := await stream.read():
            stream.send(data)
        stream.send_end()


def tunnel(
    credentials: Credentials,
    host: Echo | None = None,
    places: dict[str, tuple[str, ...]] | None = None,
) -> Tunnel:
    """A machine's tunnel; `places` are the others' addresses."""
    known = places or {}
    return Tunnel(
        (credentials.server_context(), credentials.client_context()),
        host or Echo(),
        is_refused=lambda node: node in credentials.revoked,
        addresses_of=lambda node: known.get(node, ()),
    )


class Head:
    """A member that other machines' workers work for: its ways to one of them."""

    def __init__(self, credentials: Credentials, node: str, port: int, host: str) -> None:
        self.peers = Peers(credentials.client_context(), lambda _: (f"{host}:{port + 2}",))
        self.tunnel = tunnel(credentials, places={node: (f"{host}:{port + 4}",)})

    async def close(self) -> None:
        await self.tunnel.close()
        await self.peers.close()


@asynccontextmanager
async def head(
    credentials: Credentials, node: str, port: int, host: str = "127.0.0.1"
) -> AsyncIterator[Head]:
    """A head at a machine whose cluster ports begin at `port`."""
    found = Head(credentials, node, port, host)
    try:
        yield found
    finally:
        await found.close()
