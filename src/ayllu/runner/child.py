"""A program of the engine's that serves until it is ended: watched, drained, never outliving us.

It dies with us: by the kernel's parent-death signal on Linux, by a watchdog pipe elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from ayllu.errors import EngineError
from ayllu.runner.explain import explain_exit
from ayllu.system import dies_with_parent

LOG_LINES = 200
STOP_SECONDS = 3.0
_UNUSABLE = re.compile(r"[^\w.-]+")
_LINUX, _WINDOWS = sys.platform == "linux", sys.platform == "win32"


async def start_child(
    program: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    prepare: Callable[[], None] | None = None,
) -> Process:
    """Start a program in a session of its own; `prepare` runs in it first, where there is fork.

    Raises EngineError where it cannot be started.
    """
    try:
        return await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env=environment,
            start_new_session=True,
            preexec_fn=_first(dies_with_parent() if _LINUX else None, prepare),
        )
    except OSError as error:
        raise EngineError(f"the engine could not be started: {error}") from error


def _first(*steps: Callable[[], None] | None) -> Callable[[], None] | None:
    """What runs in a child before its program: all steps that there are."""
    wanted = [step for step in steps if step is not None]

    def run() -> None:
        for step in wanted:
            step()

    return run if wanted else None


class Child:
    """A started program. Whoever started it calls `stop`."""

    def __init__(self, child: Process) -> None:
        self._child = child
        self._watchdog: tuple[int, int] | None = None
        self._last_output = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []
        self.pid = child.pid
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self.exited = asyncio.Event()
        self.killed_because = ""

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
                async with asyncio.timeout(STOP_SECONDS):
                    await self.exited.wait()
            except TimeoutError:
                _signal_group(self.pid, signal.SIGKILL)
        await asyncio.wait(self._tasks)

    def watch(self, log_file: Path) -> None:
        """Drain the log into memory and a file, and notice the end."""
        if not _LINUX and not _WINDOWS:
            self._arm_watchdog()
        self._tasks = [
            asyncio.create_task(self._drain(log_file)),
            asyncio.create_task(self._reap()),
        ]

    def _hear(self, line: bytes) -> None:
        """Look at a line of the log."""

    def _sweep(self) -> None:
        """Remove what the child left: it has ended."""

    def _tell(self) -> None:
        """Tell whoever has to know that it has."""

    def _arm_watchdog(self) -> None:
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
                log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                file = stack.enter_context(log_file.open("wb", buffering=0))
            async for line in _lines(self._child.stdout):
                self._last_output = time.monotonic()
                self.log.append(line.decode("utf-8", "replace").rstrip())
                self._hear(line)
                if file is not None:
                    with contextlib.suppress(OSError):
                        file.write(line)

    async def _reap(self) -> None:
        await self._child.wait()
        await self._tasks[0]  # the last words are in the log before anyone asks for them
        self._disarm_watchdog()
        self._sweep()
        self.exited.set()
        self._tell()


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


def log_file(home: Path, name: str) -> Path:
    """Where the log of a child is kept, by what the child is called."""
    return home / "logs" / f"engine-{_UNUSABLE.sub('_', name)}.log"
