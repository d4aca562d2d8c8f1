"""Layers of a model made anew in another type, by an importance matrix where one is wanted."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from pathlib import Path

from msgspec import Struct

from ayllu.errors import BadRequestError, EngineMissingError
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.gguf.quantize import SOURCES, needs_quantizing, quantize
from ayllu.gguf.tool import REMEDY, Step
from ayllu.models.files import draft, using
from ayllu.models.matrix import MatrixSource, make_matrix, matrix_source
from ayllu.models.store import Store
from ayllu.models.tools import Tools, check_program
from ayllu.types import Layer

_HASHED_AT_ONCE = 64 << 20
"""Bytes between two looks at whether anybody still waits for the digest."""


class Task(Struct, frozen=True):
    """A layer that has to become `kind`. `again` allows one that is quantized already."""

    kind: str
    again: bool
    matrix: MatrixSource | None
    tools: Tools


class Work(Struct, frozen=True):
    """What is being done, and how far it is: in bytes, unless `unit` says otherwise."""

    status: str
    step: Step
    unit: str = ""


def quantizing(
    store: Store,
    layer: Layer,
    kind: str,
    tools: Tools | None,
    *,
    again: bool = False,
    matrix: bool | str = False,
) -> Task | None:
    """What there is to do for a layer to become `kind`; None where it is so already.

    Raises BadRequestError where it may not, EngineMissingError where nothing could do it.
    """
    if not needs_quantizing(cached_header(store.blob_path(layer.digest)), kind, again=again):
        return None
    if tools is None:
        raise EngineMissingError(f"there is no llama-quantize: {REMEDY}")
    check_program(tools.quantize)
    if matrix and kind in SOURCES:
        raise BadRequestError(f"{kind} needs no importance matrix: leave out `imatrix`")
    source = matrix_source(store, layer.digest, matrix, tools) if matrix else None
    return Task(kind, again, source, tools)


async def quantize_layer(store: Store, layer: Layer, task: Task) -> AsyncGenerator[Work | Layer]:
    """Make a layer anew: what is being done, and the new layer at the end.

    Closing the generator ends the work and leaves nothing. Raises StoreError when the disk is full,
    BusyError without the memory, EngineError and BadRequestError with the engine's reason.
    """
    if task.matrix:
        async with aclosing(make_matrix(store, task.matrix, task.tools)) as steps:
            async for step in steps:
                yield Work("computing the importance matrix", step, "chunks")
    source = store.blob_path(layer.digest)
    status = f"quantizing {arch.file_type(cached_header(source))} model to {task.kind}"
    with ExitStack() as stack:
        stack.enter_context(using(store.root))
        new = stack.enter_context(draft(store.blobs))
        work = quantize(
            task.tools.quantize,
            source,
            new.path,
            task.kind,
            matrix=task.matrix.path if task.matrix else None,
            again=task.again,
        )
        async with aclosing(work) as steps:
            async for step in steps:
                yield Work(status, step)
        digest = await _digest(new.path)
        blob = store.blob_path(digest)
        if not blob.is_file():
            await asyncio.to_thread(new.publish, blob)
        header = await asyncio.to_thread(cached_header, blob)
        yield Layer(layer.media_type, digest, header.file_size)


async def _digest(path: Path) -> str:
    """A file's digest, worked out outside the event loop."""
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while data := await asyncio.to_thread(file.read, _HASHED_AT_ONCE):
            await asyncio.to_thread(hashed.update, data)
    return f"sha256:{hashed.hexdigest()}"
