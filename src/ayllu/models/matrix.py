"""The importance matrix that a model is quantized by: given by the user, or made of a text.

One that was made is kept, for the next type is made of the same one; the longest unused ones go.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path

from msgspec import Struct

from ayllu.errors import BadRequestError, GGUFError
from ayllu.gguf.cache import cached_header
from ayllu.gguf.evaluate import choose_context, importance
from ayllu.gguf.imatrix import check_matrix
from ayllu.gguf.read import Header
from ayllu.gguf.tool import Step, probe_disk
from ayllu.models.files import Draft, draft, make_folder, using
from ayllu.models.store import Store
from ayllu.models.tools import (
    CALIBRATION,
    MAX_TEXT_BYTES,
    Tools,
    check_program,
    check_text,
)

FOLDER = ".ayllu.matrices"
"""In the models folder, where Ollama does not look."""

KEPT = 16
_ALL = -1


class MatrixSource(Struct, frozen=True):
    """Where a model's importance matrix is, or will be once the `text` was read."""

    model: Path
    path: Path
    context: int
    text: Path | None = None


def matrix_source(store: Store, digest: str, wanted: bool | str, tools: Tools) -> MatrixSource:
    """Find out what to do: `wanted` is a blob's digest, of a text or a matrix, or true.

    Raises BadRequestError where it is neither, or is of no use for the model with `digest`.
    """
    model = store.blob_path(digest)
    header = cached_header(model)
    text = CALIBRATION
    if isinstance(wanted, str):
        text = store.blob_path(wanted)
        if not store.has_blob(wanted):
            raise BadRequestError(f"the file for the importance matrix is not here: send {wanted}")
    with using(store.root), text.open("rb") as file:
        data = file.read(MAX_TEXT_BYTES + 1)
    if data.startswith(b"GGUF"):
        check_matrix(text, header)
        return MatrixSource(model, text, 0)
    check_text(data)
    check_program(tools.imatrix)
    context = choose_context(header)
    key = f"{digest} {hashlib.sha256(data).hexdigest()} {context}"
    path = store.root / FOLDER / f"{hashlib.sha256(key.encode()).hexdigest()}.gguf"
    return MatrixSource(model, path, context, text)


async def make_matrix(store: Store, source: MatrixSource, tools: Tools) -> AsyncGenerator[Step]:
    """See to it that the matrix is at its path; nothing happens where it is there already.

    Closing the generator ends the work. Raises StoreError when the disk is full, BusyError without
    the memory, BadRequestError or EngineError with the reason otherwise.
    """
    if source.text is None:
        return
    async with tools.turn:
        with suppress(OSError):
            os.utime(source.path)
            return
        header = await asyncio.to_thread(cached_header, source.model)
        tools.check_memory(header, source.context)
        with using(store.root), draft(store.blobs) as new:
            steps = importance(
                tools.imatrix,
                source.model,
                source.text,
                new.path,
                context=source.context,
                chunks=_ALL,
            )
            async with aclosing(steps):
                async for step in steps:
                    yield step
            await asyncio.to_thread(_keep, new, source.path, header)


def _keep(new: Draft, path: Path, model: Header) -> None:
    """Put a new matrix beside the others, and remove the longest unused ones."""
    try:
        check_matrix(new.path, model)
    except GGUFError:
        probe_disk(new.path)  # the engine calls it a success where the disk was full
        raise
    make_folder(path.parent)
    new.publish(path)
    kept = sorted(path.parent.glob("*.gguf"), key=lambda path: path.stat().st_mtime)
    for old in kept[:-KEPT]:
        old.unlink(missing_ok=True)
