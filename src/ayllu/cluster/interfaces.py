"""Which network interfaces the ayllu uses: the wired and wireless ones that are up.

Bridges of containers, virtual machines and VPNs are left out unless the user names them: machines
behind them have other ways to meet, or none. Interfaces are told apart by their names.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil
from msgspec import Struct

_VIRTUAL = re.compile(
    r"(docker|br-|virbr|vmnet|vboxnet|veth|cni|flannel|cali|cilium|lxc|lxd|podman|kube|vnet|"
    r"tun|tap|wg|tailscale|zt|utun|ipsec|ppp|gif|stf|awdl|llw|bridge|anpi|ap\d|dummy|ifb|"
    r"vethernet|hyper-v|virtualbox|vmware|npcap|bluetooth|teredo|isatap|6to4|sit|nordlynx|proton)",
    re.IGNORECASE,
)
_NETWORKS = Path("/sys/class/net")


class Interface(Struct, frozen=True):
    """A network interface in use.

    `hosts` are its addresses, link-local ones of IPv6 with `%name`; `networks` are those of IPv4
    with their masks, as `10.0.0.2/24`. `index` is the system's number of it.
    """

    name: str
    index: int
    hosts: tuple[str, ...]
    networks: tuple[str, ...] = ()
    wireless: bool = False
    loopback: bool = False


def interfaces(wanted: Sequence[str] = ()) -> tuple[Interface, ...]:
    """The interfaces to use, those that the user names or else all that are real.

    Loopback is among them when it is named or nothing else is there.
    """
    found = tuple(_all())
    if wanted:
        return tuple(interface for interface in found if interface.name in wanted)
    real = (one for one in found if not one.loopback and not is_virtual(one.name))
    return tuple(real) or tuple(one for one in found if one.loopback)


def hosts(used: Iterable[Interface]) -> tuple[str, ...]:
    """All addresses of some interfaces, IPv4 first."""
    every = [host for interface in used for host in interface.hosts]
    return tuple(sorted(every, key=lambda host: ":" in host))


def is_virtual(name: str) -> bool:
    """Whether an interface of this name leads to containers, virtual machines or a VPN."""
    return _VIRTUAL.match(name) is not None


def is_wireless(name: str, networks: Path = _NETWORKS) -> bool:
    """Whether it is WiFi. Linux says so; elsewhere the name does, which on a Mac says nothing."""
    place = networks / name
    if place.exists():
        return (place / "wireless").exists() or (place / "phy80211").exists()
    return name.lower().startswith(("wl", "wi-fi", "wifi"))


def _all() -> Iterable[Interface]:
    states = psutil.net_if_stats()
    for name, addresses in psutil.net_if_addrs().items():
        state = states.get(name)
        if state is None or not state.isup:
            continue
        usable = [one for one in addresses if _is_usable(one.address)]
        if not usable:
            continue
        yield Interface(
            name=name,
            index=_index(name),
            hosts=tuple(_scoped(one.address, name) for one in usable),
            networks=tuple(
                f"{one.address}/{one.netmask or 32}"
                for one in usable
                if one.family == socket.AF_INET
            ),
            wireless=is_wireless(name),
            loopback=all(ipaddress.ip_address(_bare(one.address)).is_loopback for one in usable),
        )


def _is_usable(text: str) -> bool:
    """Whether it is an address that others can reach: not a hardware one."""
    try:
        address = ipaddress.ip_address(_bare(text))
    except ValueError:
        return False
    return not address.is_unspecified


def _scoped(text: str, name: str) -> str:
    """An address, which has its interface's name if it is link-local and of IPv6."""
    address = ipaddress.ip_address(_bare(text))
    is_scoped = address.version == 6 and address.is_link_local
    return f"{address}%{name}" if is_scoped else str(address)


def _bare(text: str) -> str:
    return text.partition("%")[0]


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0
