"""Getting a model by its name: from a shelf where one has it, else from its registry.

The manifest is written last, its bytes as they came, when every file has been checked. Until then
the model that had the name stays as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from msgspec import Struct

from ayllu.errors import (
    AylluError,
    BadRequestError,
    ForbiddenError,
    GGUFError,
    NotFoundError,
    RegistryError,
)
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.models.create import Progress
from ayllu.models.manifest import (
    ADAPTER_TYPE,
    DRAFT_TYPE,
    MAX_CONFIG_BYTES,
    MODEL_TYPE,
    PROJECTOR_TYPE,
    TENSOR_TYPE,
    digest_of,
    parse_config,
    parse_manifest,
)
from ayllu.models.name import HUB_HOSTS, full_name, parse_name, short_name, split_source
from ayllu.models.pulled import Pulled, find_pull, note_pull
from ayllu.models.store import Store
from ayllu.registry.client import Registries, Registry, Source, choose_scheme
from ayllu.registry.downloads import Downloads, fetching
from ayllu.registry.hub import Hub
from ayllu.registry.neighbours import Offer
from ayllu.registry.pull_hub import Workshop, pull_files
from ayllu.registry.restore import find_shelved, restore
from ayllu.registry.web import TransientError
from ayllu.types import Layer, Manifest, ModelName

UP_TO_DATE = "up to date"
NOT_PULLED = "not pulled from a registry"
_GGUF_TYPES = frozenset({MODEL_TYPE, PROJECTOR_TYPE, ADAPTER_TYPE, DRAFT_TYPE})


class Order(Struct, frozen=True, kw_only=True):
    """What to pull: `text` is a model's name as the user wrote it.

    `insecure` means over plain http; `update` only a model that was pulled before and is another
    one by now; `prunes` removes the layers that only the old version had.
    """

    text: str
    insecure: bool = False
    update: bool = False
    prunes: bool = True


class Puller:
    """Gets models into a store."""

    def __init__(
        self, store: Store, registries: Registries, downloads: Downloads, workshop: Workshop
    ) -> None:
        self._store = store
        self._workshop = workshop
        self._registries = registries
        self._downloads = downloads

    async def pull(self, order: Order) -> AsyncGenerator[Progress]:
        """Get a model; yields what is being done in Ollama's words, `success` last.

        What takes no network to be refused is refused before the first status: a wrong name, a
        model in a cloud, a private address, a model of the user's own that has a shelf's name.
        """
        text, source = split_source(order.text)
        if source == "cloud":
            raise _in_a_cloud(order.text)
        name, scheme = parse_name(text), choose_scheme(text, insecure=order.insecure)
        if order.update:
            lines = self._update(name, prunes=order.prunes)
        elif shelved := await asyncio.to_thread(find_shelved, self._store, name):
            lines = restore(self._store, shelved)
        else:
            registry = self._registries.open(name, scheme)
            lines = self._download(registry, name, prunes=order.prunes)
        async with aclosing(lines):
            async for line in lines:
                yield line

    async def copy(self, text: str, layer: Layer) -> AsyncGenerator[Progress]:
        """Get a model's GGUF from the user's other machines; no registry is asked.

        It comes with the model `text` that they have it in, where no model has that name here. Else
        it is nobody's, and goes when the store is pruned. Raises as `pull` does.
        """
        name = parse_name(text)
        neighbours, offer = self._downloads.neighbours, None
        if neighbours is not None and not await asyncio.to_thread(self._store.find, name):
            offer = await neighbours.manifest(full_name(name))
        if offer and layer.digest in {one.digest for one in parse_manifest(offer.data).layers}:
            lines = self._take(name, offer.data, None, scheme=offer.scheme, prunes=False)
        else:
            lines = self._copy_file(layer)
        async with aclosing(lines):
            async for line in lines:
                yield line

    async def _copy_file(self, layer: Layer) -> AsyncGenerator[Progress]:
        with self._store.creating():
            await asyncio.to_thread(self._downloads.check_space, [layer])
            async with aclosing(self._fetch(None, layer)) as lines:
                async for line in lines:
                    yield line

    async def _update(self, name: ModelName, *, prunes: bool) -> AsyncGenerator[Progress]:
        """Get a model again that was pulled before, where its registry has another one by now."""
        stored = await asyncio.to_thread(self._store.manifest, name)
        pulled = await asyncio.to_thread(find_pull, self._store.root, stored)
        if pulled is None:
            yield Progress(NOT_PULLED)
            yield Progress("success")
            return
        registry = self._registries.open(stored.name, pulled.scheme)
        lines = self._download(registry, stored.name, pulled=pulled, prunes=prunes)
        async with aclosing(lines):
            async for line in lines:
                yield line

    async def _download(
        self, registry: Registry, name: ModelName, *, pulled: Pulled | None = None, prunes: bool
    ) -> AsyncGenerator[Progress]:
        """Get a model from its registry, unless it is the one that was `pulled`."""
        yield Progress("pulling manifest")
        offer = None
        try:
            data = await registry.manifest()
        except (ForbiddenError, NotFoundError, RegistryError) as error:
            offer = None if pulled else await self._ask_neighbours(name, error)
            if offer is None:
                if name.host not in HUB_HOSTS or isinstance(error, TransientError):
                    raise
                async with aclosing(self._put_together(name, pulled)) as lines:
                    async for line in lines:
                        yield line
                return
            data = offer.data
            yield Progress(f"pulling manifest {digest_of(data)[7:19]} from {offer.giver}")
        if pulled and digest_of(data) == f"sha256:{pulled.digest}":
            yield Progress(UP_TO_DATE)
            yield Progress("success")
            return
        registry_left, scheme = (None, offer.scheme) if offer else (registry, registry.root.scheme)
        async with aclosing(
            self._take(name, data, registry_left, scheme=scheme, prunes=prunes)
        ) as lines:
            async for line in lines:
                yield line

    async def _take(
        self, name: ModelName, data: bytes, registry: Registry | None, *, scheme: str, prunes: bool
    ) -> AsyncGenerator[Progress]:
        """Get the layers of a manifest, from other machines where there is no registry; name it.

        `scheme` is remembered for updates; empty for a model that no registry has.
        """
        manifest = parse_manifest(data)
        _check_layers(name, manifest)
        layers = (*manifest.layers, manifest.config)
        old = await asyncio.to_thread(self._store.find, name)
        new = [layer.digest for layer in layers if not self._downloads.has(layer)]
        complete = False
        try:
            with self._store.creating():
                await asyncio.to_thread(self._downloads.check_space, layers)
                for layer in layers:
                    async with aclosing(self._fetch(registry, layer)) as lines:
                        async for line in lines:
                            yield line
                complete = True
                yield Progress("verifying sha256 digest")
                await asyncio.to_thread(self._check_files, name, manifest)
                yield Progress("writing manifest")
                stored = await asyncio.to_thread(self._store.write_manifest, name, data)
                if scheme:
                    await asyncio.to_thread(note_pull, self._store.root, stored, scheme)
        except (BadRequestError, ForbiddenError):
            if complete:  # and useless; else another try goes on from here
                await asyncio.to_thread(self._store.remove_unused, new)
            raise
        unused = old.digests if old and prunes else ()
        if await asyncio.to_thread(self._store.remove_unused, unused):
            yield Progress("removing unused layers")
        yield Progress("success")

    async def _ask_neighbours(self, name: ModelName, error: AylluError) -> Offer | None:
        """The manifest that another machine has, where the registry has none or says nothing."""
        neighbours = self._downloads.neighbours
        if neighbours is None or not isinstance(error, NotFoundError | TransientError):
            return None
        return await neighbours.manifest(full_name(name))

    async def _put_together(
        self, name: ModelName, pulled: Pulled | None
    ) -> AsyncGenerator[Progress]:
        """Get a model by its repository's files, unless they are those that were `pulled`."""
        hub = Hub(self._registries, name)
        known, done = pulled.revision if pulled else "", False
        lines = pull_files(self._store, self._downloads, hub, name, self._workshop, known=known)
        async with aclosing(lines):
            async for line in lines:
                done = True
                yield line
        if not done:
            yield Progress(UP_TO_DATE)
        yield Progress("success")

    async def _fetch(self, registry: Registry | None, layer: Layer) -> AsyncGenerator[Progress]:
        """Get a layer, its digest checked on the way; one that is here is one line.

        Without a registry it comes from the user's other machines.
        """
        label = f"pulling {layer.digest[7:19]}"
        if await asyncio.to_thread(self._downloads.has, layer):
            yield Progress(label, layer.digest, layer.size, layer.size)
            return
        source = Source(registry, registry.blob(layer.digest)) if registry else None
        async with aclosing(fetching(self._downloads, source, layer)) as lines:
            async for line in lines:
                yield line

    def _check_files(self, name: ModelName, manifest: Manifest) -> None:
        """Raise BadRequestError or ForbiddenError unless the files make a model that can be used.

        An architecture that nobody knows is none of these: a newer engine may.
        """
        config = parse_config(self._store.read_blob(manifest.config.digest, MAX_CONFIG_BYTES))
        if config.remote_host:
            raise _in_a_cloud(short_name(name))
        if not any(layer.media_type == MODEL_TYPE for layer in manifest.layers):
            raise BadRequestError(f"{short_name(name)} has no GGUF file, so nothing can run it")
        for layer in manifest.layers:
            if layer.media_type in _GGUF_TYPES:
                try:
                    arch.check(cached_header(self._store.blob_path(layer.digest)))
                except GGUFError as error:
                    raise GGUFError(f"{short_name(name)} cannot be used: {error}") from error


def _check_layers(name: ModelName, manifest: Manifest) -> None:
    """Raise BadRequestError for what need not be downloaded to be known for useless."""
    if any(layer.media_type == TENSOR_TYPE for layer in manifest.layers):
        raise BadRequestError(
            f"{short_name(name)} is made of safetensors, which cannot be used here: pull a GGUF of "
            "it, such as another tag or one of hf.co"
        )
    if manifest.config.size > MAX_CONFIG_BYTES:
        raise BadRequestError(f"the config of {short_name(name)} is too large to be one")


def _in_a_cloud(name: str) -> ForbiddenError:
    return ForbiddenError(
        f"'{name}' is a model in a cloud, and nothing leaves your machines: choose one that runs "
        "here"
    )
