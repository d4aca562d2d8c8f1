"""Starting a server in the background when a command finds none, and stopping it.

Done only where the configured address is this machine's own and `no_autostart` is off.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ayllu.cli.client import Client, RefusedError, is_this_machine
from ayllu.cli.print import clean_line
from ayllu.cli.progress import spinning
from ayllu.config import Settings
from ayllu.errors import AylluError, NotFoundError

START_SECONDS = 20.0
STOP_SECONDS = 30.0
AFTER_EXIT_SECONDS = 1.0
"""How long another command's server, started at the same moment, may take to answer."""
POLL_SECONDS = 0.05


class StartError(AylluError):
    """The background server did not come up; the sentence names its log."""


async def start_server(client: Client, settings: Settings) -> None:
    """Start `ayllu serve` in its own session and wait until it answers.

    Raises RefusedError where no server may be started, StartError where one did not come up.
    """
    if not is_this_machine(settings.host) or settings.no_autostart:
        raise RefusedError(
            f"could not connect to the server at {client.url}: run 'ayllu serve' to start it"
        )
    log = settings.home / "logs" / "server.log"
    process, written = _launch(log)
    async with spinning("starting the server"):
        await _wait(client, process, log, written)


def _launch(log: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A server's process, which outlives this command, and how long its log was before.

    -P keeps a folder named `ayllu` in the user's current directory from being run in its place.
    """
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise StartError(f"the server's log cannot be written: {error}") from error
    try:
        written = os.fstat(file).st_size
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ayllu", "serve"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            **_detached(),
        )
    finally:
        os.close(file)
    return process, written


def _detached() -> dict[str, Any]:
    """Popen's arguments that keep our Ctrl-C and our terminal's end from the server."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS}
    return {"start_new_session": True}


def pid_file(settings: Settings) -> Path:
    """Where a running server of this home and port leaves its process id."""
    return settings.home / f"server-{settings.host.port}.pid"


def stop_server(settings: Settings) -> None:
    """End this home's server and wait until it is gone. Raises NotFoundError when none runs."""
    import psutil

    try:
        process = psutil.Process(int(pid_file(settings).read_text("ascii")))
        ours = {"ayllu", "serve"} <= {Path(word).name for word in process.cmdline()}
    except (OSError, ValueError, psutil.Error) as error:
        raise NotFoundError("no server is running") from error
    if not ours:
        raise NotFoundError("no server is running")
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except psutil.TimeoutExpired as error:
        raise StartError(f"the server (pid {process.pid}) has not ended yet") from error


async def _wait(client: Client, process: subprocess.Popen[bytes], log: Path, written: int) -> None:
    """Return once any server answers at the address."""
    deadline = time.monotonic() + START_SECONDS
    while not await client.is_up():
        if process.poll() is not None:
            deadline = min(deadline, time.monotonic() + AFTER_EXIT_SECONDS)
        if time.monotonic() > deadline:
            raise StartError(_failure(process, log, written))
        await asyncio.sleep(POLL_SECONDS)


def _failure(process: subprocess.Popen[bytes], log: Path, written: int) -> str:
    status = process.poll()
    if status is None:
        return f"the server has not answered within {START_SECONDS:.0f} s; its log is {log}"
    said = _last_error(log, written)
    return f"the server could not start ({said or f'exit status {status}'}); its log is {log}"


def _last_error(log: Path, written: int) -> str:
    """The last `Error: ...` that the server wrote to its log after the given offset."""
    with log.open("rb") as file:
        file.seek(written)
        lines = file.read().decode("utf-8", "replace").splitlines()
    errors = [line for line in lines if line.startswith("Error: ")]
    return clean_line(errors[-1].removeprefix("Error: ")) if errors else ""
