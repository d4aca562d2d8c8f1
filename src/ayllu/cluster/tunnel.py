"""Raw streams between the machines of an ayllu, over mutual TLS 1.3: a listener, and a caller.

The first bytes of a stream name the lease that it is of, and what it is for; whoever hosts leases
says whether the machine of the certificate may have it. Nothing else is answered, and nobody else.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Annotated, Literal, Protocol, TypeVar

import msgspec
from msgspec import Meta, Struct

from ayllu.cluster.endpoints import split_endpoint
from ayllu.cluster.ends import Framed
from ayllu.cluster.listening import bind_each, endpoint
from ayllu.cluster.peer_server import HANDSHAKE_SECONDS, common_name
from ayllu.cluster.peers import CONNECT_SECONDS, NEXT_ADDRESS_SECONDS, PeerGoneError
from ayllu.cluster.quiet import Quiet
from ayllu.cluster.tasks import Tasks
from ayllu.errors import AylluError
from ayllu.registry.limits import end

FIRST_SECONDS = 5.0
"""How long the first bytes of a stream may take, and the answer to them."""
MOST_STREAMS = 512
MOST_STREAMS_OF_ONE = 128
MOST_HANDSHAKES = 64
"""Streams of all machines and of one at a time, and connections of which it is not known yet whose
they are."""
LARGEST_OPENING = 256
LARGEST_REPLY = 2048
_ACCEPT_AGAIN_SECONDS = 0.5
_T = TypeVar("_T")


class Opening(Struct, frozen=True, array_like=True):
    """The first bytes of a stream: whose it is, and what it is for.

    `beat` says that both ends live, `rpc` is a connection with the lease's program.
    """

    lease: Annotated[str, Meta(max_length=64)]
    purpose: Literal["beat", "rpc"]


class _Reply(Struct, frozen=True, array_like=True):
    """The first bytes back: why not, or nothing."""

    refusal: Annotated[str, Meta(max_length=1000)] = ""


class RefusedStreamError(AylluError):
    """The other machine does not give what the stream was for; it says why."""

    status = 409


Serve = Callable[[Framed], Awaitable[None]]
"""Works with a stream whose other machine was told that it may."""


class Host(Protocol):
    """Who gives streams what they are for."""

    async def admit(self, node: str, opening: Opening) -> Serve:
        """What to do with a stream of a machine. Raises AylluError, which that machine is told."""


class Tunnel:
    """This machine's end of all streams. Whoever makes one closes it.

    `contexts` are TLS for the listener and for the caller, `addresses_of` gives the endpoints of a
    node's id, and `is_refused` says of one whether it may not speak.
    """

    def __init__(
        self,
        contexts: tuple[ssl.SSLContext, ssl.SSLContext],
        host: Host,
        *,
        is_refused: Callable[[str], bool],
        addresses_of: Callable[[str], Sequence[str]],
    ) -> None:
        self._server_context, self._client_context = contexts
        self._host = host
        self._is_refused = is_refused
        self._addresses_of = addresses_of
        self._listeners: list[socket.socket] = []
        self._streams: dict[Framed, str] = {}
        """All that are open, with the machine at the other end."""
        self._handshakes = 0
        self._tasks = Tasks()
        self._quiet = Quiet()

    async def start(self, addresses: Iterable[str], port: int) -> tuple[str, ...]:
        """Listen on each address, at `port` or, where that is taken, at any.

        Returns the endpoints as `host:port`. Raises AylluError where no address can be had.
        """
        self._listeners = bind_each(addresses, port)
        for listener in self._listeners:
            self._tasks.start(self._accept(listener))
        return tuple(map(endpoint, self._listeners))

    async def open(self, node: str, opening: Opening) -> Framed:
        """A stream to a machine, which agreed; whoever gets it ends it.

        Raises PeerGoneError where it cannot be reached, RefusedStreamError where it refuses.
        """
        stream = await self._reach(node)
        self._streams[stream] = node
        try:
            stream.send(_packed(opening))
            async with asyncio.timeout(FIRST_SECONDS):
                reply = _unpacked(await stream.read_message(LARGEST_REPLY), _Reply)
        except BaseException as error:
            stream.abort()
            if isinstance(error, TimeoutError):
                raise PeerGoneError("the machine does not answer") from error
            if isinstance(error, ValueError):
                raise PeerGoneError("the machine answers something else than a stream") from error
            raise
        if reply.refusal:
            stream.abort()
            raise RefusedStreamError(reply.refusal)
        return stream

    @property
    def streams(self) -> Counter[str]:
        """How many streams there are with each machine."""
        return Counter(self._streams.values())

    def drop(self, node: str) -> None:
        """Break off all streams with a machine."""
        for stream, other in list(self._streams.items()):
            if other == node:
                stream.abort()

    async def close(self) -> None:
        """Listen no more, and break off all streams."""
        await self._tasks.end()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for stream in list(self._streams):
            stream.abort()

    # The listener.

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:  # too many files are open
                self._quiet.warn("a stream cannot be accepted", reason=str(error))
                await asyncio.sleep(_ACCEPT_AGAIN_SECONDS)
                continue
            if self._handshakes >= MOST_HANDSHAKES:
                self._quiet.warn("too many connections at once want a stream")
                connection.close()
                continue
            self._handshakes += 1
            self._tasks.start(self._greet(connection))

    async def _greet(self, connection: socket.socket) -> None:
        """Make a stream of a connection, if it is one of a member who says in time what it wants.

        Whoever fails at that is told nothing.
        """
        stream = self._new()  # uvloop gives back another one
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: stream,
                connection,
                ssl=self._server_context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
            )
        except OSError as error:  # TLS errors and timeouts are such
            connection.close()
            self._quiet.warn("a stream was refused: no TLS of a member", reason=str(error))
            return
        except asyncio.CancelledError:
            connection.close()
            raise
        finally:
            self._handshakes -= 1
        try:
            await self._serve(stream)
        except (PeerGoneError, TimeoutError, ValueError) as error:
            self._quiet.warn("a stream was broken off", node=stream.node, reason=str(error))
            stream.abort()
        except BaseException:
            stream.abort()
            raise

    async def _serve(self, stream: _Stream) -> None:
        """Raises ValueError for an opening that is none, TimeoutError, PeerGoneError."""
        node = stream.node = common_name(stream.certificate())
        open_already = self.streams
        if not node or self._is_refused(node):
            raise ValueError("it is revoked")
        if open_already.total() >= MOST_STREAMS or open_already[node] >= MOST_STREAMS_OF_ONE:
            raise ValueError("it has too many")
        self._streams[stream] = node
        async with asyncio.timeout(FIRST_SECONDS):
            opening = _unpacked(await stream.read_message(LARGEST_OPENING), Opening)
        try:
            serve = await self._host.admit(node, opening)
        except AylluError as error:
            stream.send(_packed(_Reply(error.sentence[:1000])))
            stream.send_end()
            stream.close()
            return
        stream.send(_packed(_Reply()))
        await serve(stream)

    # The caller.

    async def _reach(self, node: str) -> _Stream:
        """A connection with a machine, at the first of its addresses that answers as it."""
        problem = "no address of it is known"
        pending: set[asyncio.Task[_Stream]] = set()
        places = list(self._addresses_of(node))
        try:
            while places or pending:
                if places:
                    pending.add(asyncio.ensure_future(self._dial(node, places.pop(0))))
                wait = NEXT_ADDRESS_SECONDS if places else None
                done, pending = await asyncio.wait(
                    pending, timeout=wait, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    error = task.exception()
                    if error is None:
                        pending |= done - {task}
                        return task.result()
                    problem = _reason(error)
        finally:
            for task in pending:
                task.add_done_callback(_abort_late)
            await end(pending)
        raise PeerGoneError(f"the machine cannot be reached: {problem}")

    async def _dial(self, node: str, place: str) -> _Stream:
        host, port = split_endpoint(place)
        async with asyncio.timeout(CONNECT_SECONDS):
            _, stream = await asyncio.get_running_loop().create_connection(
                self._new, host, port, ssl=self._client_context, server_hostname=node
            )
        return stream

    def _new(self) -> _Stream:
        return _Stream(self._forget)

    def _forget(self, stream: Framed) -> None:
        self._streams.pop(stream, None)


class _Stream(Framed):
    """A stream that is on the list for as long as it is open."""

    def __init__(self, forget: Callable[[Framed], None]) -> None:
        super().__init__()
        self._forget = forget
        self.node = ""

    def connection_lost(self, error: Exception | None) -> None:
        """It is no more."""
        super().connection_lost(error)
        self._forget(self)


def _abort_late(task: asyncio.Task[_Stream]) -> None:
    """A connection that came when another one had."""
    if not task.cancelled() and task.exception() is None:
        task.result().abort()


def _packed(message: Struct) -> bytes:
    """A message with its length in front, two bytes (big-endian)."""
    data = msgspec.msgpack.encode(message)
    return len(data).to_bytes(2, "big") + data


def _unpacked(data: bytes, kind: type[_T]) -> _T:
    """Raises ValueError, which msgspec's errors are."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _reason(error: BaseException) -> str:
    """What is wrong, in few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "another machine answers at its address"
    if isinstance(error, ssl.SSLError):
        return "no secure connection comes about; it may have left the ayllu"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, ValueError):
        return "its address is none"
    if isinstance(error, OSError):
        return (error.strerror or str(error) or "it broke off the connection").lower()
    raise error
