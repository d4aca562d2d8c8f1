"""Requests to the other machines of the ayllu: their HTTP API over mutual TLS 1.3.

A machine is asked by its id. The id stands where a host's name stands in the web, so that the TLS
handshake itself checks that the certificate is the one of the machine that was meant, before
anything is sent; the resolver turns it into the addresses that the machine says it has.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import TypeVar

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult

from ayllu.cluster.bus import Close
from ayllu.cluster.endpoints import split_endpoint
from ayllu.errors import AylluError, NotFoundError

CONNECT_SECONDS = 3.0
NEXT_ADDRESS_SECONDS = 0.15
"""How long an address may keep us waiting before the next one is tried beside it."""
CHUNK = 1 << 16
_LARGEST_ERROR = 1 << 16
_LARGEST_ANSWER = 64 << 20
_T = TypeVar("_T")


class PeerGoneError(AylluError):
    """A machine of the ayllu cannot be reached, or went away in the middle of an answer."""

    status = 502


class _RefusedError(AylluError):
    """A machine of the ayllu does not do what it was asked, for a reason of its own."""

    status = 409


class _Refusal(msgspec.Struct):
    """An error, as it stands in the place of an answer or of one of its lines."""

    error: str = ""


class PeerAnswer:
    """A machine's answer whose bytes are still to come. Whoever got it closes it."""

    def __init__(self, node: str, response: aiohttp.ClientResponse, ended: Close) -> None:
        self.node = node
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._ended = ended

    async def pieces(self) -> AsyncGenerator[bytes]:
        """The body as it comes. Raises PeerGoneError where the machine goes before its end."""
        while piece := await self.piece():
            yield piece

    async def piece(self) -> bytes:
        """The next bytes, none at its end; giving up loses none. Raises PeerGoneError."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise PeerGoneError("the machine that answered has left the ayllu") from error

    async def lines(self, longest: int = 1 << 20) -> AsyncGenerator[bytes]:
        """The lines of the body. Raises PeerGoneError, also for a line that is too long."""
        rest = bytearray()
        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                *whole, last = piece.split(b"\n")
                for part in whole:
                    yield bytes(rest + part)
                    rest.clear()
                rest += last
                if len(rest) > longest:
                    raise PeerGoneError("the machine's answer has a line without an end")
        if rest:
            yield bytes(rest)

    async def read(self, most: int) -> bytes:
        """The whole body. Raises PeerGoneError, also where it is longer than `most` bytes."""
        body = bytearray()
        async for piece in self.pieces():
            body += piece
            if len(body) > most:
                raise PeerGoneError(f"the machine's answer has more than {most} bytes")
        return bytes(body)

    def close(self) -> None:
        """End it. The connection is kept for others if the answer was read to its end.

        Otherwise it is broken off: nobody waits for the other machine's farewell.
        """
        self._ended()
        if self._response.content.is_eof():
            self._response.release()
            return
        connection = self._response.connection
        if connection is not None and connection.transport is not None:
            connection.transport.abort()
        self._response.close()


class Peers:
    """Connections to members, kept while they are of use. Whoever makes one closes it.

    `addresses_of` gives the peer endpoints (`host:port`) of a node's id, the best first.
    """

    def __init__(
        self, context: ssl.SSLContext, addresses_of: Callable[[str], Sequence[str]]
    ) -> None:
        connector = aiohttp.TCPConnector(
            ssl=context,
            limit=0,
            use_dns_cache=False,
            resolver=_MemberResolver(addresses_of),
            happy_eyeballs_delay=NEXT_ADDRESS_SECONDS,
            keepalive_timeout=60,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._breaks: dict[str, set[Callable[[], object]]] = defaultdict(set)
        """What breaks off all that a machine owes us."""

    async def ask(
        self,
        node: str,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | bytearray | AsyncGenerator[bytes] | None = None,
    ) -> PeerAnswer:
        """The beginning of a machine's answer, of any status. Raises PeerGoneError."""
        asked = asyncio.ensure_future(
            self._session.request(
                method,
                f"https://{node}{path}",
                data=_body(body),
                headers={**(headers or {}), **_length(body)},
                allow_redirects=False,
            )
        )
        ended = self._breaking(node, asked.cancel)
        try:
            response = await asked
        except (aiohttp.ClientError, OSError) as error:
            raise PeerGoneError(f"the machine cannot be reached: {_reason(error)}") from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise PeerGoneError("the machine has left the ayllu") from None
        finally:
            ended()

        def break_off() -> None:
            response.content.set_exception(aiohttp.ClientPayloadError("it left"))
            response.close()

        return PeerAnswer(node, response, self._breaking(node, break_off))

    async def steps(
        self, node: str, path: str, wanted: object, kind: type[_T]
    ) -> AsyncGenerator[_T]:
        """What a machine says line by line (NDJSON) while it does what it is `wanted` to do.

        Raises PeerGoneError, and AylluError with the machine's own words where it cannot do it.
        """
        answer = await self._granted(node, "POST", path, wanted)
        try:
            async with aclosing(answer.lines()) as lines:
                async for line in lines:
                    if refused := _read(line, _Refusal).error:
                        raise AylluError(refused)
                    yield _read(line, kind)
        finally:
            answer.close()

    async def tell(
        self, node: str, method: str, path: str, kind: type[_T], *, wanted: object = None
    ) -> _T:
        """What a machine answers, whole. Raises as `steps` does, and NotFoundError."""
        answer = await self._granted(node, method, path, wanted)
        try:
            return _read(await answer.read(_LARGEST_ANSWER), kind)
        finally:
            answer.close()

    async def status(
        self, node: str, method: str, path: str, *, body: AsyncGenerator[bytes] | None = None
    ) -> int:
        """The status alone of what a machine answers. Raises PeerGoneError."""
        answer = await self.ask(node, method, path, body=body)
        try:
            await answer.read(_LARGEST_ERROR)
            return answer.status
        finally:
            answer.close()

    async def _granted(self, node: str, method: str, path: str, wanted: object) -> PeerAnswer:
        """The beginning of an answer that is none of an error."""
        body = None if wanted is None else msgspec.json.encode(wanted)
        headers = {} if body is None else {"content-type": "application/json"}
        answer = await self.ask(node, method, path, headers=headers, body=body)
        if answer.status == 200:
            return answer
        try:
            refusal = _read(await answer.read(_LARGEST_ERROR), _Refusal).error or "it refused"
        finally:
            answer.close()
        raise NotFoundError(refusal) if answer.status == 404 else _RefusedError(refusal)

    def drop(self, node: str) -> None:
        """A machine left: whoever waits for it gets a PeerGoneError now."""
        for break_off in list(self._breaks.get(node, ())):
            break_off()

    def _breaking(self, node: str, break_off: Callable[[], object]) -> Close:
        """Have something broken off when the machine leaves, until the result is called."""
        self._breaks[node].add(break_off)

        def end() -> None:
            left = self._breaks.get(node)
            if left is not None:
                left.discard(break_off)
                if not left:
                    del self._breaks[node]

        return end

    async def close(self) -> None:
        """Break off what is under way, and every connection."""
        await self._session.close()


class _MemberResolver(AbstractResolver):
    """Turns a node's id into the addresses that it listens at, each with its own port."""

    def __init__(self, addresses_of: Callable[[str], Sequence[str]]) -> None:
        self._addresses_of = addresses_of

    async def resolve(
        self,
        host: str,
        port: int = 0,  # noqa: ARG002 - each address has its own
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - all are wanted
    ) -> list[ResolveResult]:
        """The addresses of a member. Raises OSError where none is known."""
        found = []
        for text in self._addresses_of(host):
            with suppress(ValueError):  # another machine's word, and no address
                found.append(_resolved(host, *split_endpoint(text)))
        if not found:
            raise OSError("no address of it is known")
        return found

    async def close(self) -> None:
        """Nothing is held."""


def _resolved(node: str, host: str, port: int) -> ResolveResult:
    is_v6 = ipaddress.ip_address(host).version == 6
    return ResolveResult(
        hostname=node,
        host=host,
        port=port,
        family=socket.AF_INET6 if is_v6 else socket.AF_INET,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST,
    )


_Body = bytes | bytearray | AsyncGenerator[bytes] | None


def _length(body: _Body) -> dict[str, str]:
    return {"content-length": str(len(body))} if isinstance(body, bytes | bytearray) else {}


def _body(body: _Body) -> bytes | AsyncGenerator[bytes] | None:
    """What aiohttp sends: a long body in pieces, which leave the event loop free between them."""
    if not isinstance(body, bytes | bytearray):
        return body
    return bytes(body) if len(body) <= CHUNK else _pieces(body)


async def _pieces(body: bytes | bytearray) -> AsyncGenerator[bytes]:
    view = memoryview(body)
    for start in range(0, len(body), CHUNK):
        yield bytes(view[start : start + CHUNK])


def _read(data: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise PeerGoneError("it answers what no Ayllu does") from error


def _reason(error: Exception) -> str:
    """What is wrong, in few words."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "another machine answers at its address"
    if isinstance(error, aiohttp.ClientSSLError):
        return "no secure connection comes about; it may have left the ayllu"
    if isinstance(error, aiohttp.ClientConnectorError):
        return (error.os_error.strerror or str(error.os_error)).lower()
    if isinstance(error, TimeoutError):
        return "it does not answer"
    return "it broke off the connection; it may have revoked this machine"
