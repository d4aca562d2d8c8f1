"""The join door: where machines knock that have no certificate, or one that has run out.

A small server of its own, for strangers may reach it: TLS 1.3, one request of at most 64 KiB and
one reply per connection, ten seconds, few connections at once. Nothing here needs a certificate of
the one who knocks; what it wants it has to prove in the request.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from msgspec import Struct

from ayllu import __version__
from ayllu.cluster.authority import self_signed
from ayllu.cluster.door_messages import (
    LARGEST_REQUEST,
    About,
    Hello,
    Refused,
    Reply,
    frame,
    read_frame,
    read_request,
    shown,
)
from ayllu.cluster.folder import write
from ayllu.cluster.identity import KEY
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.quiet import Quiet
from ayllu.cluster.tasks import Tasks
from ayllu.errors import AylluError

SECONDS = 10.0
HANDSHAKE_SECONDS = 5.0
MOST_VISITS = 32
MOST_VISITS_OF_ONE = 8
_SELF_SIGNED = "self.crt"
_log = structlog.get_logger()


class Visitor(Struct, frozen=True):
    """Who knocks: its IP address, and the certificate (DER) that our door has shown to it."""

    host: str
    leaf: bytes


Answer = Callable[[Any, Visitor], Awaitable[Reply]]
"""Answers requests of one type. What it raises as AylluError is told to the visitor."""


class Door:
    """Answers at the join door. `name` is the machine's for people; whoever opens it closes it."""

    def __init__(self, keyring: Keyring, name: str) -> None:
        self._keyring = keyring
        self._name = shown(name)
        self._answers: dict[type, Answer] = {Hello: self._hello}
        self._shown: tuple[ssl.SSLContext, bytes] | None = None
        self._listeners: list[socket.socket] = []
        self._tasks = Tasks()
        self._visits: Counter[str] = Counter()
        self._quiet = Quiet()
        keyring.watch(self._forget)

    def answer(self, kind: type, answer: Answer) -> None:
        """Answer requests of a type so; there is one way for each."""
        self._answers[kind] = answer

    async def open(self, listeners: Iterable[socket.socket]) -> None:
        """Answer at sockets that listen already and do not block; they are closed with the door."""
        for listener in listeners:
            self._listeners.append(listener)
            self._tasks.start(self._listen(listener))

    async def close(self) -> None:
        """Listen no more, and break off whoever is being answered."""
        for listener in self._listeners:
            with suppress(NotImplementedError):  # of a loop without readers
                asyncio.get_running_loop().remove_reader(listener)
        await asyncio.sleep(0)  # whoever was just accepted is among the tasks then
        await self._tasks.end()
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    async def _listen(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(listener)
            except OSError as error:  # no file descriptors, or the visitor is gone
                self._quiet.warn("the join door cannot answer", reason=str(error))
                await asyncio.sleep(0.1)
                continue
            host = _host(address)
            if self._visits.total() >= MOST_VISITS or self._visits[host] >= MOST_VISITS_OF_ONE:
                client.close()
                self._quiet.warn("too many knock at the join door at once", host=host)
                continue
            self._visits[host] += 1
            visit = self._tasks.start(self._visit(client, host))
            visit.add_done_callback(partial(self._gone, client, host))

    async def _visit(self, client: socket.socket, host: str) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                await self._receive(client, host)
        except TimeoutError:
            self._quiet.warn("a visitor was too slow", host=host)
        except (OSError, EOFError) as error:
            self._quiet.warn("a visitor broke off", host=host, reason=str(error))
        except AylluError as error:
            self._quiet.warn("a visitor was dropped", host=host, reason=error.sentence)
        except Exception:  # noqa: BLE001 - an accident with one visitor is not the door's end
            _log.exception("the join door failed", host=host)

    def _gone(self, client: socket.socket, host: str, _: asyncio.Task[None]) -> None:
        """A visit is over, even one that was cancelled before it began."""
        client.close()
        self._visits[host] -= 1
        if not self._visits[host]:
            del self._visits[host]

    async def _receive(self, client: socket.socket, host: str) -> None:
        """Read one request, write one reply. Raises BadRequestError for what is none."""
        loop = asyncio.get_running_loop()
        context, leaf = self._certificate()
        reader = asyncio.StreamReader(limit=LARGEST_REQUEST + 4)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.connect_accepted_socket(
            lambda: protocol, client, ssl=context, ssl_handshake_timeout=HANDSHAKE_SECONDS
        )
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            request = read_request(await read_frame(reader, LARGEST_REQUEST))
            writer.write(frame(await self._reply(request, Visitor(host, leaf))))
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        finally:
            transport.abort()
            with suppress(OSError):
                await writer.wait_closed()

    async def _reply(self, request: Any, visitor: Visitor) -> Reply:  # noqa: ANN401 - any request
        answer = self._answers.get(type(request))
        if answer is None:
            return Refused("this machine does not do that at its join door")
        try:
            return await answer(request, visitor)
        except AylluError as error:
            self._quiet.warn("a visitor was refused", host=visitor.host, reason=error.sentence)
            return Refused(error.sentence[:1000])

    async def _hello(self, _: Hello, __: Visitor) -> About:
        own = self._keyring.credentials
        about = About(self._keyring.identity.node, self._name, __version__, self._keyring.clock())
        if own is None:
            return about
        return About(
            about.node,
            about.name,
            about.version,
            about.time,
            own.cluster,
            own.authority.der,
            own.ends,
            own.is_admin,
        )

    def _forget(self) -> None:
        """The certificate changed: whoever knocks from now on sees the new one."""
        self._shown = None

    def _certificate(self) -> tuple[ssl.SSLContext, bytes]:
        """TLS with what this machine has to show: a member's certificate, or its own word."""
        if self._shown is None:
            own, identity = self._keyring.credentials, self._keyring.identity
            path = own.certificate_file if own else identity.folder / _SELF_SIGNED
            if own is None:
                write(path, self_signed(identity.key, self._keyring.clock()))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.load_cert_chain(path, identity.folder / KEY)
            self._shown = context, _der(path)
        return self._shown


def _host(address: tuple[Any, ...]) -> str:
    """The IP address of a socket's, with the scope of a link-local one."""
    scoped = len(address) == 4 and address[3] and "%" not in address[0]
    return f"{address[0]}%{address[3]}" if scoped else str(address[0])


def _der(path: Path) -> bytes:
    certificate = x509.load_pem_x509_certificate(path.read_bytes())
    return certificate.public_bytes(serialization.Encoding.DER)
