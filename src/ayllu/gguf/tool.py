"""A program of the engine's that works on files: a child that is watched, and ended with us.

Whoever calls says where the program is, and owns the files that it writes.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

from msgspec import Struct

from ayllu.errors import (
    ILLEGAL_INSTRUCTION,
    AylluError,
    BadRequestError,
    EngineError,
    EngineMissingError,
    UnsupportedError,
)
from ayllu.system import child_environment, dies_with_parent
from ayllu.torch_python import remedy

REMEDY = "run `make setup`, or set AYLLU_LLAMA_BIN to a folder that has it"
"""What to do where one of the engine's programs is not there or does not run."""

Reason = tuple[str, Callable[..., AylluError]]
"""A pattern in a program's last words, and what it means, made of the pattern's groups."""

ENGINE_ENVIRONMENT = {"GGML_NO_BACKTRACE": "1", "GOMP_SPINCOUNT": "1000"}
"""A crash must not wait for gdb, and idle OpenMP threads must not starve their neighbours."""

_SETTINGS = "LLAMA_ARG_"
"""How variables begin that would change what the engine's programs do."""

_PROBE_BYTES = 1 << 20
_LAST_WORDS = 1 << 14
_AT, _NOTHING = re.compile(rb"(?m)^@at (\d+) (\d+)$"), re.compile(rb"(?!)")
_SHORT_OF_MEMORY = re.compile(r"bad_alloc|failed to allocate|out of memory|cannot allocate memory")


class Step(Struct, frozen=True):
    """How far a program is: bytes of the source's tensors, or chunks of a text."""

    completed: int
    total: int


class Child:
    """A program that runs. `log` is the end of what it said."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._log = b""

    @property
    def log(self) -> str:
        """The end of what the program said, on stdout and stderr together."""
        return self._log.decode("utf-8", "replace")

    async def matches(self, pattern: re.Pattern[bytes]) -> AsyncGenerator[re.Match[bytes]]:
        """What the program says, as far as it matches, one after the other, until it ends."""
        assert self._process.stdout is not None  # noqa: S101 - it was started with a pipe
        rest = b""
        while data := await self._process.stdout.read(1 << 16):
            self._log = (self._log + data)[-_LAST_WORDS:]
            rest += data
            end = 0
            for match in pattern.finditer(rest):
                end = match.end()
                yield match
            rest = rest[end:][-_LAST_WORDS:]

    async def steps(self) -> AsyncGenerator[Step]:
        """The steps of a child of ours, which says `@at COMPLETED TOTAL` in a line."""
        async with aclosing(self.matches(_AT)) as lines:
            async for line in lines:
                yield Step(int(line[1]), int(line[2]))

    async def wait(self) -> int:
        """The program's exit status, once it is there; what it says until then is read."""
        async with aclosing(self.matches(_NOTHING)) as lines:
            async for _ in lines:
                pass
        return await self._process.wait()


@asynccontextmanager
async def running(
    program: Path,
    arguments: Iterable[str],
    *,
    folder: Path | None = None,
    files: Sequence[int] = (),
) -> AsyncIterator[Child]:
    """Run a program for the time of a block, which ends it. Raises EngineMissingError.

    It runs in `folder`, or in ours, and inherits the open `files`.
    """
    process = await _start(program, arguments, folder, files)
    try:
        yield Child(process)
    finally:
        await _end(process)


async def _start(
    program: Path, arguments: Iterable[str], folder: Path | None, files: Sequence[int]
) -> Process:
    settings = child_environment()
    environment = {name: text for name, text in settings.items() if not name.startswith(_SETTINGS)}
    try:
        return await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env=environment | ENGINE_ENVIRONMENT,
            start_new_session=True,
            cwd=folder,
            pass_fds=files,
            preexec_fn=dies_with_parent(),
        )
    except OSError as error:
        raise EngineMissingError(f"{program} cannot be run ({error.strerror}): {REMEDY}") from error


async def _end(process: Process) -> None:
    """Kill the child where it still runs, and wait for it, and for words that nobody read."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def probe_disk(target: Path) -> None:
    """Write on where a program could not: it says only that it failed, an OSError says why."""
    with target.open("ab") as file:
        file.write(bytes(_PROBE_BYTES))
        file.flush()
        os.fsync(file.fileno())


def explain(
    code: int, log: str, *, program: Path, doing: str, reasons: Sequence[Reason] = ()
) -> AylluError | None:
    """Why a program ended with another status than 0, if one can tell, `doing` what it did."""
    if code == -signal.SIGKILL:
        return EngineError(f"{doing} was killed, most likely because memory ran out")
    if code == -signal.SIGILL:
        return EngineError(f"{program.stem} {ILLEGAL_INSTRUCTION}")
    if _SHORT_OF_MEMORY.search(log):
        return EngineError(f"memory was too short: {doing} ended")
    for pattern, make in reasons:
        if found := re.search(pattern, log):
            return make(*found.groups())
    return EngineError(f"{doing} crashed (signal {-code})") if code < 0 else None


def failure(
    code: int, log: str, *, program: Path, doing: str, reasons: Sequence[Reason] = ()
) -> AylluError:
    """The same, in any case."""
    why = explain(code, log, program=program, doing=doing, reasons=reasons)
    return why or EngineError(f"{doing} ended with code {code}")


def child_failure(
    code: int, log: str, *, python: Path, target: Path, doing: str, refusal: str, extra: str
) -> AylluError:
    """Why a child of ours failed, which ran in a `python` with the packages of our `extra`.

    `refusal` begins the sentence for what it says in `@refused REASON` and `@missing MODULE`;
    after `@disk` writing to the `target` is tried, and raises the OSError.
    """
    if re.search(r"(?m)^@disk$", log):
        probe_disk(target)  # NumPy's error has no number

    def refused(why: str) -> AylluError:
        return BadRequestError(f"{refusal}: {why}")

    def missing(module: str) -> AylluError:
        return UnsupportedError(f"{refusal}: {python} has no {module}: {remedy(extra)}")

    reasons = ((r"(?m)^@refused (.+)$", refused), (r"(?m)^@missing (.+)$", missing))
    return failure(code, log, program=python, doing=doing, reasons=reasons)


def unknown_architecture(name: str) -> AylluError:
    """The engine cannot read a model of this kind."""
    return EngineError(f"this engine does not know the architecture '{name}'")


UNKNOWN_ARCHITECTURE: Reason = (r"unknown model architecture: '([^']*)'", unknown_architecture)
