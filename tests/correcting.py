"""Odd GGUFs of a few keys and tensors, and what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf_writer import write_gguf

from ayllu.gguf.compat import Correction, correction
from ayllu.gguf.read import GGUFArray, Header, read_header
from ayllu.gguf.sheet import Sheet
from ayllu.gguf.write import write_gguf as write_copy

F32 = np.zeros((4, 8), np.float32)


def written(sheet: Sheet, path: Path) -> Header:
    """The header of a file that was made of a sheet, read as any other."""

    async def write() -> None:
        tensors = sheet.tensors.values()
        async for _ in write_copy(path, sheet.keys, tensors, alignment=sheet.alignment):
            pass

    path.touch()
    asyncio.run(write())
    return read_header(path)


def odd(folder: Path, kvs: dict[str, Any], tensors: Mapping[str, Any]) -> Correction:
    path = write_gguf(folder / "odd.gguf", kvs, tensors)
    found = correction(path, read_header(path))
    assert found is not None
    return found


def plain(header: Header) -> dict[str, Any]:
    return {
        key: value.items() if isinstance(value, GGUFArray) else value
        for key, value in header.kvs.items()
    }


def model(folder: Path, kvs: dict[str, Any], tensors: Mapping[str, Any]) -> tuple[Any, Any]:
    """The keys and the tensors' shapes of the corrected model."""
    found = odd(folder, kvs, tensors)
    assert found.model is not None
    header = written(found.model, folder / "model.gguf")
    return plain(header), {tensor.name: tensor.shape for tensor in header.tensors}


def projector(folder: Path, kvs: dict[str, Any], tensors: Mapping[str, Any]) -> tuple[Any, Any]:
    """The same of the projector."""
    found = odd(folder, kvs, tensors)
    assert found.projector is not None
    header = written(found.projector, folder / "projector.gguf")
    return plain(header), {tensor.name: tensor.shape for tensor in header.tensors}


def named(name: str, **keys: Any) -> dict[str, Any]:
    own = {f"{name}.{key.replace('__', '.')}": value for key, value in keys.items()}
    return {"general.architecture": name, f"{name}.block_count": 1, **own}


EYES = {
    "vision__block_count": 1,
    "vision__embedding_length": 8,
    "vision__attention__head_count": 2,
    "vision__patch_size": 2,
}
