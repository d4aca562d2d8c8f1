"""Models that are given as several files, the parts of one: they become one blob."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack, aclosing

from ayllu.gguf import arch
from ayllu.gguf.shards import set_name
from ayllu.gguf.split import merge, ordered
from ayllu.gguf.tool import Step
from ayllu.models.files import draft, using
from ayllu.models.manifest import MODEL_TYPE
from ayllu.models.store import Store
from ayllu.models.weights import any_header, published


async def merge_parts(
    store: Store, files: Mapping[str, str]
) -> AsyncGenerator[Step | dict[str, str]]:
    """Make one blob of those of the files that are parts: steps in bytes, then the files with it.

    `files` maps what the user calls them to digests. Closing the generator ends the work and leaves
    nothing. Raises BadRequestError before the first step where parts are missing or do not belong
    together, StoreError when the disk is full.
    """
    parts = await asyncio.to_thread(_parts_of, store, files)
    if parts:
        sources = [store.blob_path(files[part]) for part in parts]
        with ExitStack() as stack:
            stack.enter_context(using(store.root))
            total = sum(source.stat().st_size for source in sources)
            new = stack.enter_context(draft(store.blobs))
            async with aclosing(merge(sources, new.path)) as steps:
                async for done in steps:
                    yield Step(min(done, total), total)
            layer = await published(store, new, MODEL_TYPE)
        others = {path: digest for path, digest in files.items() if path not in parts}
        yield others | {f"{set_name(parts[0])}.gguf": layer.digest}


def _parts_of(store: Store, files: Mapping[str, str]) -> tuple[str, ...]:
    """Which files are the parts of a model, in their order; none where none is a part."""
    headers = {path: any_header(store, path, digest) for path, digest in files.items()}
    parts = {path: header for path, header in headers.items() if arch.split_count(header) > 1}
    return ordered(parts) if parts else ()
