"""Where requests to registries may go: not to private addresses, unless the owner says so.

Whoever may pull could otherwise have the server ask its own network (server-side request forgery).
A name is looked up once and the very addresses that were checked are connected to; every redirect
passes here again.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import NoReturn

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ayllu.config import parse_address
from ayllu.errors import ForbiddenError

Address = IPv4Address | IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether the internet routes the address; one within another is looked at in its place."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


class PrivateHosts:
    """The hosts that may be on private addresses: the setting `registries`.

    An entry is a host (any port), `host:port`, or a network in CIDR that an address may be in.
    """

    def __init__(self, entries: Sequence[str] = ()) -> None:
        hosts = [entry for entry in entries if "/" not in entry]
        self._networks = [ipaddress.ip_network(e, strict=False) for e in entries if "/" in e]
        self._hosts = {_host_of(entry) for entry in hosts}

    def name(self, host: str, port: int | None) -> bool:
        """Whether the host is one of them as it is written."""
        host = host.lower().rstrip(".")
        if (host, None) in self._hosts or (host, port) in self._hosts:
            return True
        literal = _literal(host)
        return literal is not None and any(literal in network for network in self._networks)

    def allow(self, host: str, port: int | None, address: Address) -> bool:
        """Whether the host may be connected to at an address."""
        if is_public(address) or self.name(host, port):
            return True
        plain = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return any((plain or address) in network for network in self._networks)

    def check(self, url: URL) -> None:
        """Raise ForbiddenError for a private address that is written in a URL."""
        host = url.host or ""
        literal = IPv4Address("127.0.0.1") if is_loopback(host) else _literal(host)
        if literal is not None and not self.allow(host, url.port, literal):
            refuse(host, url.port)

    def check_clear(self, url: URL) -> None:
        """Raise ForbiddenError where a secret would go to another machine over plain http."""
        host = url.host or ""
        if url.scheme != "https" and not (is_loopback(host) or self.name(host, url.port)):
            raise ForbiddenError(
                f"{url.authority} wants a token, and none is sent over plain http: add it to "
                "AYLLU_REGISTRIES if that is as you want it"
            )


class GuardedResolver(AbstractResolver):
    """Looks names up and gives away only addresses that may be connected to."""

    def __init__(self, private: PrivateHosts) -> None:
        self._private = private
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The allowed addresses of a host. Raises ForbiddenError where there are only others."""
        found = await self._inner.resolve(host, port, family)
        allowed = [
            result
            for result in found
            if self._private.allow(host, port, ipaddress.ip_address(result["host"]))
        ]
        if found and not allowed:
            refuse(host, port)
        return allowed

    async def close(self) -> None:
        """Nothing is held."""
        await self._inner.close()


def origin_of(url: URL) -> str:
    """Scheme, host and port of a URL; equal where both are the same server to a browser.

    Raises ValueError where it has no host.
    """
    origin = url.origin()
    return f"{origin.scheme}://{origin.host}:{origin.port}"


def is_loopback(host: str) -> bool:
    """Whether a host, as it is written, is this machine."""
    literal = _literal(host)
    name = host.lower().rstrip(".")
    return f".{name}".endswith(".localhost") or (literal is not None and literal.is_loopback)


def refuse(host: str, port: int | None) -> NoReturn:
    """Raise ForbiddenError with the remedy."""
    place = f"[{host}]" if ":" in host else host
    raise ForbiddenError(
        f"{place} is on a private address and was not asked: add it to AYLLU_REGISTRIES "
        f"({place}:{port}) where the server runs, if it is a registry of yours"
    )


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _host_of(entry: str) -> tuple[str, int | None]:
    """The host in lower case, and its port where one is named."""
    address = parse_address(entry)
    named = entry.rsplit("]", 1)[-1].count(":") == 1
    return address.host.lower().rstrip("."), address.port if named else None
