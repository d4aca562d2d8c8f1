"""The two buses of a member, and what lives as long as they do: links, and sharing of models.

They cannot change their certificate nor whom they deny while they are open, so both are closed and
opened anew for that. The bulk bus is opened anew by itself, too, for a machine that it cannot find.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack

from ayllu.cluster.bus_config import BusConfig
from ayllu.cluster.ground import BULK, BUS, Ground
from ayllu.cluster.links import Links, serve_links
from ayllu.cluster.membership import Membership
from ayllu.cluster.record import Link
from ayllu.cluster.table import Change
from ayllu.cluster.zenoh_bus import ZenohBus, open_bus

_MOST_REMEMBERED = 32


class Buses:
    """Open buses, or closed ones. Whoever opens them closes them."""

    def __init__(self, ground: Ground, membership: Membership) -> None:
        self._ground, self._membership = ground, membership
        self._stack: AsyncExitStack | None = None
        self._scouts = True
        self._links: Links | None = None
        self._known: tuple[Link, ...] = ()
        self._ends = membership.subscribe(self._on_change)
        self._bulk: ZenohBus | None = None

    async def open(self) -> None:
        """Open both and be seen. Raises BusError."""
        ground, membership = self._ground, self._membership
        credentials = ground.keyring.member()
        remembered = membership.remembered.latest(_MOST_REMEMBERED)
        async with AsyncExitStack() as stack:
            control = await self._open(stack, BUS, (at for one in remembered for at in one.bus))
            bulk = await self._open(stack, BULK, (at for one in remembered for at in one.bulk))
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
            self._bulk = bulk
            self._stack = stack.pop_all()

    async def close(self) -> None:
        """Close both."""
        stack, self._stack, self._bulk = self._stack, None, None
        if stack is not None:
            await stack.aclose()

    async def _open(self, stack: AsyncExitStack, number: int, known: Iterable[str]) -> ZenohBus:
        ground = self._ground
        port = ground.port(number)
        config = BusConfig(
            credentials=ground.keyring.member(),
            listen=ground.hosts,
            port=port,
            scout=port if self._scouts else 0,
            peers=tuple(dict.fromkeys((*known, *ground.peers_at(number)))),
        )
        bus = await open_bus(config, self._met_stranger)
        stack.push_async_callback(bus.close)
        return bus

    async def _close_links(self) -> None:
        if self._links is not None:
            self._known = self._links.links
            await self._links.close()
            self._links = None

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
