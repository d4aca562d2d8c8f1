"""Layers of a model made anew in another type, by an importance matrix where one is wanted."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing

from msgspec import Struct

from ayllu.errors import BadRequestError, EngineMissingError
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.gguf.quantize import SOURCES, needs_quantizing, quantize
from ayllu.gguf.tool import REMEDY, Step
from ayllu.models.files import draft, using
from ayllu.models.manifest import MODEL_TYPE
from ayllu.models.matrix import MatrixSource, make_matrix, matrix_source
from ayllu.models.store import Store
from ayllu.models.tools import Tools, check_form, check_program
from ayllu.models.weights import published
from ayllu.types import Layer


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
    again: bool,
    matrix: bool | str,
) -> Task | None:
    """What there is to do for a layer to become `kind`; None where it is so already.

    `again` allows a layer that is quantized already. A draft model needs no `matrix` and gets none.
    Raises BadRequestError where it may not, EngineMissingError where nothing could do it.
    """
    path = store.blob_path(layer.digest)
    if not needs_quantizing(cached_header(path), kind, again=again):
        return None
    check_form(path)
    if tools is None:
        raise EngineMissingError(f"there is no llama-quantize: {REMEDY}")
    check_program(tools.quantize)
    if not matrix or layer.media_type != MODEL_TYPE:
        return Task(kind, again, None, tools)
    if kind in SOURCES:
        raise BadRequestError(f"{kind} needs no importance matrix: leave out `imatrix`")
    return Task(kind, again, matrix_source(store, layer.digest, matrix, tools), tools)


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
        yield await published(store, new, layer.media_type)
