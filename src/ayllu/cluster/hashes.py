"""The lists of pieces' hashes that holders of a whole blob give, asked for a segment at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from ayllu.cluster.bus import HASHES, BusError
from ayllu.cluster.have import SEGMENT, HashRequest, encode
from ayllu.registry.limits import end

LIST_SECONDS = 10.0
LENGTH = 32


class Call(Protocol):
    """Asks a machine something."""

    async def __call__(self, key: str, data: bytes, *, seconds: float) -> bytes:
        """The answer. Raises BusError."""


class Hashes:
    """One download's lists. `on_failure` hears of machines that gave none, and why."""

    def __init__(
        self, call: Call, digest: str, size: int, count: int, on_failure: Callable[[str, str], None]
    ) -> None:
        self._call = call
        self._digest = digest
        self._size = size
        self._count = count
        self._on_failure = on_failure
        self._lists: dict[tuple[str, int], asyncio.Task[bytes | None]] = {}

    async def of(self, node: str, number: int) -> bytes | None:
        """What a piece has to be, by a machine's list; None where the machine gives none."""
        found = await asyncio.shield(self.begin(node, number))
        start = number % SEGMENT * LENGTH
        return None if found is None else found[start : start + LENGTH]

    def begin(self, node: str, number: int) -> asyncio.Task[bytes | None]:
        """Ask for the list that has a piece, unless that was done before."""
        segment = number // SEGMENT
        task = self._lists.get((node, segment))
        if task is None:
            task = self._lists[node, segment] = asyncio.create_task(self._ask(node, segment))
        return task

    async def close(self) -> None:
        """End all questions."""
        await end(self._lists.values())
        self._lists.clear()

    async def _ask(self, node: str, segment: int) -> bytes | None:
        request = HashRequest(self._digest, self._size, segment)
        try:
            data = await self._call(HASHES.format(node=node), encode(request), seconds=LIST_SECONDS)
        except BusError as error:
            self._on_failure(node, error.sentence)
            return None
        if len(data) != LENGTH * min(SEGMENT, self._count - segment * SEGMENT):
            self._on_failure(node, f"its list of hashes has {len(data)} bytes")
            return None
        return data
