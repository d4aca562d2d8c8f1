"""How one machine gives another an answer: frames, so that the other one knows how far it is.

A frame is a type's byte, four bytes of the payload's length (big-endian), and the payload. Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw, Struct

from ayllu.cluster.peers import PeerGoneError

HOP_HEADER = "x-ayllu-hop"
"""How many bytes before the request's body are a `Carried`; only another machine may send it."""
MEDIA_TYPE = "application/x-ayllu-frames"
BEAT_SECONDS = 1.0
MOST_SILENT = 3
"""How often a machine says that it is there, and how often it may not."""
LONGEST_FRAME = 1 << 30

HEAD: Final = 1
"""The answer's status and headers: a `Head`."""
ITEM: Final = 2
"""Bytes for the client, a whole item of a stream or a whole answer; before them, in two bytes,
which of several answers they are of."""
FAILED: Final = 3
"""Bytes for the client that tell of an error in place of the rest; before them its status."""
SAID: Final = 4
"""What the engine said since, as msgpack (chat/said.py); before it, of which answer."""
BEAT: Final = 5
"""Nothing yet."""
END: Final = 6
"""That was all."""
_START = struct.Struct(">BI")
_NUMBER = struct.Struct(">H")
_Count = Annotated[int, Meta(ge=0, le=1 << 53)]


class Head(Struct, frozen=True, array_like=True):
    """Of an HTTP answer. Names of headers are lower-case."""

    status: int
    headers: list[tuple[str, str]] = []


class Carried(Struct, frozen=True, array_like=True):
    """What goes before the body: what ids are made of, and when it came (seconds since 1970).

    Where another machine began the answer, `said` is what its engine said, for each of several
    answers, and `skip` how many items of each the client has.
    """

    seed: Annotated[bytes, Meta(min_length=1, max_length=64)]
    started: _Count
    said: dict[int, list[Raw]] = {}
    skip: dict[int, _Count] = {}


def frame(kind: int, payload: bytes = b"") -> bytes:
    """A frame."""
    return _START.pack(kind, len(payload)) + payload


def numbered(kind: int, number: int, data: bytes) -> bytes:
    """A frame of an ITEM, a FAILED or a SAID."""
    return frame(kind, numbered_payload(number, data))


def numbered_payload(number: int, data: bytes) -> bytes:
    """The payload of one."""
    return _NUMBER.pack(number) + data


def read_number(payload: bytes) -> tuple[int, bytes]:
    """The number and the bytes of an ITEM, a FAILED or a SAID. Raises PeerGoneError."""
    try:
        (number,) = _NUMBER.unpack_from(payload)
    except struct.error as error:
        raise broken() from error
    return number, payload[_NUMBER.size :]


def read_head(payload: bytes) -> Head:
    """A HEAD's payload. Raises PeerGoneError."""
    try:
        return msgspec.msgpack.decode(payload, type=Head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise broken() from error


class Unframer:
    """Puts frames together again, however their bytes come."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """The frames that are whole now. Raises PeerGoneError for what is none."""
        self._rest += data
        start = 0
        while len(self._rest) - start >= _START.size:
            kind, length = _START.unpack_from(self._rest, start)
            if not HEAD <= kind <= END or length > LONGEST_FRAME:
                raise broken()
            end = start + _START.size + length
            if len(self._rest) < end:
                break
            yield kind, bytes(self._rest[start + _START.size : end])
            start = end
        del self._rest[:start]


def broken() -> PeerGoneError:
    """A machine speaks what no Ayllu does."""
    return PeerGoneError("the machine that answered sent what no Ayllu sends")
