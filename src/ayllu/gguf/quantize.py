"""Quantizes a GGUF with llama.cpp's llama-quantize, as a child that is watched and can be ended.

Whoever calls says where the program is, and owns the target file. Source of the program's words:
llama.cpp src/llama-quant.cpp and tools/quantize/quantize.cpp.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, suppress
from pathlib import Path

from msgspec import Struct

from ayllu.errors import (
    ILLEGAL_INSTRUCTION,
    AylluError,
    BadRequestError,
    EngineError,
    EngineMissingError,
)
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.gguf.read import Header
from ayllu.gguf.tables import QUANTIZATIONS
from ayllu.system import child_environment

SOURCES = ("F16", "BF16", "F32")
"""What may be quantized: quantizing twice loses more than it saves."""

REMEDY = "run `make setup`, or set AYLLU_LLAMA_BIN to a folder that has it"
"""What to do where there is no llama-quantize that runs."""

_ENVIRONMENT = {"GGML_NO_BACKTRACE": "1"}
_LAST_WORDS = 1 << 14
_TENSOR = re.compile(rb"\[ *\d+/ *\d+\] (\S+) +- \[")
_PROBE_BYTES = 1 << 20
_SHOWN = 40


class Step(Struct, frozen=True):
    """How far it is: bytes of the source's tensors."""

    completed: int
    total: int


def parse_quantization(text: str) -> str:
    """A type as llama-quantize calls it. Raises BadRequestError in Ollama's words."""
    name = text.upper()
    if name not in QUANTIZATIONS:
        known = ", ".join(QUANTIZATIONS)
        raise BadRequestError(
            f"unsupported quantization type {name[:_SHOWN]} - supported types are {known}"
        )
    return name


def needs_quantizing(header: Header, kind: str) -> bool:
    """Whether a file is of another type than `kind`. Raises BadRequestError where it may not be."""
    now = arch.file_type(header)
    if now not in SOURCES:
        what = "of a type that is not known here" if now == "unknown" else f"{now} already"
        raise BadRequestError(
            f"quantization is only supported for F16, BF16 and F32 models, and this one is {what}"
        )
    return QUANTIZATIONS[kind] != now


async def quantize(
    program: Path, source: Path, target: Path, kind: str, *, threads: int = 0
) -> AsyncGenerator[Step]:
    """Write `source` to `target` as `kind`; `threads` of 0 takes all processors.

    Closing the generator ends the child and leaves the target as it is then. Raises OSError when
    the target cannot be written, BadRequestError or EngineError with the reason otherwise.
    """
    header = await asyncio.to_thread(cached_header, source)
    sizes = {tensor.name: tensor.size for tensor in header.tensors}
    arguments = [str(source), str(target), kind, *([str(threads)] if threads else [])]
    child = await _start(program, arguments)
    done, current, total = 0, 0, sum(sizes.values())
    log = _Log()
    try:
        yield Step(0, total)
        async with aclosing(_names(child, log)) as names:
            async for name in names:
                done, current = done + current, sizes.get(name, 0)
                yield Step(done, total)
        code = await child.wait()
    finally:
        await _end(child)
    if code:
        raise await asyncio.to_thread(_failure, code, log.text, kind, target)
    yield Step(total, total)


class _Log:
    """The end of what the child said."""

    def __init__(self) -> None:
        self.data = b""

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")

    def add(self, data: bytes) -> None:
        self.data = (self.data + data)[-_LAST_WORDS:]


async def _start(program: Path, arguments: Iterable[str]) -> Process:
    """Start the child. Should our process be killed, its next line finds no reader and ends it."""
    try:
        return await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env=child_environment() | _ENVIRONMENT,
            start_new_session=True,
        )
    except OSError as error:
        raise EngineMissingError(f"{program} cannot be run ({error.strerror}): {REMEDY}") from error


async def _end(child: Process) -> None:
    """Kill the child where it still runs, and wait for it, and for words that nobody read."""
    if child.returncode is None:
        with suppress(ProcessLookupError):
            child.kill()
        await child.communicate()


async def _names(child: Process, log: _Log) -> AsyncGenerator[str]:
    """The tensors that the child begins with, one after the other, until it ends."""
    assert child.stdout is not None  # noqa: S101 - it was started with a pipe
    rest = b""
    while data := await child.stdout.read(1 << 16):
        log.add(data)
        rest += data
        end = 0
        for match in _TENSOR.finditer(rest):
            end = match.end()
            yield match[1].decode("utf-8", "replace")
        rest = rest[end:][-_LAST_WORDS:]


def _failure(code: int, log: str, kind: str, target: Path) -> AylluError:
    """Why the child failed. Raises OSError where the disk is the reason."""
    if "iostream error" in log:
        _probe(target)
    if code == -signal.SIGKILL:
        return EngineError("quantizing was killed, most likely because memory ran out")
    if code == -signal.SIGILL:
        return EngineError(f"llama-quantize {ILLEGAL_INSTRUCTION}")
    for pattern, make in _REASONS:
        if found := re.search(pattern, log):
            return make(kind, *found.groups())
    return EngineError(f"quantizing ended with code {code}")


def _probe(target: Path) -> None:
    """Write on, for an error with a number: the child says only that writing failed."""
    with target.open("ab") as file:
        file.write(bytes(_PROBE_BYTES))
        file.flush()
        os.fsync(file.fileno())


def _needs_matrix(kind: str) -> AylluError:
    return BadRequestError(
        f"{kind} needs an importance matrix, which cannot be given yet: take another type, such as "
        "Q4_K_M"
    )


def _is_quantized(_kind: str, name: str) -> AylluError:
    return BadRequestError(
        "quantization is only supported for F16, BF16 and F32 models, and this one has tensors in "
        f"{name.upper()}"
    )


def _unknown(_kind: str, name: str) -> AylluError:
    return EngineError(f"this engine does not know the architecture '{name}'")


def _no_memory(_kind: str) -> AylluError:
    return EngineError("memory is too short to quantize this model")


def _other(kind: str, reason: str) -> AylluError:
    return EngineError(f"the engine cannot make {kind} of this model: {reason.strip()}")


_REASONS: tuple[tuple[str, Callable[..., AylluError]], ...] = (
    (r"requires an imatrix|Missing importance matrix", _needs_matrix),
    (r"requantizing from type (\S+) is disabled", _is_quantized),
    (r"unknown model architecture: '([^']*)'", _unknown),
    (r"bad_alloc|failed to allocate|out of memory", _no_memory),
    (r"failed to quantize: ([^\n]+)", _other),
)
