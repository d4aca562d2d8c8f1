"""Temporary."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from ayllu.cluster.bus import LIVE, RECORD, Bus
from ayllu.cluster.credentials import Credentials
from ayllu.cluster.own import OwnRecord
from ayllu.cluster.record import Record, decode, encode
from ayllu.cluster.seal import seal, unseal
from ayllu.cluster.view import Member
from ayllu.errors import AylluError


class Membership:
    def __init__(
        self, bus: Bus, credentials: Credentials, own: OwnRecord, on_change: Callable[[], None]
    ) -> None:
        self._bus, self._credentials, self._own, self._on_change = bus, credentials, own, on_change
        self.records: dict[str, Record] = {}
        self.alive: set[str] = set()
        node = credentials.node
        self._closes = [
            bus.serve(RECORD.format(node=node), lambda _: self._sealed()),
            bus.subscribe(RECORD.format(node="*"), self._heard),
            bus.announce(LIVE.format(node=node)),
            bus.watch(LIVE.format(node="*"), self._live),
            own.subscribe(self._publish),
        ]
        import asyncio

        self._tasks = set()
        self._asyncio = asyncio

    def members(self) -> tuple[Member, ...]:
        return tuple(Member(r) for n, r in self.records.items() if n in self.alive)

    def _sealed(self) -> bytes:
        return seal(self._credentials, "record", encode(self._own.record))

    def _publish(self) -> None:
        self._bus.publish(RECORD.format(node=self._credentials.node), self._sealed())

    def _heard(self, key: str, data: bytes) -> None:
        with suppress(AylluError):
            sealed = unseal(self._credentials, "record", data)
            record = decode(sealed.body)
            if record.node == sealed.node:
                self.records[record.node] = record
                self._on_change()

    def _live(self, key: str, alive: bool) -> None:
        node = key.rpartition("/")[2]
        if alive:
            self.alive.add(node)
            task = self._asyncio.get_running_loop().create_task(self._ask(node))
            self._tasks.add(task)
        else:
            self.alive.discard(node)
        self._on_change()

    async def _ask(self, node: str) -> None:
        with suppress(AylluError):
            self._heard("", await self._bus.call(RECORD.format(node=node)))

    async def close(self) -> None:
        for close in self._closes:
            close()
