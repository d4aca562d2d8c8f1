"""Machines of an ayllu within one process: real keys and files, real doors on loopback."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from ayllu.cluster.credentials import Credentials
from ayllu.cluster.door import Door
from ayllu.cluster.endpoints import join_endpoint, split_endpoint
from ayllu.cluster.identity import opened
from ayllu.cluster.invite import Invites
from ayllu.cluster.join import Admission, Known
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.pair import Pairing
from ayllu.cluster.pair_session import SECONDS
from ayllu.cluster.trusted import TrustedLan, stretch

DAY = 86400.0
NOW = 1.8e9
PEERS = ("192.0.2.7:17446",)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Machines:
    """Machines that share a clock, each with a folder of its own."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.clock = Clock()
        self._root = root
        self._stack = stack

    def new(self, name: str) -> Keyring:
        return Keyring(self._stack.enter_context(opened(self._root / name)), self.clock)


def joined(member: Keyring, other: Keyring, admin: bool | None = None) -> Credentials:
    """Let another machine into a member's ayllu, without any door."""
    return other.join(member.grant(other.identity.request(), admin=admin, admins=1))


stretched = cache(stretch)


class House:
    """A machine with an open door: what answers at it, and its address."""

    def __init__(
        self, keyring: Keyring, admins: int = 1, secret: str = "", seconds: float = SECONDS
    ) -> None:
        self.keyring = keyring
        self.name = f"house of {keyring.identity.node}"
        self.door = Door(keyring, self.name)
        self.invites = Invites(keyring)
        self.admins = admins
        Admission(self.door, keyring, self.invites, self.known)
        self.pairing = Pairing(self.door, keyring, self.name, self.known, seconds)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(0)
        self.address = join_endpoint(*self.listener.getsockname()[:2])
        port = self.listener.getsockname()[1]
        self.trusted = (
            TrustedLan(self.door, keyring, self.name, self.known, stretched(secret), lambda: port)
            if secret
            else None
        )

    def known(self) -> Known:
        return Known(self.admins, PEERS)

    async def close(self) -> None:
        await self.pairing.close()
        if self.trusted:
            await self.trusted.close()
        await self.door.close()


@asynccontextmanager
async def house(
    keyring: Keyring, admins: int = 1, secret: str = "", seconds: float = SECONDS
) -> AsyncIterator[House]:
    """Opened and closed."""
    built = House(keyring, admins, secret, seconds)
    await built.door.open([built.listener])
    try:
        yield built
    finally:
        await built.close()


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something holds, twenty seconds at most."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - nobody tells when
            await asyncio.sleep(0.02)


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test to its end."""
    asyncio.run(work)


@asynccontextmanager
async def proxy(to: str, own: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Someone in between; with a TLS context of its own it reads along, else it only passes on."""
    tasks: set[asyncio.Task[None]] = set()

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                target.write(data)
                await target.drain()
        except OSError:
            pass
        finally:
            target.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls = None
        if own is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        try:
            far_reader, far_writer = await asyncio.open_connection(*split_endpoint(to), ssl=tls)
        except OSError:
            writer.close()
            return
        for work in (copy(reader, far_writer), copy(far_reader, writer)):
            task = asyncio.create_task(work)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=own)
    async with server:
        yield join_endpoint(*server.sockets[0].getsockname()[:2])
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
