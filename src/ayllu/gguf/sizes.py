"""How large a model would become in a type, by the engine's own dry run: nothing is written.

Types fall back to others where a tensor's rows do not suit them, and some tensors get more bits;
llama-quantize says for each tensor what it would be, and its size follows from that.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable
from contextlib import aclosing
from pathlib import Path

from msgspec import Struct

from ayllu.errors import AylluError, EngineError
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.gguf.quantize import NO_FALLBACK
from ayllu.gguf.read import Header, TensorInfo
from ayllu.gguf.tables import TENSOR_TYPES
from ayllu.gguf.tool import UNKNOWN_ARCHITECTURE, failure, running

_TENSOR = re.compile(
    rb"\[ *\d+/ *\d+\] (\S+) +- [^\n]*, size = +[\d.]+ MiB(?: -> +[\d.]+ MiB \((\w+)\))?\n"
)
_NEEDS_MATRIX = "will require an imatrix"
_TYPES = {kind.name.lower(): kind for kind in TENSOR_TYPES.values()}


class Size(Struct, frozen=True):
    """A file's size in bytes, and what its tensors take for each number in them."""

    file: int
    bits_per_weight: float
    needs_matrix: bool = False


def size_of(header: Header) -> Size:
    """The size of a file that is there."""
    bits = 8 * sum(tensor.size for tensor in header.tensors)
    return Size(header.file_size, bits / max(arch.parameter_count(header), 1))


async def predict_all(program: Path, model: Path, kinds: Iterable[str]) -> dict[str, Size]:
    """The sizes as each of those types that a model may have, a few at a time.

    Raises EngineError.
    """
    slots = asyncio.Semaphore(os.cpu_count() or 1)

    async def one(kind: str) -> Size | None:
        async with slots:
            return await predict(program, model, kind)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = {kind: group.create_task(one(kind)) for kind in kinds}
    except* AylluError as errors:
        raise next(iter(errors.exceptions)) from None
    sizes = {kind: task.result() for kind, task in tasks.items()}
    return {kind: size for kind, size in sizes.items() if size is not None}


async def predict(program: Path, model: Path, kind: str) -> Size | None:
    """What a model's size would be as `kind`, to the byte but for the header's own.

    None where the type cannot store its rows. Raises EngineError where the engine cannot say.
    """
    header = await asyncio.to_thread(cached_header, model)
    types: dict[str, str] = {}
    arguments = ["--allow-requantize", "--dry-run", str(model), kind]
    async with running(program, arguments) as child:
        async with aclosing(child.matches(_TENSOR)) as tensors:
            async for tensor in tensors:
                types[tensor[1].decode("utf-8", "replace")] = (tensor[2] or b"").decode()
        code, log = await child.wait(), child.log
    if code and NO_FALLBACK in log:
        return None
    if code:
        raise failure(code, log, program=program, doing="planning", reasons=(UNKNOWN_ARCHITECTURE,))
    if types.keys() != {tensor.name for tensor in header.tensors}:
        raise EngineError("the engine does not say what it would make of this model")
    sizes = [_bytes(tensor, types[tensor.name]) for tensor in header.tensors]
    padded = sum(-(-size // header.alignment) * header.alignment for size in sizes)
    bits = 8 * sum(sizes) / arch.parameter_count(header)
    return Size(header.data_offset + padded, bits, _NEEDS_MATRIX in log)


def _bytes(tensor: TensorInfo, name: str) -> int:
    """A tensor's bytes in another type; an empty name leaves it as it is."""
    kind = _TYPES.get(name.lower())
    if kind is None:
        return tensor.size
    return tensor.elements // kind.block_size * kind.type_size
