"""Addresses of machines as `host:port` texts, the host an IP address."""

from __future__ import annotations

import ipaddress


def join_endpoint(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def split_endpoint(text: str) -> tuple[str, int]:
    """An address and a port. Raises ValueError for a text that is none, and for a name."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    ipaddress.ip_address(host)
    number = int(port)
    if not 0 < number < 1 << 16:
        raise ValueError(f"{number} is no port")
    return host, number
