"""Bringing back a model of a shelf that was hidden."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import suppress

from ayllu.errors import BadRequestError, NotFoundError, StoreError
from ayllu.models.create import Progress
from ayllu.models.name import short_name
from ayllu.models.store import Store, StoredManifest
from ayllu.types import Layer, ModelName


def find_shelved(store: Store, name: ModelName) -> StoredManifest | None:
    """The model of a shelf. Raises BadRequestError where one of the user's own has its name."""
    shelved = store.shelved(name)
    if shelved is None:
        return None
    with suppress(NotFoundError):
        if store.manifest(name).digest != shelved.digest:
            raise BadRequestError(
                f"model '{short_name(name)}' is one of your own and would be lost: give it another "
                "name (cp) and remove it, then pull again"
            )
    return shelved


async def restore(store: Store, shelved: StoredManifest) -> AsyncGenerator[Progress]:
    """Show a model of a shelf again; yields Ollama's words. One that is there is checked too."""
    yield Progress("pulling manifest")
    layers = (*shelved.manifest.layers, shelved.manifest.config)
    for layer in layers:
        yield Progress(f"pulling {layer.digest[7:19]}", layer.digest, layer.size, layer.size)
    yield Progress("verifying sha256 digest")
    for layer in layers:
        await asyncio.to_thread(_verify, store, layer)
    yield Progress("writing manifest")
    await asyncio.to_thread(store.shelves.show, shelved.name)
    yield Progress("success")


def _verify(store: Store, layer: Layer) -> None:
    path = store.shelves.blob(layer.digest)
    if path is None:
        raise StoreError(f"the layer {layer.digest} is missing: install Ayllu again")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    if layer.digest != f"sha256:{digest}":
        raise StoreError(f"{path} is damaged: install Ayllu again")
