"""Getting a model by its name. For now only what stands on a shelf can be had."""

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


async def pull(store: Store, name: ModelName) -> AsyncGenerator[Progress]:
    """Bring back a model of a shelf; yields what is being done in Ollama's words, `success` last.

    One that is there is checked all the same. Before the first status it raises NotFoundError when
    no shelf has the model, and BadRequestError when one of the user's own has its name.
    """
    shelved = await asyncio.to_thread(_find, store, name)
    yield Progress("pulling manifest")
    layers = (*shelved.manifest.layers, shelved.manifest.config)
    for layer in layers:
        label = f"pulling {layer.digest[7:19]}"
        yield Progress(label, layer.digest, layer.size, layer.size)
    yield Progress("verifying sha256 digest")
    for layer in layers:
        await asyncio.to_thread(_verify, store, layer)
    yield Progress("writing manifest")
    await asyncio.to_thread(store.shelves.show, name)
    yield Progress("success")


def _find(store: Store, name: ModelName) -> StoredManifest:
    shelved = store.shelved(name)
    if shelved is None:
        raise NotFoundError("this version of Ayllu cannot download models yet")
    with suppress(NotFoundError):
        if store.manifest(name).digest != shelved.digest:
            raise BadRequestError(
                f"model '{short_name(name)}' is one of your own and would be lost: give it another "
                "name (cp) and remove it, then pull again"
            )
    return shelved


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
