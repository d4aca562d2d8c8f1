"""Where a member stands: the server around it, its addresses and ports, whom it knows."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator

from msgspec import Struct, structs

from ayllu.cluster.endpoints import join_endpoint
from ayllu.cluster.interfaces import Interface, hosts
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.own import OwnRecord
from ayllu.cluster.surroundings import Surroundings
from ayllu.config import CLUSTER_PORT, parse_address

BUS, BULK, PEER, DOOR, TUNNEL = range(5)
"""The cluster's ports, counted from the setting `cluster_port`."""


class Ground(Struct, frozen=True):
    """What all parts of a member share. `peers` are addresses that the owner gave.

    `changed` is to be called when something of the others is different, and `renew` when the buses
    have to be opened anew.
    """

    around: Surroundings
    own: OwnRecord
    keyring: Keyring
    interfaces: tuple[Interface, ...]
    peers: tuple[str, ...]
    changed: Callable[[], None]
    renew: Callable[[], object]

    @property
    def hosts(self) -> tuple[str, ...]:
        """This machine's addresses."""
        return hosts(self.interfaces)

    def port(self, number: int) -> int:
        """One of the cluster's ports; 0 for any that is free."""
        first = self.around.parts.settings.cluster_port
        return first + number if first else 0

    def peers_at(self, number: int) -> Iterator[str]:
        """Where the machines that the owner named have that port, if theirs follow each other."""
        first = self.around.parts.settings.cluster_port or CLUSTER_PORT
        for text in self.peers:
            address = parse_address(text)
            port = address.port if has_port(text) else first
            yield join_endpoint(address.host, port + number)

    def named(self) -> dict[str, tuple[str, str]]:
        """Where the bus and the join door of the machines are that the owner named, by that."""
        places = zip(self.peers, self.peers_at(BUS), self.peers_at(DOOR), strict=True)
        return {text: (bus, door) for text, bus, door in places}

    def tell_endpoints(self, **endpoints: tuple[str, ...]) -> None:
        """Say in the own record where this machine listens."""
        now = structs.replace(self.own.record.endpoints, **endpoints)
        self.own.change(endpoints=now)


def has_port(text: str) -> bool:
    """Whether an address names a port; one of IPv6 does so after a bracket."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return ":" in text.rpartition("]")[2]
    return False
