"""One llama-server child: started on a socket only we can reach, watched, drained, ended.

It dies with us: by the kernel's parent-death signal on Linux, by a watchdog pipe elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import structlog

from ayllu.errors import EngineError
from ayllu.gguf.tool import ENGINE_ENVIRONMENT
from ayllu.runner.engine import Engine
from ayllu.runner.explain import explain_exit
from ayllu.runner.options import LoadOptions, engine_arguments
from ayllu.system import USERS_PREFIX, child_environment, dies_with_parent, temporary_prefix

LOG_LINES = 200
STOP_SECONDS = 3.0
LONGEST_FOLDER = 60
"""A unix socket's whole path must stay under 104 bytes on macOS, 108 on Linux."""
UNIX_SOCKETS = sys.platform != "win32"

_LINUX = sys.platform == "linux"
_log = structlog.get_logger(__name__)


class EngineDiedError(EngineError):
    """The child is gone or was ended because it hung: the request may be run again on a new one.

    It is `hung` where this request waited in vain, and may be what the child hung at.
    """

    def __init__(self, sentence: str, *, hung: bool = False) -> None:
        super().__init__(sentence)
        self.hung = hung


class RunnerProcess:
    """A started llama-server. Whoever started it calls `stop`.

    `url` and `socket_path` say where it answers, `api_key` what it wants to hear. `media_marker`
    stands for an image or a sound within a prompt; it is random, so that no text can forge one.
    """

    def __init__(
        self, child: Process, *, name: str, folder: Path, api_key: str, media_marker: str
    ) -> None:
        self._child = child
        self._folder = folder
        self._watchdog: tuple[int, int] | None = None
        self._last_output = time.monotonic()
        self.name = name
        self.pid = child.pid
        self.api_key = api_key
        self.media_marker = media_marker
        self.socket_path = folder / "engine.sock" if UNIX_SOCKETS else None
        self.url = "http://engine" if UNIX_SOCKETS else ""
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self.exited = asyncio.Event()
        self.killed_because = ""
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def alive(self) -> bool:
        """Whether the child still runs and nobody has decided to end it."""
        return not self.exited.is_set() and not self.killed_because

    @property
    def was_killed(self) -> bool:
        """Whether somebody else killed the child, out of memory being somebody too."""
        return self._child.returncode == -signal.SIGKILL and not self.killed_because

    @property
    def seconds_silent(self) -> float:
        """Seconds since the child last wrote to its log."""
        return time.monotonic() - self._last_output

    def reason(self) -> str:
        """Why the child ended, in a sentence."""
        return self.killed_because or explain_exit(self._child.returncode, self.log)

    def kill(self, because: str) -> None:
        """End a child that hangs, at once."""
        if not self.exited.is_set():
            self.killed_because = self.killed_because or because
            _signal_group(self.pid, signal.SIGKILL)

    async def stop(self) -> None:
        """End the child (politely, then not) and remove what it left. Safe to call twice."""
        if not self.exited.is_set():
            self.killed_because = self.killed_because or "the model was unloaded"
            _signal_group(self.pid, signal.SIGTERM)
            try:
                await asyncio.wait_for(self.exited.wait(), STOP_SECONDS)
            except TimeoutError:
                _signal_group(self.pid, signal.SIGKILL)
        await asyncio.wait(self._tasks)

    def watch(self, log_file: Path, on_exit: Callable[[RunnerProcess], None]) -> None:
        """Drain the log into memory and a file, and notice the end."""
        self._tasks = [
            asyncio.create_task(self._drain(log_file)),
            asyncio.create_task(self._reap(on_exit)),
        ]

    def arm_watchdog(self) -> None:
        """Where the kernel has no parent-death signal: a shell that kills the child when we die.

        It holds the reading end of a pipe whose only writer is this process.
        """
        reading, writing = os.pipe()
        script = f"read _ || kill -9 -{self.pid}"
        shell = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", script],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, reading, 0)],
            setsid=True,
        )
        os.close(reading)
        self._watchdog = shell, writing

    def _disarm_watchdog(self) -> None:
        """Tell the shell that there is nothing left to kill."""
        if self._watchdog is not None:
            shell, writing = self._watchdog
            with contextlib.suppress(OSError):
                os.write(writing, b"\n")
            os.close(writing)
            os.waitpid(shell, 0)
            self._watchdog = None

    async def _drain(self, log_file: Path) -> None:
        assert self._child.stdout is not None  # noqa: S101 - it was started with a pipe
        with contextlib.ExitStack() as stack:
            file = None
            with contextlib.suppress(OSError):  # a full disk must not stop the engine
                file = stack.enter_context(log_file.open("wb", buffering=0))
            async for line in _lines(self._child.stdout):
                self._last_output = time.monotonic()
                self.log.append(line.decode("utf-8", "replace").rstrip())
                if not UNIX_SOCKETS and (found := re.search(rb"listening on (http://\S+)", line)):
                    self.url = found.group(1).decode()
                if file is not None:
                    with contextlib.suppress(OSError):
                        file.write(line)

    async def _reap(self, on_exit: Callable[[RunnerProcess], None]) -> None:
        await self._child.wait()
        await self._tasks[0]  # the last words are in the log before anyone asks for them
        self._disarm_watchdog()
        shutil.rmtree(self._folder, ignore_errors=True)
        self.exited.set()
        _log.info("engine ended", model=self.name, pid=self.pid, reason=self.reason())
        on_exit(self)


async def start_runner(
    engine: Engine,
    load: LoadOptions,
    *,
    name: str,
    home: Path,
    on_exit: Callable[[RunnerProcess], None],
) -> RunnerProcess:
    """Start a llama-server for `load`; it is not ready yet.

    Raises EngineError when the program cannot be started.
    """
    folder = _make_folder()
    slots, logs = home / "slots", home / "logs"
    try:
        slots.mkdir(mode=0o700, parents=True, exist_ok=True)
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        host = str(folder / "engine.sock") if UNIX_SOCKETS else "127.0.0.1"
        key, marker = secrets.token_urlsafe(32), f"media{secrets.token_hex(16)}"
        child = await asyncio.create_subprocess_exec(
            engine.server,
            *engine_arguments(load, host=host, slots=slots),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env=_environment(key, marker),
            start_new_session=True,
            preexec_fn=dies_with_parent() if _LINUX else None,
        )
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise EngineError(f"the engine could not be started: {error}") from error
        raise
    process = RunnerProcess(child, name=name, folder=folder, api_key=key, media_marker=marker)
    if UNIX_SOCKETS and not _LINUX:
        process.arm_watchdog()
    process.watch(logs / f"engine-{_file_name(name)}.log", on_exit)
    _log.info("engine started", model=name, pid=child.pid)
    return process


def _environment(key: str, marker: str) -> dict[str, str]:
    """The engine's environment: ours, without our own keys."""
    own = {"LLAMA_API_KEY": key, "LLAMA_MEDIA_MARKER": marker}
    return child_environment() | ENGINE_ENVIRONMENT | own


def _make_folder() -> Path:
    """A folder for a socket that nobody else may enter."""
    return Path(tempfile.mkdtemp(prefix=temporary_prefix(), dir=_temporary()))  # mode 0700


def _temporary() -> str:
    """The usual place for temporary files, unless a socket's path would get too long there."""
    usual = tempfile.gettempdir()
    return usual if len(usual) < LONGEST_FOLDER or not UNIX_SOCKETS else "/tmp"  # noqa: S108 - 0700


def sweep_runtime_folders() -> None:
    """Remove the socket folders of servers that were killed before they could."""
    for folder in Path(_temporary()).glob(f"{USERS_PREFIX}*-*"):
        pid = folder.name.removeprefix(USERS_PREFIX).partition("-")[0]
        if pid.isdecimal() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


async def _lines(stream: asyncio.StreamReader, limit: int = 1 << 16) -> AsyncIterator[bytes]:
    """Lines of any length; one over `limit` bytes comes in pieces."""
    rest = b""
    while data := await stream.read(limit):
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line + b"\n"
        if len(rest) > limit:
            yield rest
            rest = b""
    if rest:
        yield rest


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)
