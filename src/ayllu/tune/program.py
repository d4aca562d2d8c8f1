"""The program that trains, as a process that outlives this server and is found again by the next.

It is known by its command line, which ends with the job's folder: nothing has to be written down
between its start and a crash of ours.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from pathlib import Path

import psutil

from ayllu.errors import BadRequestError, EngineError, UnsupportedError
from ayllu.gguf.tool import failure, running
from ayllu.system import child_environment
from ayllu.torch_python import find_torch_python, remedy
from ayllu.trainer import spec
from ayllu.trainer.spec import Measured
from ayllu.tune.job import Folder

CHILD = Path(spec.__file__).with_name("child.py")
NEEDED = ("torch", "transformers", "peft", "gguf")
POLL_SECONDS = 0.3
END_SECONDS = 30.0
"""How long it may take to write what it has when it is told to end."""
_LAST_WORDS = 1 << 14


async def find_python(named: str) -> Path:
    """The Python that trains; `named` is the setting. Raises UnsupportedError, with what to do."""
    python = find_torch_python(named, "tune")
    script = (
        "from importlib.util import find_spec\n"
        f"print('missing', *(name for name in {NEEDED} if find_spec(name) is None))"
    )
    try:
        process = await asyncio.create_subprocess_exec(
            python, "-P", "-c", script, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
        )
        said, _ = await process.communicate()
    except OSError as error:
        raise UnsupportedError(f"{python} cannot be run ({error.strerror})") from error
    word, *missing = said.decode("utf-8", "replace").split() or [""]
    if process.returncode or word != "missing":
        raise UnsupportedError(f"{python} is no Python that works: {remedy('tune')}")
    if missing:
        raise UnsupportedError(f"{python} has no {' and no '.join(missing)}: {remedy('tune')}")
    return python


async def measure(python: Path, folder: Folder) -> Measured:
    """Have some steps measured.

    Raises what was wrong as an AylluError. The program ends with us.
    """
    folder.clear(spec.MEASURED, spec.ENDED)
    async with running(python, arguments(folder.path, "--measure")) as child:
        log = folder.path / spec.LOG
        code = await child.wait()
        await asyncio.to_thread(log.write_text, child.log, "utf-8")
    ended = folder.ended
    folder.clear(spec.ENDED)
    if ended is not None and ended.outcome == "failed":
        raise BadRequestError(ended.error)
    if (measured := folder.measured) is None:
        raise failure(code, child.log, program=python, doing="measuring some steps")
    return measured


def start(python: Path, folder: Folder) -> None:
    """Start the training, in a session of its own, so that `find` sees it. Raises EngineError."""
    log = str(folder.path / spec.LOG)
    try:
        pid = os.posix_spawn(
            python,
            [str(python), *arguments(folder.path)],
            child_environment(),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
    except OSError as error:
        raise EngineError(f"{python} cannot be run: {error.strerror or error}") from error
    process = psutil.Process(pid)
    while _lives(process) and not _command(process):
        time.sleep(0.001)  # Linux lets us go on before its command line can be read


def find(folder: Folder) -> psutil.Process | None:
    """The training that runs in a folder, whoever started it."""
    for process in psutil.process_iter():
        *_, script, last = ("", "", *_command(process))
        if last == str(folder.path) and Path(script).name == CHILD.name and _lives(process):
            return process
    return None


async def wait(process: psutil.Process) -> None:
    """Wait for the training's end, as seldom as a look at it is worth."""
    while await asyncio.to_thread(_lives, process):  # noqa: ASYNC110 - none of ours tells us
        await asyncio.sleep(POLL_SECONDS)


async def end(folder: Folder) -> None:
    """End the training, politely, then not: its process and all of its session."""
    process = await asyncio.to_thread(find, folder)
    if process is None:
        return
    _signal(process, signal.SIGTERM)
    with suppress(TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            await wait(process)
            return
    _signal(process, signal.SIGKILL)
    await wait(process)


def last_words(folder: Folder) -> str:
    """The last line of what the program said; empty where it said nothing."""
    try:
        with (folder.path / spec.LOG).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LAST_WORDS))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def arguments(folder: Path, *more: str) -> list[str]:
    """What the Python that trains is started with."""
    return ["-P", str(CHILD), str(folder), *more]


def _command(process: psutil.Process) -> list[str]:
    """Its command line; empty where it is gone, or not ours to see."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _lives(process: psutil.Process) -> bool:
    """Whether it runs; a child of ours that has ended is taken off the table of processes."""
    with suppress(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    """Signal its session: it leads one, for that is how it was started."""
    with suppress(psutil.Error, ProcessLookupError, PermissionError):
        if process.is_running():
            os.killpg(process.pid, number)
