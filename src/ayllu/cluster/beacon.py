"""The beacon: a datagram now and then, so that machines that share no ayllu yet see each other.

It goes out on each interface by IPv4 multicast, broadcast, and IPv6 link-local multicast, because
each of them is filtered somewhere. Members send it too: where Zenoh's multicast does not pass, it
tells a machine that starts where the others are.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from msgspec import structs

from ayllu.cluster.bus import Close
from ayllu.cluster.hints import Hint, Hints, Message, encode
from ayllu.cluster.interfaces import Interface
from ayllu.cluster.tasks import Tasks

GROUP_4 = "239.192.97.121"
"""In the organization-local scope (RFC 2365)."""
GROUP_6 = "ff02::6179:6c6c"
BEAT_SECONDS = 2.0
_BEATS_PER_SECOND = 5.0
"""Of all machines together: with more than ten of them each one sends less often."""
_ANSWER_SECONDS = 1.0
_log = structlog.get_logger()


class Beacon(asyncio.DatagramProtocol):
    """Says who this machine is, and hears the others. Whoever opens it closes it.

    `say` gives the message of this moment; it is asked before each one.
    """

    def __init__(self, me: str, say: Callable[[], Message], used: Sequence[Interface]) -> None:
        self.hints = Hints(me)
        self._say = say
        self._interfaces = tuple(used)
        self._listeners: list[Callable[[], None]] = []
        self._transports: dict[int, asyncio.DatagramTransport] = {}
        self._tasks = Tasks()
        self._answered = 0.0
        self._port = 0

    async def open(self, port: int) -> None:
        """Begin on a UDP port, and ask all others to show themselves.

        A machine where no socket can be had hears nobody: the log says so.
        """
        loop = asyncio.get_running_loop()
        for family, make in ((socket.AF_INET, self._socket_4), (socket.AF_INET6, self._socket_6)):
            try:
                bound = make(port)
            except OSError as error:
                _log.warning("a beacon cannot be sent", family=family.name, reason=error.strerror)
                continue
            transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=bound)
            self._transports[family] = transport
        self._port = port
        self._send(asks=True)
        self._tasks.start(self._beat())

    async def close(self) -> None:
        """Say nothing more."""
        await self._tasks.end()
        for transport in self._transports.values():
            transport.close()
        self._transports = {}

    def heard(self) -> tuple[Hint, ...]:
        """The machines of the neighbourhood, members or not."""
        return self.hints.all(time.monotonic())

    def subscribe(self, on_change: Callable[[], None]) -> Close:
        """Be called when a machine is heard for the first time, or says something else."""
        self._listeners.append(on_change)
        return lambda: self._listeners.remove(on_change)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """A datagram from an interface that we use."""
        source = self._source(addr)
        if source is None:
            return
        before = {hint.message.node: hint.message for hint in self.heard()}
        message = self.hints.receive(data, source, time.monotonic(), time.time())
        if message is None:
            return
        if message.asks:
            self._answer()
        was = before.get(message.node)
        if was is None or _said(was) != _said(message):
            for listener in tuple(self._listeners):
                listener()

    def error_received(self, exc: Exception) -> None:
        """A datagram of ours did not arrive: nobody expects it to."""

    def _answer(self) -> None:
        now = time.monotonic()
        if now - self._answered >= _ANSWER_SECONDS:
            self._answered = now
            self._send()

    async def _beat(self) -> None:
        heard: set[str] = set()
        while True:
            seconds = max(BEAT_SECONDS, len(self.heard()) / _BEATS_PER_SECOND)
            await asyncio.sleep(seconds * random.uniform(0.8, 1.0))  # noqa: S311 - to spread them
            self._send()
            now_heard = {hint.message.node for hint in self.heard()}
            if heard - now_heard:
                for listener in tuple(self._listeners):
                    listener()
            heard = now_heard

    def _send(self, *, asks: bool = False) -> None:
        data = encode(structs.replace(self._say(), asks=asks))
        for interface in self._interfaces:
            with contextlib.suppress(OSError):  # it went down
                self._send_4(interface, data)
            with contextlib.suppress(OSError):
                self._send_6(interface, data)

    def _send_4(self, interface: Interface, data: bytes) -> None:
        transport = self._transports.get(socket.AF_INET)
        if transport is None:
            return
        for network in interface.networks:
            address = ipaddress.ip_interface(network)
            own = transport.get_extra_info("socket")
            own.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, address.ip.packed)
            transport.sendto(data, (GROUP_4, self._port))
            transport.sendto(data, (str(address.network.broadcast_address), self._port))

    def _send_6(self, interface: Interface, data: bytes) -> None:
        transport = self._transports.get(socket.AF_INET6)
        if transport is not None and interface.index and any(":" in h for h in interface.hosts):
            transport.sendto(data, (GROUP_6, self._port, 0, interface.index))

    def _source(self, addr: tuple[Any, ...]) -> str | None:
        """The sender's address, if it is a neighbour on an interface that we use."""
        host = str(addr[0]).partition("%")[0]
        if len(addr) == 4:
            name = next((one.name for one in self._interfaces if one.index == addr[3]), "")
            return f"{host}%{name}" if name else None
        address = ipaddress.ip_address(host)
        for interface in self._interfaces:
            if any(
                address in ipaddress.ip_network(one, strict=False) for one in interface.networks
            ):
                return host
        return None

    def _socket_4(self, port: int) -> socket.socket:
        made = _socket(socket.AF_INET, port)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        group = socket.inet_aton(GROUP_4)
        for interface in self._interfaces:
            for network in interface.networks:
                address = ipaddress.ip_interface(network).ip.packed
                with contextlib.suppress(OSError):  # no multicast here: broadcast remains
                    made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + address)
        return made

    def _socket_6(self, port: int) -> socket.socket:
        made = _socket(socket.AF_INET6, port)
        group = socket.inet_pton(socket.AF_INET6, GROUP_6)
        for interface in self._interfaces:
            with contextlib.suppress(OSError):
                where = group + struct.pack("@I", interface.index)
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, where)
        return made


def _said(message: Message) -> tuple[object, ...]:
    """A message without its time."""
    return structs.astuple(structs.replace(message, time=0.0, asks=False))


def _socket(family: socket.AddressFamily, port: int) -> socket.socket:
    """A UDP socket that shares its port with other servers of this machine."""
    made = socket.socket(family, socket.SOCK_DGRAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "darwin":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.settimeout(0)
        made.bind(("", port))
    except OSError:
        made.close()
        raise
    return made
