"""What machines of the neighbourhood say of themselves by beacon: hints, which nobody has proved.

Anybody can send anything. So a message is small and checked, the table of them is bounded and
forgets, and where a machine may be found is where its message came from, never what it says.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from ayllu.cluster.endpoints import join_endpoint
from ayllu.cluster.messages import read
from ayllu.cluster.quiet import Quiet
from ayllu.cluster.record import NodeId
from ayllu.errors import BadRequestError

MAGIC = "ayllu-beacon"
VERSION = 1
LARGEST = 512
MOST = 256
"""Machines that are kept in mind."""
MOST_OF_ONE_ADDRESS = 16
"""Machines that one address may speak for: several servers on one machine, or a liar."""
FORGET_SECONDS = 15.0
_ADDRESSES = 4
_Port = Annotated[int, Meta(ge=0, lt=1 << 16)]


class Message(Struct, frozen=True, array_like=True):
    """A beacon's datagram, as msgpack. Ports are 0 where nothing listens.

    `tag` tells ayllus apart without naming them, and is empty for a machine that is in none. `time`
    is the sender's clock, seconds since 1970. `asks` wants all others to say where they are.
    """

    magic: str
    format: int
    node: NodeId
    name: Annotated[str, Meta(max_length=64)]
    tag: Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{16})?\Z")]
    version: Annotated[str, Meta(max_length=32)]
    join: _Port
    bus: _Port
    bulk: _Port
    time: Annotated[float, Meta(ge=0, le=1e12)]
    asks: bool = False


class Hint(Struct, frozen=True):
    """A machine that was heard: its last message, the addresses it came from, and our clocks."""

    message: Message
    addresses: tuple[str, ...]
    heard: float
    skew: float
    """Seconds that its clock is ahead of ours."""

    def places(self, port: int) -> tuple[str, ...]:
        """Its addresses with one of its ports, as `host:port`; none for port 0."""
        return tuple(join_endpoint(host, port) for host in self.addresses) if port else ()


_decoder = msgspec.msgpack.Decoder(Message)


def tag_of(cluster: str) -> str:
    """What stands for an ayllu in a beacon."""
    return hashlib.sha256(f"ayllu beacon {cluster}".encode()).hexdigest()[:16] if cluster else ""


def encode(message: Message) -> bytes:
    """The message as a datagram."""
    return msgspec.msgpack.encode(message)


def decode(data: bytes) -> Message:
    """A datagram's message. Raises BadRequestError for what is none."""
    if len(data) > LARGEST:
        raise BadRequestError(f"a beacon of {len(data)} bytes is too large")
    message = read(_decoder, data, "this is no beacon")
    if message.magic != MAGIC or not message.name.isprintable() or not message.version.isascii():
        raise BadRequestError("this is no beacon of ours")
    if message.format != VERSION:
        raise BadRequestError(f"this beacon has the format {message.format}, ours is {VERSION}")
    return message


class Hints:
    """The machines heard lately. `now` is a monotonic clock's, `clock` seconds since 1970."""

    def __init__(self, me: str) -> None:
        self.quiet = Quiet()
        """Counts what was dropped."""
        self.hears_itself = False
        """Whether a message of our own came back, as it does where multicast or broadcast works."""
        self._me = me
        self._hints: dict[str, Hint] = {}

    def all(self, now: float) -> tuple[Hint, ...]:
        """Those that are not too old."""
        self._forget(now)
        return tuple(self._hints.values())

    def receive(self, data: bytes, source: str, now: float, clock: float) -> Message | None:
        """Take in a datagram; its message, if it is news. What is no good is dropped."""
        try:
            message = decode(data)
        except BadRequestError as error:
            self.quiet.warn("a beacon was dropped", source=source, reason=error.sentence)
            return None
        if message.node == self._me:
            self.hears_itself = True
            return None
        before = self._hints.get(message.node)
        if before is not None and now - before.heard > FORGET_SECONDS:
            before = None
        if before is None and not self._has_room(source, now):
            self.quiet.warn("a beacon was dropped", source=source, reason="there are too many")
            return None
        if before is not None and message.time < before.message.time:
            self.quiet.warn("a beacon was dropped", source=source, reason="it is repeated")
            return None
        known = before.addresses if before is not None else ()
        if before is not None and message.time == before.message.time:  # by another way
            addresses = tuple(dict.fromkeys((*known, source)))[:_ADDRESSES]
            self._hints[message.node] = msgspec.structs.replace(before, addresses=addresses)
            return None
        latest = tuple(dict.fromkeys((source, *known)))[:_ADDRESSES]
        self._hints[message.node] = Hint(message, latest, now, message.time - clock)
        return message

    def _has_room(self, source: str, now: float) -> bool:
        if len(self._hints) >= MOST:
            self._forget(now)
        of_source = sum(hint.addresses[0] == source for hint in self._hints.values())
        return len(self._hints) < MOST and of_source < MOST_OF_ONE_ADDRESS

    def _forget(self, now: float) -> None:
        old = [node for node, hint in self._hints.items() if now - hint.heard > FORGET_SECONDS]
        for node in old:
            del self._hints[node]
