"""Models of the Hub that its registry does not serve: their files are fetched, and a model is made.

Parts of a GGUF are merged, weights in other forms are converted. The model appears when all is
done; what it was made of goes then, and stays for another try where it failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import PurePosixPath

from msgspec import Struct

from ayllu.errors import RegistryError
from ayllu.models.create import CreateRequest, Progress
from ayllu.models.manifest import MODEL_TYPE
from ayllu.models.pulled import note_pull
from ayllu.models.store import Store
from ayllu.registry.downloads import Downloads, fetching
from ayllu.registry.hub import Hub
from ayllu.registry.hub_files import HubFile, select
from ayllu.registry.web import ANSWER_SECONDS, TransientError
from ayllu.torch_python import find_torch_python
from ayllu.types import Layer, ModelName

LARGEST_SMALL_FILE = 32 << 20
"""Bytes of a file whose digest the Hub does not tell; it does of those over 10 MB."""

Make = Callable[[ModelName, CreateRequest], AsyncGenerator[Progress]]
"""Makes a model of files that are blobs: `models.create`, with what it needs."""


class Workshop(Struct, frozen=True):
    """What makes models of files: `make`, and the setting `torch_python`."""

    make: Make
    torch_python: str = ""


async def pull_files(
    store: Store, downloads: Downloads, hub: Hub, name: ModelName, workshop: Workshop, *, known: str
) -> AsyncGenerator[Progress]:
    """Get a model by its repository's files; ends at once where the revision is `known`.

    Yields what is being done, but for the `success`. Raises NotFoundError where the tag names no
    file, BadRequestError where they are no model, and RegistryError, ForbiddenError, StoreError;
    UnsupportedError, before anything is fetched, where they cannot be converted here.
    """
    revision = await hub.revision()
    if revision == known:
        return
    selection = select(await hub.files(revision), name.tag)
    if selection.converts:
        find_torch_python(workshop.torch_python)
    digests: dict[str, str] = {}
    with store.creating():
        sized = [Layer(MODEL_TYPE, file.digest, file.size) for file in selection.files]
        await asyncio.to_thread(downloads.check_space, [layer for layer in sized if layer.digest])
        for file in selection.files:
            async with aclosing(_fetch(store, downloads, hub, revision, file)) as lines:
                async for line in lines:
                    yield line
            digests[_name_of(file)] = line.digest
    request = CreateRequest(files=digests, quantize=selection.quantize)
    async with aclosing(workshop.make(name, request)) as lines:
        async for line in lines:
            if line.status != "success":
                yield line
    stored = await asyncio.to_thread(store.manifest, name)
    await asyncio.to_thread(note_pull, store.root, stored, hub.root.scheme, revision)
    await asyncio.to_thread(store.remove_unused, digests.values())


async def _fetch(
    store: Store, downloads: Downloads, hub: Hub, revision: str, file: HubFile
) -> AsyncGenerator[Progress]:
    """Get a file, its digest checked where the Hub knows it; the last line has it."""
    source = hub.source(revision, file.path)
    if not file.digest:
        if file.size > LARGEST_SMALL_FILE:
            raise RegistryError(f"{file.path} is larger than {LARGEST_SMALL_FILE} bytes")
        try:
            async with asyncio.timeout(ANSWER_SECONDS), source.open() as response:
                data = await hub.web.read(response, LARGEST_SMALL_FILE)
        except TimeoutError as error:
            raise TransientError(f"{file.path} does not come to its end") from error
        if len(data) != file.size:
            raise RegistryError(f"{file.path} has {len(data)} bytes, and should have {file.size}")
        layer = await asyncio.to_thread(store.write_blob, data, MODEL_TYPE)
        yield Progress(f"pulling {layer.digest[7:19]}", layer.digest, layer.size, layer.size)
        return
    layer = Layer(MODEL_TYPE, file.digest, file.size)
    async with aclosing(fetching(downloads, source, layer)) as lines:
        async for line in lines:
            yield line


def _name_of(file: HubFile) -> str:
    """What create calls a file: GGUFs lie anywhere in a repository, and parts lie together."""
    return PurePosixPath(file.path).name
