"""Adds LoRA adapters to a model's weights, with llama.cpp's llama-export-lora as a watched child.

Whoever calls says where the program is, owns the target, and has seen that the adapters fit: the
program crashes where they do not. Source: llama.cpp tools/export-lora/export-lora.cpp.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory

from ayllu.errors import AylluError
from ayllu.gguf.cache import cached_header
from ayllu.gguf.tool import Step, failure, probe_disk, running

_TENSOR = re.compile(rb"(?m)^(?:merge|copy)_tensor : +(\S+) \[")


async def merge(
    program: Path, model: Path, adapters: Sequence[tuple[Path, float]], target: Path
) -> AsyncGenerator[Step]:
    """Write `model` with some adapters, each at its scale, to `target`; steps are in bytes.

    What an adapter changes becomes F16 (F32 where it was F32), all else is copied as it is, and
    the file says F16 of itself in any case. Closing the generator ends the child. Raises OSError
    when the target cannot be written, EngineError otherwise.
    """
    header = await asyncio.to_thread(cached_header, model)
    sizes = {tensor.name: tensor.size for tensor in header.tensors}
    done, total = 0, sum(sizes.values())
    with TemporaryDirectory(prefix="ayllu-merge-") as folder:
        arguments = _arguments(model, adapters, target, Path(folder))
        async with running(program, arguments, folder=Path(folder)) as child:
            async with aclosing(child.matches(_TENSOR)) as tensors:
                async for tensor in tensors:
                    done += sizes.get(tensor[1].decode("utf-8", "replace"), 0)
                    yield Step(done, total)
            if code := await child.wait():
                raise await asyncio.to_thread(_failure, code, child.log, program, target)
    yield Step(total, total)


def _arguments(
    model: Path, adapters: Sequence[tuple[Path, float]], target: Path, folder: Path
) -> list[str]:
    """The engine parts the list at commas and colons, so it gets names that have none."""
    scaled = []
    for place, (path, scale) in enumerate(adapters):
        (folder / f"{place}.gguf").symlink_to(path.absolute())
        scaled.append(f"{place}.gguf:{scale!r}")
    files = ["-m", str(model.absolute()), "-o", str(target.absolute())]
    return [*files, "--lora-scaled", ",".join(scaled)]


def _failure(code: int, log: str, program: Path, target: Path) -> AylluError:
    """Why the child failed. Raises OSError where the disk is the reason: it says nothing of it."""
    probe_disk(target)
    return failure(code, log, program=program, doing="merging the adapter")
