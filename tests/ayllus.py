"""Ayllus for tests: homes of machines with real keys and certificates, and buses on loopback."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

from ayllu.cluster.bus_config import BusConfig, free_port
from ayllu.cluster.credentials import Credentials
from ayllu.cluster.identity import opened
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.zenoh_bus import ZenohBus, open_bus

LOOPBACK = ("127.0.0.1",)


class Ayllu:
    """Machines of one ayllu, each with a home of its own under `root`. The first is the admin."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.keyrings: dict[str, Keyring] = {}
        self.buses: list[ZenohBus] = []
        self.strangers: list[str] = []
        self._stack = ExitStack()

    def member(self, name: str) -> Credentials:
        """A new machine's credentials; its home is locked as a server's is."""
        keyring = Keyring(self._stack.enter_context(opened(self.root / name)))
        if self.keyrings:
            admin = next(iter(self.keyrings.values()))
            keyring.join(admin.grant(keyring.identity.request(), admin=False, admins=1))
        else:
            keyring.create()
        self.keyrings[name] = keyring
        return keyring.member()

    def config(self, credentials: Credentials) -> BusConfig:
        """A bus on loopback that is told of the first one."""
        return BusConfig(
            credentials=credentials,
            listen=LOOPBACK,
            port=free_port(LOOPBACK, 0),
            peers=self.buses[0].endpoints if self.buses else (),
        )

    async def open(self, config: BusConfig) -> ZenohBus:
        """An open bus, which is closed with the ayllu."""
        bus = await open_bus(config, self.strangers.append)
        self.buses.append(bus)
        return bus

    async def join(self, name: str) -> ZenohBus:
        """The bus of a new member."""
        return await self.open(self.config(self.member(name)))

    async def close(self) -> None:
        """Close the buses, and unlock the homes."""
        await asyncio.gather(*(bus.close() for bus in self.buses))
        self.unlock()

    def unlock(self) -> None:
        """Let other processes use the homes."""
        self._stack.close()


def homes(root: Path, count: int) -> tuple[list[Path], list[str]]:
    """Homes of an ayllu's members for other processes, and their ids."""
    ayllu = Ayllu(root)
    ids = [ayllu.member(str(number)).node for number in range(count)]
    ayllu.unlock()
    return [root / str(number) for number in range(count)], ids


async def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for something, or fail."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        await asyncio.sleep(0.01)


def run(folder: Path, scene: Callable[[Ayllu], Awaitable[None]]) -> None:
    """Run a scene with an ayllu that has no machines yet."""

    async def whole() -> None:
        ayllu = Ayllu(folder)
        try:
            await scene(ayllu)
        finally:
            await ayllu.close()

    asyncio.run(whole())
