"""What other machines hold, as the machine sees it that it is for: leases, and tunnels' near ends.

A worker that is none, or of another version, is found out before an engine is started with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from typing import Protocol, Self

from msgspec import Struct, structs

from ayllu.cluster.ends import Framed, Plain
from ayllu.cluster.hardware import engine_build
from ayllu.cluster.peers import PeerGoneError, Peers
from ayllu.cluster.tasks import Tasks
from ayllu.cluster.tunnel import Opening, Tunnel
from ayllu.deploy.backend import PartLostError
from ayllu.deploy.beat import Beat
from ayllu.deploy.build import protocol_of
from ayllu.deploy.worker_request import WorkerLine, WorkerRequest
from ayllu.errors import AylluError, EngineError
from ayllu.runner.engine import Engine
from ayllu.runner.rpc_hello import HELLO, HELLO_REPLY_BYTES, read_hello, version_text

PATH = "/api/cluster/workers"
Version = tuple[int, int, int]
HELLO_SECONDS = 5.0
PARTING_SECONDS = 3.0
"""How long a worker may take to say its version, and to end."""


class Reach(Protocol):
    """The ways to other machines, both None while this one is in no ayllu."""

    @property
    def peers(self) -> Peers | None:
        """For requests."""

    @property
    def tunnel(self) -> Tunnel | None:
        """For streams."""


class Held:
    """A program on another machine, held by a lease. Whoever makes one closes it.

    `endpoint` is where this machine's reach it: `127.0.0.1:port`.
    """

    parting = "it is not needed any more"
    """Why it is given back, in words for the other machine's log."""

    def __init__(self, node: str, name: str, lease: str, tunnel: Tunnel) -> None:
        self.node = node
        self.endpoint = ""
        self.lost = ""
        """Why it is lost, in a sentence; empty while it is there."""
        self._name = name
        self._lease = lease
        self._tunnel = tunnel
        self._on_loss: list[Callable[[str], object]] = []
        self._tasks = Tasks()
        self._server: asyncio.Server | None = None
        self._beat: Beat | None = None
        self._ended = asyncio.Event()

    async def __aenter__(self) -> Self:
        """For a block, which closes it."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Give it back."""
        await self.close()

    def on_loss(self, callback: Callable[[str], object]) -> None:
        """Be told, once and in a sentence, that it is lost: also where it was before."""
        if self.lost:
            callback(self.lost)
        else:
            self._on_loss.append(callback)

    async def open(self) -> None:
        """Keep the lease, and let programs of this machine in. Raises PartLostError."""
        try:
            stream = await self._tunnel.open(self.node, Opening(self._lease, "beat"))
            self._beat = Beat(stream)
            self._tasks.start(self._keep(self._beat, stream))
            await self._greet()
        except AylluError as error:
            raise PartLostError(self.node, f"{self._name}: {error.sentence}") from error
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Local(self._connect), "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.endpoint = f"{host}:{port}"

    async def close(self) -> None:
        """Give it back, and wait until it is. Safe to call twice."""
        self._on_loss.clear()
        if self._server is not None:
            self._server.close()
        if self._beat is not None and not self._ended.is_set():
            self._beat.part(self.parting)
            with suppress(TimeoutError):
                async with asyncio.timeout(PARTING_SECONDS):
                    await self._ended.wait()
        await self._tasks.end()

    async def _greet(self) -> None:
        """See that it is what it should be. Raises AylluError."""

    async def _keep(self, beat: Beat, stream: Framed) -> None:
        try:
            why = await beat.keep()
        finally:
            stream.leave()
        self._ended.set()
        self._lose(why)

    def _lose(self, why: str) -> None:
        if not self.lost:
            self.lost = f"{self._name} is lost: {why}"
            for callback in self._on_loss:
                callback(self.lost)
            self._on_loss.clear()

    def _connect(self, local: Plain) -> None:
        self._tasks.start(self._pass_on(local))

    async def _pass_on(self, local: Plain) -> None:
        """Give a connection of this machine to the program."""
        try:
            stream = await self._tunnel.open(self.node, Opening(self._lease, "rpc"))
        except AylluError as error:
            local.abort()
            self._lose(error.sentence)
        except BaseException:
            local.abort()
            raise
        else:
            local.join(stream)


class Remote(Held):
    """A worker on another machine, which has to speak the `protocol` of this machine's engine."""

    parting = "the model was unloaded"

    def __init__(
        self, node: str, name: str, lease: str, tunnel: Tunnel, protocol: Version | None
    ) -> None:
        super().__init__(node, name, lease, tunnel)
        self._protocol = protocol

    async def _greet(self) -> None:
        """Have the worker say its version, as the engine will. Raises AylluError."""
        stream = await self._tunnel.open(self.node, Opening(self._lease, "rpc"))
        reply = bytearray()
        try:
            stream.send(HELLO)
            async with asyncio.timeout(HELLO_SECONDS):
                while len(reply) < HELLO_REPLY_BYTES and (data := await stream.read()):
                    reply += data
            version = read_hello(bytes(reply))
        except TimeoutError as error:
            raise EngineError(f"its worker did not answer in {HELLO_SECONDS:.0f} s") from error
        except ValueError as error:
            raise EngineError(f"what answers for its worker is none: {error}") from error
        finally:
            stream.abort()
        if self._protocol is not None and version != self._protocol:
            raise EngineError(
                f"its worker speaks RPC protocol {version_text(version)}, and the engine of this "
                f"machine {version_text(self._protocol)}: install the same Ayllu on both"
            )


class _Local(Plain):
    """A connection of this machine, not read before its stream is there."""

    def __init__(self, connect: Callable[[Plain], None]) -> None:
        super().__init__()
        self._connect = connect

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A program of this machine wants to speak to the one that is held."""
        super().connection_made(transport)
        self._connect(self)


async def take(
    reach: Reach,
    engine: Engine,
    node: str,
    name: str,
    wanted: WorkerRequest,
    on_step: Callable[[WorkerLine], object],
) -> Remote:
    """A worker on the machine `node`, called `name`, ready for the engine; it may take minutes.

    The request's build and protocol are filled in here. Raises PartLostError.
    """
    peers, tunnel = reach.peers, reach.tunnel
    if peers is None or tunnel is None:
        raise PartLostError(node, f"{name}: this machine is in no ayllu (any more)")
    protocol = await protocol_of(engine)
    request = structs.replace(wanted, engine=engine_build(engine), protocol=version_text(protocol))
    try:
        lease = await ask(peers, node, PATH, request, on_step)
    except AylluError as error:
        raise PartLostError(node, f"{name}: {error.sentence}") from error
    remote = Remote(node, name, lease, tunnel, protocol)
    try:
        await remote.open()
    except BaseException:
        await remote.close()
        raise
    return remote


async def ask(
    peers: Peers, node: str, path: str, request: Struct, on_step: Callable[[WorkerLine], object]
) -> str:
    """The lease that a machine gives, at the end of its steps. Raises AylluError."""
    async with aclosing(peers.steps(node, path, request, WorkerLine)) as steps:
        async for step in steps:
            if step.lease:
                return step.lease
            on_step(step)
    raise PeerGoneError("it ended its answer without a lease")
