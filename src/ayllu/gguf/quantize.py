"""Quantizes a GGUF with llama.cpp's llama-quantize, as a child that is watched and can be ended.

Whoever calls says where the program is, and owns the target file. Source of the program's words:
llama.cpp src/llama-quant.cpp and tools/quantize/quantize.cpp.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from pathlib import Path

from ayllu.errors import AylluError, BadRequestError, EngineError
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.gguf.read import Header
from ayllu.gguf.tables import QUANTIZATIONS
from ayllu.gguf.tool import UNKNOWN_ARCHITECTURE, Reason, Step, failure, probe_disk, running

SOURCES = ("F16", "BF16", "F32")
"""What may be quantized: quantizing twice loses more than it saves."""

ORIGINAL = "quantize its F16 original instead, or allow it with `requantize`, which loses more"
"""What to do with a model that is quantized already."""

NO_FALLBACK = "no tensor type fallback is defined"
"""What the engine says of a type for rows that it cannot store, and that nothing stands in for."""

_TENSOR = re.compile(rb"\[ *\d+/ *\d+\] (\S+) +- \[")
_SHOWN = 40


def parse_quantization(text: str) -> str:
    """A type as llama-quantize calls it. Raises BadRequestError in Ollama's words."""
    name = text.upper()
    if name not in QUANTIZATIONS:
        known = ", ".join(QUANTIZATIONS)
        raise BadRequestError(
            f"unsupported quantization type {name[:_SHOWN]} - supported types are {known}"
        )
    return name


def needs_quantizing(header: Header, kind: str, *, again: bool = False) -> bool:
    """Whether a file is of another type than `kind`.

    Raises BadRequestError where it may not be: a second time it is only quantized where `again`.
    """
    now = arch.file_type(header)
    if now not in SOURCES and not again:
        what = "of a type that is not known here" if now == "unknown" else f"{now} already"
        raise BadRequestError(
            f"quantization is only supported for F16, BF16 and F32 models, and this one is {what}: "
            f"{ORIGINAL}"
        )
    return QUANTIZATIONS[kind] != now


async def quantize(
    program: Path,
    source: Path,
    target: Path,
    kind: str,
    *,
    threads: int = 0,
    matrix: Path | None = None,
    again: bool = False,
) -> AsyncGenerator[Step]:
    """Write `source` to `target` as `kind`; `threads` of 0 takes all processors.

    `matrix` is an importance matrix, checked already; `again` allows tensors that are quantized.
    Closing the generator ends the child and leaves the target as it is then. Raises OSError when
    the target cannot be written, BadRequestError or EngineError with the reason otherwise.
    """
    header = await asyncio.to_thread(cached_header, source)
    sizes = {tensor.name: tensor.size for tensor in header.tensors}
    arguments = _arguments(source, target, kind, matrix)
    arguments[:0] = ["--allow-requantize"] if again else []
    arguments += [str(threads)] if threads else []
    folder = matrix.parent if matrix else None
    done, current, total = 0, 0, sum(sizes.values())
    async with running(program, arguments, folder=folder) as child:
        async with aclosing(child.matches(_TENSOR)) as tensors:
            async for tensor in tensors:
                name = tensor[1].decode("utf-8", "replace")
                done, current = done + current, sizes.get(name, 0)
                yield Step(done, total)
        if code := await child.wait():
            raise await asyncio.to_thread(_failure, code, child.log, program, kind, target)
    yield Step(total, total)


def _arguments(source: Path, target: Path, kind: str, matrix: Path | None) -> list[str]:
    """The engine writes the matrix's path into the model: it runs beside it, and gets its name."""
    given = ["--imatrix", matrix.name] if matrix else []
    return [*given, str(source.absolute()), str(target.absolute()), kind]


def _failure(code: int, log: str, program: Path, kind: str, target: Path) -> AylluError:
    """Why the child failed. Raises OSError where the disk is the reason."""
    if "iostream error" in log:
        probe_disk(target)
    reasons: tuple[Reason, ...] = (
        (r"requires an imatrix|Missing importance matrix", partial(_needs_matrix, kind)),
        (r"requantizing from type (\S+) is disabled", _is_quantized),
        UNKNOWN_ARCHITECTURE,
        (NO_FALLBACK, partial(_unsuited, kind)),
        (r"failed to quantize: ([^\n]+)", partial(_other, kind)),
    )
    return failure(code, log, program=program, doing="quantizing", reasons=reasons)


def _needs_matrix(kind: str) -> AylluError:
    return BadRequestError(
        f"{kind} needs an importance matrix: give one with `imatrix` (`true` makes it from a text "
        "that ships with Ayllu), or take another type, such as Q4_K_M"
    )


def _unsuited(kind: str) -> AylluError:
    return BadRequestError(
        f"{kind} cannot store this model's rows: take another type, such as Q4_K_M"
    )


def _is_quantized(name: str) -> AylluError:
    return BadRequestError(
        "quantization is only supported for F16, BF16 and F32 models, and this one has tensors in "
        f"{name.upper()}: {ORIGINAL}"
    )


def _other(kind: str, reason: str) -> AylluError:
    return EngineError(f"the engine cannot make {kind} of this model: {reason.strip()}")
