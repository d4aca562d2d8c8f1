"""Machines that share models on a bus within one process, and small programs that misbehave."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from memory_bus import Medium, MemoryBus
from registries import BadRegistry, Registry, bad_registry

from ayllu.cluster.bus import HASHES, HAVE, HOLDS, LIVE, PIECE
from ayllu.cluster.have import SEGMENT, BlobRequest, HashRequest, Have, PieceRequest, decode, encode
from ayllu.cluster.sharing import Members, Sharing
from ayllu.config import load_settings
from ayllu.errors import NotFoundError
from ayllu.models.name import parse_name
from ayllu.models.store import Store
from ayllu.registry.client import Registries, Source
from ayllu.registry.downloads import Amount, Downloads
from ayllu.registry.limits import Limits
from ayllu.registry.partial import CHUNK
from ayllu.types import Layer

PATIENT = Limits(backoff=0.01, tries=3, tick=0.05)


def node_id(name: str) -> str:
    """An id of the form that machines have, which begins with a name."""
    return (name + "a" * 20)[:20]


class Machine:
    """A machine of an ayllu with a store and downloads."""

    def __init__(
        self, folder: Path, medium: Ayllu, name: str, *, serves: bool = True, rate: int = 0
    ) -> None:
        medium.machines.append(self)
        self.node = node_id(name)
        self.store = Store(folder / name / "models")
        settings = {"AYLLU_HOME": str(folder / name), "AYLLU_REGISTRIES": "127.0.0.1"}
        self.registries = Registries(
            load_settings({**settings, "AYLLU_MAX_BANDWIDTH": str(rate or "")})
        )
        self.downloads = Downloads(self.store, self.registries.bandwidth, PATIENT)
        self.liars: dict[str, str] = {}
        self.bus = MemoryBus(medium)
        self.sharing = Sharing(
            self.node,
            self.store,
            self.registries.bandwidth,
            Members(lambda node: node not in self.liars, lambda node: node[:5], self._set_aside),
            serves=serves,
        )
        self.sharing.attach(self.bus, self.bus)
        self.downloads.neighbours = self.sharing
        self.bus.announce(LIVE.format(node=self.node))

    def _set_aside(self, node: str, reason: str) -> None:
        self.liars[node] = reason

    def source(self, registry: BadRegistry | Registry, layer: Layer) -> Source:
        """Where a registry has a layer."""
        place = self.registries.open(parse_name(f"{registry.host}/me/x"), "http")
        return Source(place, place.blob(layer.digest))

    async def fetch(self, layer: Layer, source: Source | None = None) -> Amount:
        """Get a layer; returns where it came from."""
        amounts = [amount async for amount in self.downloads.fetch(source, layer)]
        assert self.store.new_blob_path(layer.digest).is_file()
        return amounts[-1]

    async def close(self) -> None:
        """Leave."""
        self.sharing.detach()
        await self.downloads.close()
        await self.registries.close()
        await self.bus.close()


Answer = Callable[[bytes], bytes]


class Fake:
    """A member that says it has a blob; what it sends goes through `piece` and `hashes`."""

    def __init__(self, medium: Medium, name: str, data: bytes) -> None:
        self.node = node_id(name)
        self.data = data
        self.digest = hashlib.sha256(data).hexdigest()
        self.bus = MemoryBus(medium)
        self.asked: list[int] = []
        self.have = Have(size=len(data), complete=True)
        for key, answer in ((HOLDS, self._holds), (PIECE, self._piece), (HASHES, self._hashes)):
            self.bus.serve(key.format(node=self.node), answer)
        self.bus.announce(LIVE.format(node=self.node))

    def publish(self, have: Have) -> None:
        """Say what it has."""
        self.have = have
        self.bus.publish(HAVE.format(digest=self.digest, node=self.node), encode(have))

    def _holds(self, data: bytes) -> bytes:
        if decode(data, BlobRequest).digest != self.digest:
            raise NotFoundError("not here")
        return encode(self.have)

    def _piece(self, data: bytes) -> bytes:
        number = decode(data, PieceRequest).number
        self.asked.append(number)
        return self.piece(number, self.data[number * CHUNK : (number + 1) * CHUNK])

    def _hashes(self, data: bytes) -> bytes:
        first = decode(data, HashRequest).segment * SEGMENT
        pieces = [
            self.data[n * CHUNK : (n + 1) * CHUNK]
            for n in range(first, first + SEGMENT)
            if n * CHUNK < len(self.data)
        ]
        return self.hashes(first, b"".join(hashlib.sha256(piece).digest() for piece in pieces))

    def piece(self, number: int, data: bytes) -> bytes:
        """What it sends for a piece."""
        del number
        return data

    def hashes(self, first: int, data: bytes) -> bytes:
        """What it sends for a list of hashes."""
        del first
        return data


class Ayllu(Medium):
    """All machines of a test."""

    def __init__(self) -> None:
        super().__init__()
        self.machines: list[Machine] = []

    async def close(self) -> None:
        """All of them leave."""
        await asyncio.gather(*(machine.close() for machine in self.machines))


def running(
    folder: Path, work: Callable[[Ayllu, BadRegistry], Awaitable[None]], data: bytes
) -> int:
    """Do something beside a registry that has a blob; returns the bytes of bodies that it sent."""

    async def run(registry: BadRegistry) -> None:
        ayllu = Ayllu()
        try:
            await work(ayllu, registry)
        finally:
            await ayllu.close()

    with bad_registry(folder / "registry") as registry:
        registry.put_blob("me/x", data)
        asyncio.run(run(registry))
        return sum(max(one["sent"], 0) for one in registry.requests)
