"""What a training and a machine that helps it say to each other, in frames, over one connection.

The training sends the weights as they are and some examples, the helper sends back the gradient: it
keeps nothing from one step to the next, so whatever happens to it costs nothing. A frame is a head,
a message (MessagePack) and as many bytes of 32-bit numbers as both ends know there are.
"""

from __future__ import annotations

import hashlib
import socket
import struct
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from msgspec import Meta, Struct

from ayllu.trainer.examples import Example

VERSION = 1
LARGEST_MESSAGE = 256 << 20
"""Bytes of a message: the examples of a step."""
_MAGIC = b"AYTR"
_HEAD = struct.Struct(">4sIQ")
_PIECE = 1 << 20
_NUMBERS = frozenset({"|b1", "|u1", "<i4", "<i8", "<f4"})
_Kind = TypeVar("_Kind", bound=Struct)
_Text = Annotated[str, Meta(max_length=1000)]
Numbers = Any
"""An array of float32 behind one another."""


class Hello(Struct, frozen=True, kw_only=True):
    """The training's first word: `weights` stands for what is trained, `key` shows whose it is."""

    version: int
    weights: _Text
    key: _Text


class Welcome(Struct, frozen=True):
    """The answer: why not, or nothing."""

    refusal: _Text = ""


class Task(Struct, frozen=True, kw_only=True):
    """A helper's part of a step; the weights come with it. `counted` are all predictions of it.

    Chance in it comes from the step and from the `place` of the part in it.
    """

    step: int
    place: int
    counted: int
    batches: list[list[Example]]


class Answer(Struct, frozen=True, kw_only=True):
    """What a part came to; the gradient comes with it. `loss` is its share of the mean.

    `seconds` is how long it was computed.
    """

    step: int
    loss: float
    seconds: float


class Line:
    """A connection on which nothing takes longer than it may. Whoever makes one closes it.

    What goes wrong is raised as OSError, what is none of these frames as ValueError.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection

    def send(self, message: Struct, numbers: Numbers = None, *, seconds: float | None) -> None:
        """Send a message, with numbers where it has any."""
        data = msgspec.msgpack.encode(message, enc_hook=_listed)
        payload = memoryview(b"") if numbers is None else memoryview(numbers).cast("B")
        self._connection.settimeout(seconds)
        self._connection.sendall(_HEAD.pack(_MAGIC, len(data), payload.nbytes) + data)
        if payload.nbytes:
            self._connection.sendall(payload)

    def receive(
        self, kind: type[_Kind], numbers: Numbers = None, *, seconds: float | None
    ) -> _Kind:
        """The next message, which has to be of a kind; the numbers with it fill those given."""
        until = None if seconds is None else time.monotonic() + seconds
        head = bytearray(_HEAD.size)
        self._fill(memoryview(head), until)
        magic, size, extra = _HEAD.unpack(head)
        payload = memoryview(b"") if numbers is None else memoryview(numbers).cast("B")
        if magic != _MAGIC or size > LARGEST_MESSAGE or extra != payload.nbytes:
            raise ValueError("it says what is no word of a training")
        data = bytearray()
        while len(data) < size:  # bit by bit: what is said to come may never come
            piece = bytearray(min(_PIECE, size - len(data)))
            self._fill(memoryview(piece), until)
            data += piece
        self._fill(payload, until)
        try:
            return msgspec.msgpack.decode(data, type=kind, dec_hook=_array)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error

    def close(self) -> None:
        """End it, also for a thread that waits for it."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _fill(self, buffer: memoryview, until: float | None) -> None:
        while buffer.nbytes:
            if until is not None and (left := until - time.monotonic()) <= 0:
                raise TimeoutError("it did not answer in time")
            self._connection.settimeout(None if until is None else left)
            count = self._connection.recv_into(buffer[:_PIECE])
            if not count:
                raise ConnectionError("it ended the connection")
            buffer = buffer[count:]


def fingerprint(shapes: Iterable[tuple[str, Iterable[int]]]) -> str:
    """What stands for the names and shapes of weights."""
    text = "\n".join(f"{name} {tuple(shape)}" for name, shape in shapes)
    return hashlib.sha256(text.encode()).hexdigest()


def _listed(value: object) -> object:
    """An array for a message. Raises NotImplementedError, as msgspec wants it, for what is none."""
    if isinstance(value, np.ndarray):
        return value.dtype.newbyteorder("<").str, value.shape, np.ascontiguousarray(value).tobytes()
    raise NotImplementedError


def _array(_kind: object, value: Any) -> Any:  # noqa: ANN401 - what a message has, an array
    """The array of a message. Raises ValueError where it is none."""
    dtype, shape, data = msgspec.convert(value, tuple[str, tuple[int, ...], bytes])
    if dtype not in _NUMBERS:
        raise ValueError("it sends arrays of something else than numbers")
    return np.frombuffer(data, dtype).reshape(shape)
