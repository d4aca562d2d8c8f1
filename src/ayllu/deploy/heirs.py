"""Whose deployment is whose to take over, when the machine that coordinates it is gone.

Pure: the caller has the clock, in seconds of one monotonic clock, and the machines' records.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct

from ayllu.cluster.record import Deployed, Record
from ayllu.deploy.route import by_hash

TAKEOVER_SECONDS = 5.0
"""How long a coordinator may be away before the first heir takes over, and then each next one."""
TOGETHER_SECONDS = 10.0
"""Machines that go within so many seconds of each other go together."""


class Orphan(Struct, frozen=True):
    """A deployment whose coordinator is gone."""

    coordinator: str
    deployed: Deployed


class _Heard(Struct):
    """A deployment of another machine, and since when that is away (0: it is there)."""

    coordinator: str
    deployed: Deployed
    away_since: float = 0.0


class Coordinators:
    """The pinned deployments of the other machines, by what these say of them."""

    def __init__(self) -> None:
        self._heard: dict[str, _Heard] = {}
        self._seen: dict[str, float] = {}

    def hear(self, me: str, records: Iterable[Record], now: float) -> None:
        """What the machines that are there coordinate; what one does not say any more is over.

        The first of the records is of `me`, which is empty while this machine is in no ayllu.
        """
        if not me:
            self._heard.clear()
            self._seen.clear()
            return
        for record in records:
            self._seen[record.node] = now
            if record.node != me:
                self._hear(record)

    def orphans(
        self, me: str, records: Sequence[Record], now: float, ours: Collection[str]
    ) -> list[Orphan]:
        """The deployments that are to be taken over by this machine, each said once.

        `ours` are the ids of those that it coordinates. The first heir may be one that never heard
        of a deployment, so the others have their turn after it. A machine that sees fewer than half
        of those that were there a moment before may itself be the one that is cut off: it leaves
        all as it is.
        """
        online = {record.node for record in records}
        found = []
        for heard in list(self._heard.values()):
            if heard.coordinator in online or heard.deployed.id in ours:
                heard.away_since = 0.0
                continue
            heard.away_since = heard.away_since or now
            before = {
                node
                for node, seen in self._seen.items()
                if seen >= heard.away_since - TOGETHER_SECONDS
            }
            heirs = rendezvous(heard.deployed, records)
            if me not in heirs or 2 * len(online) < len(before):
                continue
            if now - heard.away_since > TAKEOVER_SECONDS * (1 + heirs.index(me)):
                del self._heard[heard.deployed.id]
                found.append(Orphan(heard.coordinator, heard.deployed))
        return found

    def _hear(self, record: Record) -> None:
        said = {one.id: one for one in record.deployments if one.pinned}
        for key, heard in list(self._heard.items()):
            if heard.coordinator == record.node and key not in said:
                del self._heard[key]
        for key, one in said.items():
            known = self._heard.get(key)
            if known is None or one.fence >= known.deployed.fence:
                self._heard[key] = _Heard(record.node, one)


def rendezvous(deployed: Deployed, records: Iterable[Record]) -> list[str]:
    """The machines that have a deployment's model, in the order in which they would take over."""
    holders = (
        record.node
        for record in records
        if any(held.digest == deployed.digest for held in record.models)
    )
    return by_hash(deployed.id.encode(), holders)
