"""The models folder, in Ollama's layout byte for byte, so that both programs can share one.

Owns `blobs/sha256-<hex>` and `manifests/<host>/<namespace>/<model>/<tag>`: every write is atomic,
every digest is checked before it becomes a path, and a manifest never points at a missing blob.
"""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from pathlib import Path

from msgspec import structs

from ayllu.errors import BadRequestError, NotFoundError, StoreError
from ayllu.gguf.shards import shards_of
from ayllu.models.copies import prune_copies
from ayllu.models.files import draft, gather, locked, sync_folder, using
from ayllu.models.folders import (
    age_of,
    entries,
    names_in,
    remove_empty_folders,
    rename_legacy_blobs,
    spelled,
)
from ayllu.models.manifest import digest_of, encode_manifest, parse_digest, parse_manifest
from ayllu.models.name import is_valid, manifest_path, short_name
from ayllu.models.pulled import forget_pull
from ayllu.models.shelf import Shelf, Shelved, Shelves, folded
from ayllu.models.stored import Damaged, ManifestReader, StoredManifest
from ayllu.types import Layer, ModelConfig, ModelName

__all__ = ["Damaged", "Store", "StoredManifest"]

PRUNE_AGE = 3600.0
PARTIAL_AGE = 24 * 3600.0


class Store:
    """A models folder. Where the disk does not play along, StoreError names the remedy.

    Nothing is created before the first write. No files are kept open; several may share a folder.
    Behind its own models stand those of some shelves, which it reads and never changes.
    """

    def __init__(self, root: Path, shelves: Sequence[Shelf] = ()) -> None:
        self.root = root
        self.shelves = Shelves(root, shelves)
        self.blobs = root / "blobs"
        self.manifests = root / "manifests"
        self._reader = ManifestReader(root)
        self.configs: dict[str, ModelConfig] = {}
        """Configs that were read, by their digests: `models.model.read_config` fills it."""

    def names(self) -> tuple[ModelName, ...]:
        """The names of all models, damaged ones too; those of shelves last."""
        own = self._own_names()
        return own + tuple(one.name for one in self._shelved_besides(own))

    def _own_names(self) -> tuple[ModelName, ...]:
        with using(self.root):
            return tuple(names_in(self.manifests))

    def _shelved_besides(self, own: Iterable[ModelName]) -> list[Shelved]:
        """The models of shelves that none of some names hides."""
        taken = set(map(folded, own))
        return [one for one in self.shelves.all() if folded(one.name) not in taken]

    def models(self) -> tuple[StoredManifest, ...]:
        """All usable models, newest first."""
        models = [item for item in self._read_all() if isinstance(item, StoredManifest)]
        return tuple(sorted(models, key=lambda model: -model.modified_at))

    def damaged(self) -> tuple[Damaged, ...]:
        """The models whose manifest cannot be used."""
        return tuple(item for item in self._read_all() if isinstance(item, Damaged))

    def resolve(self, name: ModelName) -> ModelName:
        """The name as the store spells it; a name that is not here keeps its own spelling.

        Names match without regard to case. Parts that exist already are reused in their spelling.
        """
        wanted = (name.host, name.namespace, name.model, name.tag)
        if not is_valid(name):
            raise BadRequestError("invalid model name")
        with using(self.root):
            own = ModelName(*spelled(self.manifests, wanted))
            if (self.manifests / manifest_path(own)).is_file():
                return own
        shelved = self.shelves.find(name)
        return shelved.name if shelved else own

    def manifest(self, name: ModelName) -> StoredManifest:
        """A model's manifest. Raises NotFoundError, or StoreError when the manifest is damaged.

        BadRequestError where a folder that is only read has something that is no model.
        """
        item = self._read(self.resolve(name))
        if item is None:
            raise NotFoundError(f"model '{short_name(name)}' not found")
        if isinstance(item, Damaged):
            shelved = self.shelves.find(item.name)
            if shelved and shelved.shelf.folder and self._read_own(item.name) is None:
                raise BadRequestError(
                    f"model '{short_name(name)}' in {shelved.shelf.folder} cannot be used: "
                    f"{item.reason}"
                )
            raise StoreError(
                f"the manifest of {short_name(name)} is damaged ({item.reason}): "
                "remove the model and get it again",
            )
        return item

    def find(self, name: ModelName) -> StoredManifest | None:
        """A model's manifest, or None when there is none that can be used."""
        item = self._read(self.resolve(name))
        return item if isinstance(item, StoredManifest) else None

    def shelved(self, name: ModelName) -> StoredManifest | None:
        """The model of that name that ships with Ayllu, hidden or not."""
        found = self.shelves.packaged(name)
        item = found.read() if found else None
        return item if isinstance(item, StoredManifest) else None

    def blob_path(self, digest: str) -> Path:
        """Where a blob is read: in the store or on a shelf; where it would lie when it is nowhere.

        Raises BadRequestError `invalid digest format`.
        """
        path = self.new_blob_path(digest)
        with using(self.root):
            if path.is_file():
                return path
        return self.shelves.blob(parse_digest(digest)) or path

    def has_blob(self, digest: str) -> bool:
        """Whether the blob is in the store or on a shelf."""
        path = self.blob_path(digest)
        with using(self.root):
            return path.is_file() or self.shelves.text(parse_digest(digest)) is not None

    def read_blob(self, digest: str, limit: int) -> bytes:
        """A small blob's bytes. Raises StoreError when it is missing or longer than `limit`."""
        path = self.blob_path(digest)
        try:
            with using(self.root), path.open("rb") as file:
                data = file.read(limit + 1)
        except StoreError as error:
            text = self.shelves.text(parse_digest(digest))
            if text is not None:
                return text
            if isinstance(error.__cause__, FileNotFoundError):
                raise StoreError(f"the file {path.name} is missing from {self.blobs}") from error
            raise
        if len(data) > limit:
            raise StoreError(f"the file {path.name} in {self.blobs} is larger than {limit} bytes")
        return data

    @contextmanager
    def creating(self) -> Iterator[None]:
        """Hold off every removal of layers while a model is being made, in all processes."""
        with ExitStack() as stack:
            with using(self.root):
                stack.enter_context(locked(self.root / ".ayllu.lock", exclusive=False))
            yield

    def write_blob(self, data: bytes, media_type: str) -> Layer:
        """Store some bytes as a blob, if they are not there yet."""
        layer = Layer(media_type, digest_of(data), len(data))
        if not self._has_own_blob(layer.digest):
            with using(self.root), draft(self.blobs) as new:
                new.write(data)
                new.publish(self.new_blob_path(layer.digest))
        return layer

    async def receive_blob(self, digest: str, chunks: AsyncIterator[bytes]) -> bool:
        """Store a stream as the blob that it should be; returns whether it was new.

        A blob that is here already is not read again. Raises BadRequestError when the bytes have
        another digest. Writing and hashing happen outside the event loop, a mebibyte at a time.
        """
        wanted = parse_digest(digest)
        if self.has_blob(wanted):
            return False
        with ExitStack() as stack:
            with using(self.root):
                new = stack.enter_context(draft(self.blobs))
            async with aclosing(gather(chunks)) as pieces:
                async for piece in pieces:
                    with using(self.root):
                        await asyncio.to_thread(new.write, piece)
            if new.digest != wanted:
                raise BadRequestError(f'digest mismatch, expected "{wanted}", got "{new.digest}"')
            with using(self.root):
                await asyncio.to_thread(new.publish, self.new_blob_path(wanted))
        return True

    def add_file(self, path: Path, media_type: str) -> Layer:
        """Take a file into the store; the file itself is left as it is.

        Raises BadRequestError when there is no such file. Reads the whole file: not for the event
        loop.
        """
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise BadRequestError(f"{path} is not a file")
            source = path.open("rb")
        except OSError as error:
            raise BadRequestError(f"{path} cannot be read: {error.strerror}") from error
        with source, using(self.root), draft(self.blobs) as new:
            new.fill_from(source)
            if not self._has_own_blob(new.digest):
                new.publish(self.new_blob_path(new.digest))
            return Layer(media_type, new.digest, new.size)

    def manifest_bytes(self, name: ModelName) -> bytes:
        """A manifest as it lies there. Raises as `manifest` does."""
        stored = self.manifest(name)
        try:
            return (self.manifests / manifest_path(stored.name)).read_bytes()
        except OSError:
            found = self.shelves.find(stored.name)
            with using(self.root):
                if found is None:
                    raise
                return found.shelf.manifest_bytes(found.name)

    def write_manifest(self, name: ModelName, data: bytes) -> StoredManifest:
        """Give a model its manifest, or a new one; the bytes are kept as they are.

        Blobs that only a shelf has are taken into the store, for shelves come and go; where nobody
        had hashed one yet, the manifest gets its digest now. Raises BadRequestError when the bytes
        are no manifest, StoreError when a blob is missing. May read whole models: not for the event
        loop.
        """
        manifest = parse_manifest(data)
        name = self.resolve(name)
        path = self.manifests / manifest_path(name)
        layers = (manifest.config, *manifest.layers)
        with self.creating(), using(self.root):
            taken = tuple(
                layer if self._has_own_blob(layer.digest) else self._take_in(layer)
                for layer in layers
            )
            if taken != layers:
                data = encode_manifest(taken[0], taken[1:])
            with draft(path.parent) as new:
                new.write(data)
                new.publish(path)
        return self.manifest(name)

    def _take_in(self, layer: Layer) -> Layer:
        """Copy a blob from a shelf; returns the layer with the digest that it has."""
        path, text = self.shelves.blob(layer.digest), self.shelves.text(layer.digest)
        if text is not None:
            return structs.replace(layer, digest=self.write_blob(text, layer.media_type).digest)
        if path is None:
            raise StoreError(f"the layer {layer.digest} is missing from {self.blobs}")
        is_hashed = self.shelves.is_hashed(layer.digest)
        if not is_hashed and len(parts := shards_of(path)) > 1:
            raise BadRequestError(
                f"{path.name} is the first of {len(parts)} files that run only where they lie: "
                f"'ayllu create NAME {path}' merges them into a model of the store"
            )
        added = self.add_file(path, layer.media_type)
        if is_hashed and added.digest != layer.digest:
            raise StoreError(f"{path} is damaged: it has another digest than its manifest says")
        return structs.replace(layer, digest=added.digest, size=added.size)

    def copy(self, source: ModelName, destination: ModelName) -> StoredManifest:
        """Give a model a second name."""
        stored = self.manifest(source)
        if self.resolve(destination) == stored.name:
            return stored
        with self.creating():
            return self.write_manifest(destination, self.manifest_bytes(stored.name))

    def delete(self, name: ModelName) -> tuple[str, ...]:
        """Remove a model and the layers that no other model has; returns their digests.

        Raises NotFoundError. While another model is being made, layers stay for the next prune. A
        damaged manifest is removed too; its layers are prune's. A model of a shelf is hidden, but
        not by removing one of our own with its name: that one goes first.
        """
        name = self.resolve(name)
        if self._read(name) is None:
            raise NotFoundError(f"model '{short_name(name)}' not found")
        path = self.manifests / manifest_path(name)
        with self.creating(), using(self.root):  # so that nobody removes the folder meanwhile
            item = self._read_own(name)
            if item is None:
                self.shelves.hide(name)  # where none has it, somebody was quicker
                return ()
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
            forget_pull(self.root, name)
        layers = item.digests if isinstance(item, StoredManifest) else ()
        return self.remove_unused(layers)

    def remove_unused(self, digests: Iterable[str]) -> tuple[str, ...]:
        """Remove those of some blobs in the store that no model in it has; returns their digests.

        Removes nothing while a model is being made, or while any manifest is damaged.
        """
        with using(self.root), locked(self.root / ".ayllu.lock", exclusive=True) as ours:
            if not ours:
                return ()
            remove_empty_folders(self.manifests)
            used = self._used()
            if used is None:
                return ()
            unused = tuple(dict.fromkeys(digests))
            removed = [item for item in unused if item not in used and self._has_own_blob(item)]
            for digest in removed:
                self.new_blob_path(digest).unlink(missing_ok=True)
            if removed:
                prune_copies(self.root, self._all_digests, PRUNE_AGE)
            return tuple(removed)

    def prune(self, age: float = PRUNE_AGE, partial_age: float = PARTIAL_AGE) -> tuple[str, ...]:
        """Remove blobs that no model in the store has and left-over temporary files; returns names.

        Only what is older than `age` seconds goes: somebody may be about to use the rest. Downloads
        that were left may be gone on with for longer. Does nothing while a model is being made or
        pulled, or while any manifest is damaged.
        """
        if not self.root.is_dir():
            return ()
        with using(self.root), locked(self.root / ".ayllu.lock", exclusive=True) as ours:
            if not ours:
                return ()
            rename_legacy_blobs(self.blobs)
            used = self._used()
            if used is None:
                return ()
            kept = {digest.replace(":", "-") for digest in used}
            files = [path for path in entries(self.blobs) if path.name.lower() not in kept]
            files += [path for path in self.manifests.rglob(".tmp-*") if path.is_file()]
            ages = ((path, partial_age if "-partial" in path.name else age) for path in files)
            old = [path for path, limit in ages if path.is_file() and age_of(path) > limit]
            for path in old:
                path.unlink(missing_ok=True)
            remove_empty_folders(self.manifests)
            copies = prune_copies(self.root, self._all_digests, age)
            return tuple(path.name for path in old) + copies

    def _all_digests(self) -> frozenset[str]:
        """The digests that any model refers to, those of shelves too."""
        return frozenset(digest for model in self.models() for digest in model.digests)

    def _read_all(self) -> tuple[StoredManifest | Damaged, ...]:
        own = self._own_names()
        found = [*map(self._read_own, own), *(one.read() for one in self._shelved_besides(own))]
        self._reader.trim(len(found))
        return tuple(item for item in found if item)

    def _read(self, name: ModelName) -> StoredManifest | Damaged | None:
        """A manifest by its stored name, ours or a shelf's; None where there is none."""
        item = self._read_own(name)
        if item is None and (shelved := self.shelves.find(name)):
            return shelved.read()
        return item

    def _read_own(self, name: ModelName) -> StoredManifest | Damaged | None:
        return self._reader.read(name, f"{self.manifests}/{manifest_path(name)}")

    def _used(self) -> frozenset[str] | None:
        """The digests that our own models refer to; None when a damaged one keeps it unknown."""
        used: set[str] = set()
        for item in map(self._read_own, self._own_names()):
            if isinstance(item, Damaged):
                return None
            if item is not None:
                used.update(item.digests)
        return frozenset(used)

    def new_blob_path(self, digest: str) -> Path:
        """Where a blob that comes into the store has to lie, whole and of this digest."""
        return self.blobs / parse_digest(digest).replace(":", "-")

    def _has_own_blob(self, digest: str) -> bool:
        path = self.new_blob_path(digest)
        with using(self.root):
            return path.is_file()
