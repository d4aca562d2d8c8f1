"""Addresses of machines as `host:port` texts, the host an IP address."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Places = tuple[Sequence[str], Sequence[str]]
"""Where a machine's two buses are, as `host:port`."""


def join_endpoint(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_of(endpoint: str) -> str:
    """The host in `host:port`, without brackets; nothing is checked."""
    return endpoint.rpartition(":")[0].removeprefix("[").removesuffix("]")


def split_endpoint(text: str) -> tuple[str, int]:
    """An address and a port. Raises ValueError for a text that is none, and for a name."""
    host = host_of(text)
    ipaddress.ip_address(host)
    number = int(text.rpartition(":")[2])
    if not 0 < number < 1 << 16:
        raise ValueError(f"{number} is no port")
    return host, number
