"""One llama-server child: started on a socket only we can reach."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import Callable
from pathlib import Path

import psutil
import structlog

from ayllu.errors import EngineError
from ayllu.gguf.tool import ENGINE_ENVIRONMENT
from ayllu.runner.child import Child, log_file, start_child
from ayllu.runner.engine import Engine
from ayllu.runner.options import LoadOptions, engine_arguments
from ayllu.system import USERS_PREFIX, child_environment, temporary_prefix

LONGEST_FOLDER = 60
"""A unix socket's whole path must stay under 104 bytes on macOS, 108 on Linux."""
UNIX_SOCKETS = sys.platform != "win32"

_log = structlog.get_logger(__name__)


class EngineDiedError(EngineError):
    """The child is gone or was ended because it hung: the request may be run again on a new one.

    It is `hung` where this request waited in vain, and may be what the child hung at.
    """

    def __init__(self, sentence: str, *, hung: bool = False) -> None:
        super().__init__(sentence)
        self.hung = hung


class RunnerProcess(Child):
    """A started llama-server. Whoever started it calls `stop`.

    `url` and `socket_path` say where it answers, `api_key` what it wants to hear. `media_marker`
    stands for an image or a sound within a prompt; it is random, so that no text can forge one.
    `hung` says that it was ended because it stopped answering.
    """

    def __init__(
        self,
        child: Process,
        *,
        name: str,
        folder: Path,
        api_key: str,
        media_marker: str,
        on_exit: Callable[[RunnerProcess], None],
    ) -> None:
        super().__init__(child)
        self._folder = folder
        self._on_exit = on_exit
        self.name = name
        self.api_key = api_key
        self.media_marker = media_marker
        self.socket_path = folder / "engine.sock" if UNIX_SOCKETS else None
        self.url = "http://engine" if UNIX_SOCKETS else ""
        self.hung = False

    def _hear(self, line: bytes) -> None:
        if not UNIX_SOCKETS and (found := re.search(rb"listening on (http://\S+)", line)):
            self.url = found.group(1).decode()

    def _sweep(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _tell(self) -> None:
        _log.info("engine ended", model=self.name, pid=self.pid, reason=self.reason())
        self._on_exit(self)


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
    slots = home / "slots"
    try:
        slots.mkdir(mode=0o700, parents=True, exist_ok=True)
        host = str(folder / "engine.sock") if UNIX_SOCKETS else "127.0.0.1"
        key, marker = secrets.token_urlsafe(32), f"media{secrets.token_hex(16)}"
        arguments = engine_arguments(load, host=host, slots=slots)
        child = await start_child(engine.server, arguments, _environment(key, marker))
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise EngineError(f"the engine could not be started: {error}") from error
        raise
    process = RunnerProcess(
        child, name=name, folder=folder, api_key=key, media_marker=marker, on_exit=on_exit
    )
    process.watch(log_file(home, name))
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


def kill_unwanted(task: asyncio.Task[RunnerProcess]) -> None:
    """End a child whose start nobody waits for any more."""
    if not task.cancelled() and task.exception() is None:
        task.result().kill("the request was canceled while the model was loading")
