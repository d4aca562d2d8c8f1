"""Sockets that listen for the other machines."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable
from contextlib import suppress

from ayllu.cluster.endpoints import join_endpoint
from ayllu.errors import AylluError


def bind_each(addresses: Iterable[str], port: int) -> list[socket.socket]:
    """Listening sockets, one per address that can be had, at `port` or else at any free one.

    Raises AylluError where there is none.
    """
    found: list[socket.socket] = []
    reason = "no address"
    for address in addresses:
        for wanted in dict.fromkeys((port, 0)):
            try:
                found.append(_listener(address, wanted))
                break
            except OSError as error:
                reason = f"{address}: {error.strerror or error}"
    if not found:
        raise AylluError(f"cannot listen for the other machines of the ayllu ({reason})")
    return found


def bound_socket(address: str, port: int) -> socket.socket:
    """A socket at an address, which takes over a port that was closed a moment ago.

    Raises OSError where it cannot be had.
    """
    family, kind, protocol, _, target = socket.getaddrinfo(
        address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # there it would let two programs share a port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            with suppress(OSError):
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(target)
    except OSError:
        bound.close()
        raise
    return bound


def _listener(address: str, port: int) -> socket.socket:
    bound = bound_socket(address, port)
    try:
        bound.listen(128)
        bound.setblocking(False)  # noqa: FBT003 - socket's own
    except OSError:
        bound.close()
        raise
    return bound


def endpoint(bound: socket.socket) -> str:
    """Where a socket listens, as `host:port`."""
    return join_endpoint(*bound.getsockname()[:2])
