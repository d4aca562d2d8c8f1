"""The two kinds of ends that a tunnel joins: a framed stream over TLS, and a plain TCP connection.

TLS as Python has it cannot close one direction alone, so a stream carries that itself: each frame
is four bytes of length (big-endian) and as many bytes, and a frame of none ends its direction.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, cast

from ayllu.cluster.peers import PeerGoneError

LONGEST_FRAME = 1 << 20
HIGH_WATER = 1 << 19
"""Bytes that may wait to be sent before the other end is read no further."""
_LENGTH = 4


class End(asyncio.Protocol):
    """A connection whose bytes go to another end, and the other way round, with back-pressure.

    Until it is joined, what comes is kept, and little is read.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._other: End | None = None
        self._early: deque[bytes] = deque()
        """What came before there was another end; empty bytes for the end of it."""
        self._news: asyncio.Future[None] | None = None
        self._has_read_all = False
        self._has_sent_all = False
        self.is_lost = False

    def join(self, other: End) -> None:
        """Pass everything on to another end, and what comes from there to this one."""
        self.pass_to(other)
        other.pass_to(self)

    def pass_to(self, other: End) -> None:
        """Give another end all that comes here, and has come."""
        self._other = other
        for data in self._early:
            if data:
                other.send(data)
            else:
                other.send_end()
        self._early.clear()
        if self.is_lost:
            other.abort()
        self.resume()

    async def read(self) -> bytes:
        """The next bytes; none at the end. Raises PeerGoneError where the connection broke."""
        while not self._early:
            if self.is_lost:
                raise PeerGoneError("the connection broke off")
            self._news = asyncio.get_running_loop().create_future()
            self.resume()
            await self._news
        return self._early[0] and self._early.popleft()  # the end stays

    async def read_message(self, most: int) -> bytes:
        """A message that says its length in two bytes (big-endian); what follows it stays.

        Raises ValueError for one of more than `most` bytes, PeerGoneError where it is cut.
        """
        got = bytearray()
        end = 2
        while len(got) < end:
            if not (data := await self.read()):
                raise PeerGoneError("the connection ended")
            got += data
            if len(got) >= 2 and (end := 2 + int.from_bytes(got[:2], "big")) > 2 + most:
                raise ValueError("a message is too long")
        if len(got) > end:
            self._early.appendleft(bytes(got[end:]))
        return bytes(got[2:end])

    def close(self) -> None:
        """End the connection once all is sent."""
        if self._transport is not None:
            self._transport.close()

    def certificate(self) -> Mapping[str, Any] | None:
        """The other end's, in the form of SSLSocket.getpeercert; None on a plain connection."""
        found: Mapping[str, Any] | None = (
            self._transport.get_extra_info("peercert") if self._transport is not None else None
        )
        return found

    def send(self, data: bytes) -> None:
        """Send bytes. After the end they are dropped, and where the connection has broken."""
        if self._can_send():
            self._write(data)

    def send_end(self) -> None:
        """Say that nothing more comes in this direction."""
        if self._can_send():
            self._has_sent_all = True
            self._write_end()
            self._close_if_done()

    def leave(self) -> None:
        """End the connection: in order where the other end has ended, else at once."""
        if self._has_read_all:
            self.send_end()
        else:
            self.abort()

    def abort(self) -> None:
        """Break the connection off."""
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Read no further for now."""
        if self._transport is not None and not self.is_lost:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and not self.is_lost:
            self._transport.resume_reading()

    def take(self, data: bytes) -> None:
        """Bytes came, or with none of them the end."""
        if not data:
            self._has_read_all = True
        if self._other is None:
            self._early.append(data)
            self.pause()
            self._tell()
        elif data:
            self._other.send(data)
        else:
            self._other.send_end()
        self._close_if_done()

    @property
    def _to(self) -> asyncio.Transport:
        assert self._transport is not None  # noqa: S101 - a connection was made
        return self._transport

    def _can_send(self) -> bool:
        transport = self._transport
        return transport is not None and not transport.is_closing() and not self._has_sent_all

    def _write(self, data: bytes) -> None:
        raise NotImplementedError

    def _write_end(self) -> None:
        raise NotImplementedError

    def _close_if_done(self) -> None:
        if self._has_read_all and self._has_sent_all and self._transport is not None:
            self._transport.close()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """There is a connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(HIGH_WATER)
        with suppress(OSError):
            plain = transport.get_extra_info("socket")
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - all the same here
        """It is no more."""
        self.is_lost = True
        self._tell()
        if self._other is not None and not (self._has_read_all and self._has_sent_all):
            self._other.abort()

    def pause_writing(self) -> None:
        """Too much waits to be sent."""
        if self._other is not None:
            self._other.pause()

    def resume_writing(self) -> None:
        """It was sent."""
        if self._other is not None:
            self._other.resume()


class Plain(End):
    """A TCP connection on this machine."""

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        self.take(data)

    def eof_received(self) -> bool:
        """No more come; this direction stays open."""
        self.take(b"")
        return True

    def _write(self, data: bytes) -> None:
        self._to.write(data)

    def _write_end(self) -> None:
        with suppress(OSError):
            self._to.write_eof()


class Framed(End):
    """A stream over TLS. One that does not keep to the frames is broken off."""

    def __init__(self) -> None:
        super().__init__()
        self._rest = bytearray()
        self._left = 0
        """Bytes of the frame that has begun and is not yet here."""

    def data_received(self, data: bytes) -> None:
        """Parts of frames came; what there is of them is passed on at once."""
        while data and not self._has_read_all:
            if self._left:
                part, data = data[: self._left], data[self._left :]
                self._left -= len(part)
                self.take(part)
                continue
            missing = _LENGTH - len(self._rest)
            self._rest += data[:missing]
            data = data[missing:]
            if len(self._rest) == _LENGTH:
                self._left = int.from_bytes(self._rest, "big")
                self._rest.clear()
                if not self._left:
                    self.take(b"")
                elif self._left > LONGEST_FRAME:
                    self.abort()
                    return

    def _write(self, data: bytes) -> None:
        for start in range(0, len(data), LONGEST_FRAME):
            part = data[start : start + LONGEST_FRAME]
            self._to.write(len(part).to_bytes(_LENGTH, "big") + part)

    def _write_end(self) -> None:
        self._to.write(bytes(_LENGTH))
