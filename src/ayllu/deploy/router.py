"""Where requests go, of this machine's: what is known of all machines, and what is under way."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec import Struct, structs

from ayllu.cluster.bus import Close
from ayllu.cluster.node import LocalNode
from ayllu.cluster.record import HeldModel, Record
from ayllu.deploy.conversation import work_of
from ayllu.deploy.machines import machine_of
from ayllu.deploy.route import Replica, Work, is_near, order
from ayllu.deploy.trouble import MOST_FAILURES, Troubles
from ayllu.models.model import Model
from ayllu.models.name import parse_name, short_name, split_source
from ayllu.runner.pool import Pool

HEARD_SECONDS = 2.5
"""How old what another machine says of its load may be."""

RETURN_SECONDS = 10.0
"""For so long a machine that went may come back: its link, or ours, may have been lost."""
_LOOK_SECONDS = 0.1


class Wanted(Struct, frozen=True):
    """A model that a request names, and the request's work.

    Machines may have other models of the same name: `digest` is of the one that is meant, empty
    where this machine does not have it. `here` is this machine's own.
    """

    name: str
    work: Work
    digest: str = ""
    here: Model | None = None


class Router:
    """Knows the machines that can answer. One for each server."""

    def __init__(self, cluster: LocalNode, pool: Pool) -> None:
        self._cluster = cluster
        self._pool = pool
        self._under_way: defaultdict[str, _UnderWay] = defaultdict(_UnderWay)
        self._here: Counter[str] = Counter()
        self._there: dict[str, Record] = {}
        self._gone: dict[str, tuple[Record, float]] = {}
        """Machines that went lately, and when."""
        self.troubles = Troubles()
        cluster.watch_others(self._look)
        cluster.remark(self._remarks)

    async def elsewhere(self, name: str, body: bytes | bytearray) -> Wanted | None:
        """A model that this machine does not have, where others do: of the best one's digest.

        Where the last of them went a moment ago, it is waited for.
        """
        if split_source(name)[1]:
            return None
        wanted = Wanted(name=short_name(parse_name(name)), work=work_of(name, body))
        while not (found := self.replicas(wanted)):
            if not self._may_return(wanted):
                return None
            await asyncio.sleep(_LOOK_SECONDS)
        return structs.replace(wanted, digest=found[0].digest)

    def better_elsewhere(self, model: Model, body: bytes | bytearray) -> Wanted | None:
        """A model that is here and busy, where another machine would be done with it sooner."""
        if self._cluster.peers is None:
            return None
        coming = self._here[model.digest]
        if any(place.has_room(model, coming) for place in self._pool.places_of(model.digest)):
            return None
        wanted = Wanted(short_name(model.name), Work(), model.digest, model)
        if not any(self._others(wanted)):
            return None
        wanted = structs.replace(wanted, work=work_of(model.digest, body))
        best, here = self.replicas(wanted)[0], self._own(model)
        if best.here or (here.fits and not best.loaded and is_near(here, best, wanted.work)):
            return None  # where no machine has it in memory, this one may as well load it
        return wanted

    def replicas(self, wanted: Wanted, tried: Collection[str] = ()) -> tuple[Replica, ...]:
        """The machines that can answer, the best first; this one, too, where it has the model.

        Those that were `tried` are left out.
        """
        found = [one for one in self._others(wanted) if one.node not in tried]
        if wanted.here is not None and self._cluster.own.record.node not in tried:
            found.append(self._own(wanted.here))
        return order(wanted.work, found)

    def stay(self, digest: str) -> Close:
        """A request is answered here; that counts before it comes to the pool, until it ends."""
        self._here[digest] += 1

        def end() -> None:
            self._here[digest] -= 1
            if not self._here[digest]:
                del self._here[digest]

        return end

    @contextmanager
    def under_way(self, node: str) -> Iterator[None]:
        """A request is at a machine: that counts at once, before the machine itself says so."""
        started = self._under_way[node].begin(time.monotonic())
        try:
            yield
        finally:
            self._under_way[node].end(started, time.monotonic())

    def fail(self, node: str) -> None:
        """A machine went while it owed us an answer."""
        self.troubles.fail(node, time.monotonic())
        self._cluster.tell()

    def _remarks(self) -> dict[str, str]:
        """What people are told of machines that are in quarantine."""
        found = self.troubles.quarantined(time.monotonic())
        return {
            node: f"it failed {MOST_FAILURES} times, and is used for {math.ceil(left / 60)} min "
            "only where no other machine can be"
            for node, left in found.items()
        }

    def _look(self) -> None:
        """The machines that are there may be others."""
        now, online = time.monotonic(), {one.node: one for one in self._cluster.records()[1:]}
        went = {node: (one, now) for node, one in self._there.items() if node not in online}
        self._gone = {
            node: (one, since)
            for node, (one, since) in (self._gone | went).items()
            if node not in online and now - since < RETURN_SECONDS
        }
        self._there = online
        self.troubles.look(online.keys(), now)

    def _may_return(self, wanted: Wanted) -> bool:
        """Whether a machine that can answer went a moment ago."""
        since = time.monotonic() - RETURN_SECONDS
        return any(
            went > since and one.contribute.enabled and _held(one, wanted) is not None
            for one, went in self._gone.values()
        )

    def _others(self, wanted: Wanted) -> Iterator[Replica]:
        """The other machines that have the model."""
        me, now = self._cluster.own.record, time.monotonic()
        links = {link.to: link for link in me.links}
        for record in self._cluster.records()[1:]:
            held = _held(record, wanted)
            if held is None or not record.contribute.enabled:
                continue
            link = links.get(record.node)
            said = record.load.running + record.load.waiting
            yield self._replica(
                record,
                digest=held.digest,
                size=held.size,
                loaded=held.loaded,
                busy=self._under_way[record.node].busy(said, now),
                rtt_ms=link.rtt_p50 if link else 0.0,
                mbs=link.mbs if link else 0.0,
                trouble=self.troubles.rank(record.node, now),
            )

    def _own(self, model: Model) -> Replica:
        busy = max(self._pool.running + self._pool.waiting, self._here.total())
        return self._replica(
            self._cluster.own.record,
            digest=model.digest,
            size=model.size,
            loaded=bool(self._pool.places_of(model.digest)),
            busy=busy,
            here=True,
        )

    def _replica(
        self,
        record: Record,
        *,
        digest: str,
        size: int,
        loaded: bool,
        **more: Any,  # noqa: ANN401 - the other fields
    ) -> Replica:
        me, speed = self._cluster.own.record, record.speed
        machine = machine_of(record, digest=digest, engine=me.engine, here=me.node)
        return Replica(
            node=record.node,
            digest=digest,
            size=size,
            loaded=loaded,
            fits=loaded or size <= machine.room,
            memory_gbs=speed.memory_gbs if speed else 0.0,
            tflops=speed.tflops if speed else 0.0,
            disk_mbs=speed.disk_mbs if speed else 0.0,
            **more,
        )


class _UnderWay:
    """The requests of this machine that another one has: when they began, and which just ended."""

    def __init__(self) -> None:
        self._started: list[float] = []
        self._ended: list[float] = []

    def begin(self, now: float) -> float:
        self._started.append(now)
        return now

    def end(self, started: float, now: float) -> None:
        self._started.remove(started)
        if now - started > HEARD_SECONDS:
            self._ended.append(now)

    def busy(self, said: int, now: float) -> int:
        """How many requests a machine has; it `said` so many, some time ago."""
        self._ended = [end for end in self._ended if now - end < HEARD_SECONDS]
        new = sum(now - start < HEARD_SECONDS for start in self._started)
        return max(said - len(self._ended), len(self._started) - new) + new


def _held(record: Record, wanted: Wanted) -> HeldModel | None:
    """What a machine holds by the model's name, where it is the same model."""
    name = wanted.name.lower()
    for held in record.models:
        if held.name.lower() == name and wanted.digest in {"", held.digest}:
            return held
    return None
