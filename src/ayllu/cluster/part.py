"""What a member of an ayllu runs: buses, the table of the others, and the API between machines.

The API's listener stays as long as the machine is a member, and takes a new certificate as it is.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterable, Mapping

from ayllu.cluster.buses import Buses
from ayllu.cluster.endpoints import Places
from ayllu.cluster.ground import PEER, TUNNEL, Ground
from ayllu.cluster.membership import Membership
from ayllu.cluster.peer_server import PeerServer
from ayllu.cluster.peers import Peers
from ayllu.cluster.record import Record
from ayllu.cluster.remembered import FILE, MOST, Met, Remembered
from ayllu.cluster.table import Change
from ayllu.cluster.tasks import Tasks
from ayllu.cluster.tunnel import Tunnel
from ayllu.cluster.view import Member

GRACE_SECONDS = 5.0
_LOOK_SECONDS = 2.0


class Part:
    """A member at work. Whoever makes one opens it, and closes it."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        credentials = ground.keyring.member()
        self.cluster = credentials.cluster
        """The ayllu that it is a part of."""
        self._contexts: tuple[ssl.SSLContext, ssl.SSLContext] = (
            credentials.server_context(),
            credentials.client_context(),
        )
        self._server = PeerServer(ground.around.app, self._is_refused)
        self.peers = Peers(self._contexts[1], self._addresses_of)
        """The way to the others."""
        self.tunnel = Tunnel(
            self._contexts,
            ground.around.host,
            is_refused=self._is_refused,
            addresses_of=self._tunnels_of,
        )
        """The way to the others for streams of bytes."""
        remembered = Remembered(ground.keyring.identity.folder / FILE)
        self._membership = Membership(ground.keyring, ground.own, remembered)
        self._membership.subscribe(self._on_change)
        self._buses = Buses(ground, self._membership)
        self._tasks = Tasks()

    async def open(self) -> None:
        """Listen for the others and look for them. Raises AylluError where that cannot be."""
        ground = self._ground
        peer = await self._server.start(self._contexts[0], ground.hosts, ground.port(PEER))
        tunnel = await self.tunnel.start(ground.hosts, ground.port(TUNNEL))
        ground.tell_endpoints(peer=peer, tunnel=tunnel)
        await self._buses.open()
        self._tasks.start(self._look())
        ground.own.measure()

    async def renew(self) -> None:
        """Go on with the credentials as they are now: another certificate, others revoked."""
        credentials = self._ground.keyring.member()
        for context in self._contexts:
            context.load_cert_chain(credentials.certificate_file, credentials.key_file)
        for node in {
            *self._server.connections,
            *self.tunnel.streams,
            *(entry.node for entry in credentials.revoked.entries),
        }:
            if self._is_refused(node):
                self._server.drop(node)
                self.peers.drop(node)
                self.tunnel.drop(node)
        await self._buses.close()
        await self._buses.open()

    async def close(self) -> None:
        """Be there no more."""
        await self._tasks.end()
        await self._membership.close()  # before the buses, which say that this machine returns
        await self._buses.close()
        await self._server.close(GRACE_SECONDS)
        await self.tunnel.close()
        await self.peers.close()

    def named(self) -> dict[str, tuple[str, str]]:
        """Where the machines should be that the owner named."""
        return self._ground.named()

    def met(self) -> tuple[Met, ...]:
        """The machines that were there before, and those that are."""
        return self._membership.remembered.latest(MOST)

    def members(self) -> tuple[Member, ...]:
        """The others that are there."""
        return self._membership.members()

    def hear(self, heard: Mapping[str, Places]) -> None:
        """Where machines of the ayllu say by beacon that their buses are."""
        trusts = self._membership.trusts
        self._buses.hear({node: places for node, places in heard.items() if trusts(node)})

    def admin_doors(self) -> tuple[str, ...]:
        """The join doors of admin machines, of those that are there first."""
        there = (place for one in self.records() if one.admin for place in one.endpoints.join)
        before = (place for one in self.met() if one.admin for place in one.join)
        return tuple(dict.fromkeys((*there, *before)))

    def records(self) -> Iterable[Record]:
        """Their records."""
        return (member.record for member in self.members())

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self._buses.look(time.monotonic())

    def _on_change(self, change: Change) -> None:
        if change.kind in {"left", "set_aside"}:
            self.peers.drop(change.node)
        if change.kind == "set_aside":  # a stream knows by itself whether the other end is there
            self.tunnel.drop(change.node)
        self._ground.changed()

    def _is_refused(self, node: str) -> bool:
        credentials = self._ground.keyring.credentials
        return credentials is None or node in credentials.revoked

    def _addresses_of(self, node: str) -> tuple[str, ...]:
        """Where a member's API listens."""
        member = self._membership.member(node)
        return member.record.endpoints.peer if member is not None else ()

    def _tunnels_of(self, node: str) -> tuple[str, ...]:
        """Where it takes streams."""
        member = self._membership.member(node)
        return member.record.endpoints.tunnel if member is not None else ()
