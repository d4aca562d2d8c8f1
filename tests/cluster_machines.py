"""Machines of an ayllu within one process: real keys and files, real doors on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from ayllu.cluster.credentials import Credentials
from ayllu.cluster.door import Door
from ayllu.cluster.endpoints import join_endpoint
from ayllu.cluster.identity import opened
from ayllu.cluster.invite import Invites
from ayllu.cluster.join import Admission, Known
from ayllu.cluster.keyring import Keyring

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


class House:
    """A machine with an open door: what answers at it, and its address."""

    def __init__(self, keyring: Keyring, admins: int = 1) -> None:
        self.keyring = keyring
        self.door = Door(keyring, f"house of {keyring.identity.node}")
        self.invites = Invites(keyring)
        self.admins = admins
        Admission(self.door, keyring, self.invites, lambda: Known(self.admins, PEERS))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(0)
        self.address = join_endpoint(*self.listener.getsockname()[:2])


@asynccontextmanager
async def house(keyring: Keyring, admins: int = 1) -> AsyncIterator[House]:
    """Opened and closed."""
    built = House(keyring, admins)
    await built.door.open([built.listener])
    try:
        yield built
    finally:
        await built.door.close()


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test to its end."""
    asyncio.run(work)
