"""The two buses of a member, and what lives as long as they do: links, and sharing of models.

They cannot change their certificate, whom they deny nor whom they look for while they are open, so
they are closed and opened anew for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack

from ayllu.cluster.bus_config import BusConfig, dials
from ayllu.cluster.endpoints import Places
from ayllu.cluster.ground import BULK, BUS, Ground
from ayllu.cluster.links import Links, serve_links
from ayllu.cluster.membership import Membership
from ayllu.cluster.record import Link
from ayllu.cluster.sharing import Members, Sharing
from ayllu.cluster.table import Change
from ayllu.cluster.zenoh_bus import ZenohBus, open_bus

_MOST_REMEMBERED = 32
_FIRST_SECONDS, _THEN_SECONDS = 3.0, 10.0
"""How long a machine may be missing."""


class Buses:
    """Open buses, or closed ones. Whoever opens them closes them."""

    def __init__(self, ground: Ground, membership: Membership) -> None:
        self._ground, self._membership = ground, membership
        self._stack: AsyncExitStack | None = None
        self._scouts = True
        self._seeks = False
        self._links: Links | None = None
        self._sharing: Sharing | None = None
        self._known: tuple[Link, ...] = ()
        self._ends = membership.subscribe(self._on_change)
        self._opened: dict[int, ZenohBus] = {}
        self._tried: dict[int, frozenset[str]] = {}
        self._heard: dict[str, Places] = {}
        self._missing: dict[str, float] = {}

    async def open(self) -> None:
        """Open both and be seen. Raises BusError."""
        ground, membership = self._ground, self._membership
        credentials = ground.keyring.member()
        async with AsyncExitStack() as stack:
            control = await self._open(stack, BUS)
            bulk = await self._open(stack, BULK)
            ground.tell_endpoints(bus=control.endpoints, bulk=bulk.endpoints)
            stack.callback(serve_links(control, bulk, credentials.node))
            pool = ground.around.parts.pool
            self._links = Links(
                control,
                bulk,
                is_idle=lambda: not (pool.running or pool.waiting),
                is_wireless=lambda node: self._is_wireless(control, node),
                on_change=lambda links: ground.own.change(links=links),
                known=self._known,
            )
            stack.push_async_callback(self._close_links)
            for member in membership.members():
                self._links.meet(member.record.node)
            membership.attach(control)
            stack.push_async_callback(membership.detach)
            self._share(stack, control, bulk)
            self._opened = {BUS: control, BULK: bulk}
            self._stack = stack.pop_all()

    async def close(self) -> None:
        """Close both."""
        self._opened = {}
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    def _share(self, stack: AsyncExitStack, control: ZenohBus, bulk: ZenohBus) -> None:
        """Have downloads ask the other machines, and answer theirs."""
        around, membership = self._ground.around, self._membership
        if self._sharing is None:
            self._sharing = Sharing(
                self._ground.keyring.identity.node,
                around.parts.store,
                around.bandwidth,
                Members(membership.trusts, membership.name_of, membership.set_aside),
                serves=around.parts.settings.share_models,
            )
        self._sharing.attach(control, bulk)
        stack.callback(self._sharing.detach)
        around.downloads.neighbours = self._sharing

        def stop() -> None:
            around.downloads.neighbours = None

        stack.callback(stop)

    async def _open(self, stack: AsyncExitStack, number: int) -> ZenohBus:
        ground = self._ground
        port = ground.port(number)
        me = ground.keyring.identity.node
        known = (
            place
            for node, places in self._places().items()
            if self._seeks or dials(me, node)
            for place in places[number]
        )
        peers = tuple(dict.fromkeys((*ground.peers_at(number), *known)))
        config = BusConfig(
            credentials=ground.keyring.member(),
            listen=ground.hosts,
            port=port,
            scout=port if self._scouts else 0,
            peers=peers,
        )
        self._tried[number] = frozenset(peers)
        bus = await open_bus(config, self._met_stranger)
        stack.push_async_callback(bus.close)
        return bus

    async def _close_links(self) -> None:
        if self._links is not None:
            self._known = self._links.links
            await self._links.close()
            self._links = None

    def hear(self, heard: Mapping[str, Places]) -> None:
        """Where machines of the ayllu say by beacon that their two buses are, by their ids."""
        self._heard = dict(heard)

    def _places(self) -> dict[str, Places]:
        """The same, where those that were found say it themselves, and where they were before."""
        latest = self._membership.remembered.latest(_MOST_REMEMBERED)
        before = {met.node: (met.bus, met.bulk) for met in latest}
        said = {
            member.record.node: (member.record.endpoints.bus, member.record.endpoints.bulk)
            for member in self._membership.members()
        }
        return {**before, **self._heard, **said}

    def look(self, now: float) -> None:
        """Have the buses opened anew for a machine that is there and that they do not find.

        Of two machines, one connects to the other; this is when the other one tries it as well.
        """
        missing = {node for node, places in self._places().items() if self._misses(node, places)}
        self._missing = {node: self._missing.get(node, now) for node in missing}
        me = self._ground.keyring.identity.node
        patience = (
            (node, _THEN_SECONDS if dials(me, node) else _FIRST_SECONDS) for node in missing
        )
        if any(now - self._missing[node] >= seconds for node, seconds in patience):
            self._missing = {}
            self._seeks = True
            self._ground.renew()

    def _misses(self, node: str, places: Places) -> bool:
        """Whether a bus has no link to a machine, and has not tried all its addresses."""
        return any(
            all(link.node != node for link in bus.links())
            and not self._tried[number].issuperset(places[number])
            for number, bus in self._opened.items()
        )

    def _met_stranger(self, _: str) -> None:
        """Somebody answers our multicast with a certificate that a public authority has signed."""
        self._scouts = False
        self._ground.renew()

    def _on_change(self, change: Change) -> None:
        """A machine came, went or changed."""
        if self._links is not None:
            if change.kind == "left":
                self._links.part(change.node)
            else:
                self._links.meet(change.node)

    def _is_wireless(self, control: ZenohBus, node: str) -> bool:
        """Whether we reach a machine by WiFi."""
        here = {link.here for link in control.links() if link.node == node}
        return any(one.wireless and here & set(one.hosts) for one in self._ground.interfaces)
