"""Sending a model to its registry: the blobs that it lacks, then the manifest.

Only what the manifest names is sent, and it comes last itself, so that nobody pulls half of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from msgspec import Struct

from ayllu.errors import BadRequestError, ForbiddenError
from ayllu.models.create import Progress
from ayllu.models.manifest import parse_manifest
from ayllu.models.name import parse_name, short_name
from ayllu.models.store import Store, StoredManifest
from ayllu.registry.client import Registries, choose_scheme
from ayllu.registry.origin import AccessError
from ayllu.registry.upload import Limits, Upload
from ayllu.types import Layer, ModelName

PROGRESS_SECONDS = 0.06
NOT_YOURS = (
    "you are not authorized to push to this namespace, create the model under a namespace you own"
)


class Push(Struct, frozen=True):
    """What to push: a model's name as the user wrote it; `insecure` means over plain http."""

    text: str
    insecure: bool = False
    limits: Limits = Limits()


async def push(store: Store, registries: Registries, wanted: Push) -> AsyncGenerator[Progress]:
    """Send a model; yields what is being done in Ollama's words, `success` last.

    What takes no network to be refused is refused before the first status. Close it to give up:
    what the registry has by then it need not get again.
    """
    name, scheme = parse_name(wanted.text), choose_scheme(wanted.text, insecure=wanted.insecure)
    stored = await asyncio.to_thread(store.manifest, name)
    await asyncio.to_thread(_check, store, stored)
    registry = registries.open(stored.name, scheme)
    yield Progress("retrieving manifest")
    data = await asyncio.to_thread(store.manifest_bytes, stored.name)
    manifest = parse_manifest(data)
    blobs = {layer.digest: layer for layer in (*manifest.layers, manifest.config)}
    try:
        for layer in blobs.values():
            path = await asyncio.to_thread(store.blob_path, layer.digest)
            upload = Upload(
                registry, layer, path, bandwidth=registries.bandwidth, limits=wanted.limits
            )
            async with aclosing(_follow(upload, layer, _mount(layer, stored.name))) as lines:
                async for line in lines:
                    yield line
        yield Progress("pushing manifest")
        await registry.put_manifest(data, manifest.media_type)
    except AccessError as error:
        raise ForbiddenError(f"{error.sentence}; {NOT_YOURS}") from error
    yield Progress("success")


def _check(store: Store, stored: StoredManifest) -> None:
    """Raise BadRequestError for a model that is not whole, or that nobody has hashed."""
    name = short_name(stored.name)
    for digest in stored.digests:
        if not store.has_blob(digest):
            raise BadRequestError(f"model '{name}' is incomplete: get it again")
        if not store.shelves.is_hashed(digest):
            raise BadRequestError(
                f"model '{name}' has no digests where it lies: copy it to the name that it shall "
                "have in the registry (cp), and push that"
            )


def _mount(layer: Layer, name: ModelName) -> str:
    """The repository that a layer came from, where it is one of the same registry."""
    with suppress(BadRequestError):
        source = parse_name(layer.from_) if layer.from_ else name
        if source.host.lower() == name.host.lower():
            found = f"{source.namespace}/{source.model}"
            return "" if found == f"{name.namespace}/{name.model}" else found
    return ""


async def _follow(upload: Upload, layer: Layer, mount: str) -> AsyncGenerator[Progress]:
    """Send a blob; yields how far it is, and again at its end. Closing it ends the upload."""
    label = f"pushing {layer.digest[7:19]}"
    sending = asyncio.create_task(upload.run(mount))
    try:
        while not sending.done():
            yield Progress(label, layer.digest, layer.size, upload.completed)
            await asyncio.wait({sending}, timeout=PROGRESS_SECONDS)
        await sending
        yield Progress(label, layer.digest, layer.size, layer.size)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
