"""What a member of an ayllu runs: its two buses, its table of the others, and the API between them.

The buses cannot change their certificate nor whom they deny while they are open, so they are closed
and opened anew; the API's listener stays, and takes a new certificate as it is.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack

from msgspec import Struct, structs

from ayllu.cluster.bus_config import BusConfig
from ayllu.cluster.credentials import Credentials
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.links import serve_links
from ayllu.cluster.own import OwnRecord
from ayllu.cluster.peer_server import PeerServer
from ayllu.cluster.peers import Peers
from ayllu.cluster.record import Link, Record
from ayllu.cluster.surroundings import Surroundings
from ayllu.cluster.table_tmp import Membership
from ayllu.cluster.view import Member
from ayllu.cluster.zenoh_bus import open_bus

_BUS, _BULK, _PEER = range(3)
"""Ports, after the first one of the cluster."""
GRACE_SECONDS = 5.0


class Ground(Struct, frozen=True):
    """Where a member stands: its record, this machine's addresses, and known ones of others."""

    around: Surroundings
    own: OwnRecord
    keyring: Keyring
    hosts: tuple[str, ...]
    peers: tuple[str, ...]
    on_change: Callable[[], None]
    on_stranger: Callable[[], None]
    """Asks for `Part.renew`."""

    def port(self, number: int) -> int:
        """The port of that number among the cluster's; 0 for any."""
        first = self.around.parts.settings.cluster_port
        return first + number if first else 0


class Part:
    """A member at work. `open` it first; whoever made it closes it."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._contexts: tuple[ssl.SSLContext, ...] = ()
        self._server = PeerServer(ground.around.app, self._is_refused)
        self._scouts = True
        self._buses: AsyncExitStack | None = None
        self._membership: Membership | None = None
        self._links: tuple[Link, ...] = ()
        self._peers: Peers | None = None

    async def open(self) -> None:
        """Listen for the others and look for them. Raises AylluError where that cannot be."""
        ground, credentials = self._ground, self._ground.keyring.member()
        listening, asking = credentials.server_context(), credentials.client_context()
        self._contexts = listening, asking
        self._peers = Peers(asking, self._addresses_of)
        peer = await self._server.start(listening, ground.hosts, ground.port(_PEER))
        self._tell_endpoints(peer=peer)
        await self._open_buses(credentials)

    async def renew(self) -> None:
        """Go on with the credentials as they are now: another certificate, others revoked."""
        credentials = self._ground.keyring.member()
        for context in self._contexts:
            context.load_cert_chain(credentials.certificate_file, credentials.key_file)
        for node in {*self._server.connections, *(one.record.node for one in self.members())}:
            if self._is_refused(node):
                self._server.drop(node)
                self.peers.drop(node)
        self._ground.own.change(returns=True)
        await self._close_buses()
        await self._open_buses(credentials)

    async def close(self) -> None:
        """Be there no more."""
        await self._close_buses()
        await self._server.close(GRACE_SECONDS)
        if self._peers is not None:
            await self._peers.close()

    @property
    def peers(self) -> Peers:
        """The way to the others."""
        assert self._peers is not None  # noqa: S101 - `open` came before
        return self._peers

    def members(self) -> tuple[Member, ...]:
        """The others that are known now."""
        return self._membership.members() if self._membership is not None else ()

    def records(self) -> Iterable[Record]:
        """Their records."""
        return (member.record for member in self.members())

    def _is_refused(self, node: str) -> bool:
        credentials = self._ground.keyring.credentials
        return credentials is None or node in credentials.revoked

    def _addresses_of(self, node: str) -> tuple[str, ...]:
        """Where a member's API listens."""
        found = [record.endpoints.peer for record in self.records() if record.node == node]
        return found[0] if found else ()

    async def _open_buses(self, credentials: Credentials) -> None:
        ground = self._ground
        async with AsyncExitStack() as stack:
            buses = []
            for number in (_BUS, _BULK):
                config = BusConfig(
                    credentials=credentials,
                    listen=ground.hosts,
                    port=ground.port(number),
                    scout=ground.port(number) if self._scouts else 0,
                    peers=ground.peers if number == _BUS else (),
                )
                bus = await open_bus(config, self._met_stranger)
                stack.push_async_callback(bus.close)
                buses.append(bus)
            control, bulk = buses
            self._tell_endpoints(bus=control.endpoints, bulk=bulk.endpoints)
            stack.callback(serve_links(control, bulk, credentials.node))
            ground.own.change(returns=False)
            self._membership = Membership(control, credentials, ground.own, ground.on_change)
            stack.push_async_callback(self._membership.close)
            self._buses = stack.pop_all()

    def _met_stranger(self, _: str) -> None:
        """Somebody answers to our multicast with a certificate that any authority has signed."""
        self._scouts = False
        self._ground.on_stranger()

    async def _close_buses(self) -> None:
        stack, self._buses = self._buses, None
        if stack is not None:
            await stack.aclose()

    def _tell_endpoints(self, **endpoints: tuple[str, ...]) -> None:
        own = self._ground.own
        own.change(endpoints=structs.replace(own.record.endpoints, **endpoints))
