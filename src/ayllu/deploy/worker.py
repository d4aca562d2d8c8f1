"""One ggml-rpc-server child: on a loopback port, with a limit of memory, never outliving its lease.

It believes whoever reaches its port, so only the tunnel tells anyone where that is.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import structlog

from ayllu.errors import EngineError
from ayllu.gguf.tool import ENGINE_ENVIRONMENT
from ayllu.runner.child import Child, log_file, start_child
from ayllu.runner.engine import Engine
from ayllu.runner.rpc_hello import HELLO, HELLO_REPLY_BYTES, read_hello
from ayllu.system import child_environment

if sys.platform != "win32":
    import resource

LOOPBACK = "127.0.0.1"
READY_SECONDS = 10.0
BASE_BYTES = 256 << 20
BYTES_PER_THREAD = 80 << 20
"""Addresses that the program takes before it has any weights: its libraries, and for each thread a
stack and a heap, of which it touches little."""
NICENESS = 5
"""The owner's own programs come first."""
_LOOK_SECONDS = 0.02
_ASK_SECONDS = 2.0
_PORTS_TO_TRY = 3
_log = structlog.get_logger(__name__)


class Hosted(Child):
    """A started program that is for another machine. Whoever started it calls `stop`.

    `port` is that of loopback, 0 while it has none.
    """

    def __init__(self, child: Process, port: int = 0) -> None:
        super().__init__(child)
        self.port = port

    def touched(self) -> int:
        """Bytes of memory that it uses by now."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def stands_still(self) -> bool:
        """Whether somebody has stopped it, as a debugger does."""
        try:
            return bool(psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)
        except psutil.Error:
            return False

    def _tell(self) -> None:
        _log.info("worker ended", pid=self.pid, reason=self.reason())


class WorkerProcess(Hosted):
    """A started worker."""

    async def ready(self) -> None:
        """Wait until it speaks the engine's protocol. Raises EngineError where it never does."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                while not await self._answers():
                    if self.exited.is_set():
                        raise EngineError(f"the worker did not start: {self.reason()}")
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError as error:
            raise EngineError(f"the worker did not answer in {READY_SECONDS:.0f} s") from error

    async def _answers(self) -> bool:
        """Whether it answers at its port. Raises EngineError for an answer that is none."""
        if not self._listens():
            return False
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
                with closing(writer):
                    writer.write(HELLO)
                    reply = await reader.readexactly(HELLO_REPLY_BYTES)
            read_hello(reply)
        except (OSError, EOFError):
            return False
        except ValueError as error:
            raise EngineError(f"what was started as a worker is none: {error}") from error
        return True

    def _listens(self) -> bool:
        """Whether the port is its own: somebody else may have been faster."""
        try:
            connections = psutil.Process(self.pid).net_connections("tcp")
        except psutil.Error:
            return not self.exited.is_set()  # the system does not tell
        return any(
            one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == self.port
            for one in connections
        )


async def start_worker(
    engine: Engine, *, name: str, home: Path, threads: int, room: int | None, cache: Path | None
) -> WorkerProcess:
    """A worker that is ready.

    It may take `room` bytes for what it holds (None: as much as it wants). `cache` is a folder with
    tensors that need not come over the network, as the engine's LLAMA_CACHE. Raises EngineError.
    """
    for _ in range(_PORTS_TO_TRY):
        port = _free_port()
        arguments = ["-H", LOOPBACK, "-p", str(port), "-t", str(threads)]
        environment = child_environment() | ENGINE_ENVIRONMENT
        if cache is not None:
            arguments.append("-c")
            environment["LLAMA_CACHE"] = str(cache)
        limit = None if room is None else room + BASE_BYTES + threads * BYTES_PER_THREAD
        child = await start_child(engine.rpc_server, arguments, environment, _limiting(limit))
        worker = WorkerProcess(child, port)
        worker.watch(log_file(home, name))
        try:
            await worker.ready()
        except BaseException as error:
            await worker.stop()
            if isinstance(error, EngineError) and _is_taken(port):
                continue
            raise
        _log.info("worker started", name=name, pid=worker.pid)
        return worker
    raise EngineError("no port of loopback is free for a worker")


def _limiting(limit: int | None) -> Callable[[], None] | None:
    """What the child does before its program: step back, and take no more than it may."""
    if sys.platform == "win32":
        return None

    def prepare() -> None:
        os.nice(NICENESS)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    return prepare


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _is_taken(port: int) -> bool:
    try:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, port))
    except OSError:
        return True
    return False
