"""The models folder, in Ollama's layout byte for byte, so that both programs can share one.

Owns `blobs/sha256-<hex>` and `manifests/<host>/<namespace>/<model>/<tag>`: every write is atomic,
every digest is checked before it becomes a path, and a manifest never points at a missing blob.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack, aclosing, contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from ayllu.errors import BadRequestError, NotFoundError, StoreError
from ayllu.models.files import draft, gather, locked, sync_folder, using
from ayllu.models.manifest import (
    MAX_MANIFEST_BYTES,
    ManifestError,
    digest_of,
    parse_digest,
    parse_manifest,
)
from ayllu.models.name import is_valid, manifest_path, short_name
from ayllu.types import Layer, Manifest, ModelName

PRUNE_AGE = 3600.0
_LEGACY_BLOB_NAME = re.compile(r"sha256:[0-9a-fA-F]{64}")


class StoredManifest(Struct, frozen=True):
    """A model of the store.

    `digest` is the hex sha256 of the manifest file without a prefix, `modified_at` a Unix time in
    nanoseconds, `size` the bytes of all layers and the config.
    """

    name: ModelName
    manifest: Manifest
    digest: str
    modified_at: int
    size: int


class Damaged(Struct, frozen=True):
    """A manifest that cannot be used, and why."""

    name: ModelName
    reason: str


class Store:
    """A models folder. Where the disk does not play along, StoreError names the remedy.

    Nothing is created before the first write. No files are kept open; several may share a folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs"
        self.manifests = root / "manifests"
        self._seen: dict[str, tuple[tuple[int, int, int], StoredManifest]] = {}

    def names(self) -> tuple[ModelName, ...]:
        """The names of all models, damaged ones too."""
        with using(self.root):
            names = (
                ModelName(host.name, namespace.name, model.name, tag.name)
                for host in _scan(self.manifests)
                for namespace in _scan(host)
                for model in _scan(namespace)
                for tag in _scan(model)
                if tag.is_file()
            )
            return tuple(name for name in names if is_valid(name))

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
            return ModelName(*_spelled(self.manifests, wanted))

    def manifest(self, name: ModelName) -> StoredManifest:
        """A model's manifest. Raises NotFoundError, or StoreError when the manifest is damaged."""
        item = self._read(self.resolve(name))
        if item is None:
            raise NotFoundError(f"model '{short_name(name)}' not found")
        if isinstance(item, Damaged):
            raise StoreError(
                f"the manifest of {short_name(name)} is damaged ({item.reason}): "
                "remove the model and get it again",
            )
        return item

    def find(self, name: ModelName) -> StoredManifest | None:
        """A model's manifest, or None when there is none that can be used."""
        item = self._read(self.resolve(name))
        return item if isinstance(item, StoredManifest) else None

    def blob_path(self, digest: str) -> Path:
        """Where a blob lies, whether it is there or not.

        Raises BadRequestError `invalid digest format`.
        """
        return self.blobs / parse_digest(digest).replace(":", "-")

    def has_blob(self, digest: str) -> bool:
        """Whether the blob is here."""
        path = self.blob_path(digest)
        with using(self.root):
            return path.is_file()

    def read_blob(self, digest: str, limit: int) -> bytes:
        """A small blob's bytes. Raises StoreError when it is missing or longer than `limit`."""
        path = self.blob_path(digest)
        try:
            with using(self.root), path.open("rb") as file:
                data = file.read(limit + 1)
        except StoreError as error:
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
        if not self.has_blob(layer.digest):
            with using(self.root), draft(self.blobs) as new:
                new.write(data)
                new.publish(self.blob_path(layer.digest))
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
                await asyncio.to_thread(new.publish, self.blob_path(wanted))
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
            if not self.has_blob(new.digest):
                new.publish(self.blob_path(new.digest))
            return Layer(media_type, new.digest, new.size)

    def write_manifest(self, name: ModelName, data: bytes) -> StoredManifest:
        """Give a model its manifest, or a new one; the bytes are kept as they are.

        Raises BadRequestError when they are no manifest, StoreError when a blob is missing.
        """
        manifest = parse_manifest(data)
        name = self.resolve(name)
        path = self.manifests / manifest_path(name)
        with self.creating(), using(self.root):
            for layer in (manifest.config, *manifest.layers):
                if not self.has_blob(layer.digest):
                    raise StoreError(f"the layer {layer.digest} is missing from {self.blobs}")
            with draft(path.parent) as new:
                new.write(data)
                new.publish(path)
        return self.manifest(name)

    def copy(self, source: ModelName, destination: ModelName) -> StoredManifest:
        """Give a model a second name."""
        path = self.manifests / manifest_path(self.manifest(source).name)
        with self.creating():
            with using(self.root):
                data = path.read_bytes()
            return self.write_manifest(destination, data)

    def delete(self, name: ModelName) -> tuple[str, ...]:
        """Remove a model and the layers that no other model has; returns their digests.

        Raises NotFoundError. While another model is being made, layers stay for the next prune. A
        damaged manifest is removed too; its layers are prune's.
        """
        name = self.resolve(name)
        if self._read(name) is None:
            raise NotFoundError(f"model '{short_name(name)}' not found")
        path = self.manifests / manifest_path(name)
        with self.creating(), using(self.root):  # so that nobody removes the folder meanwhile
            item = self._read(name)
            if item is None:
                return ()  # somebody was quicker
            path.unlink(missing_ok=True)
            sync_folder(path.parent)
        layers = _digests(item.manifest) if isinstance(item, StoredManifest) else ()
        return self.remove_unused(layers)

    def remove_unused(self, digests: Iterable[str]) -> tuple[str, ...]:
        """Remove those of some blobs that no model has; returns their digests.

        Removes nothing while a model is being made, or while any manifest is damaged.
        """
        with using(self.root), locked(self.root / ".ayllu.lock", exclusive=True) as ours:
            if not ours:
                return ()
            self._remove_empty_folders()
            used = self._used()
            if used is None:
                return ()
            unused = tuple(dict.fromkeys(digests))
            removed = [digest for digest in unused if digest not in used and self.has_blob(digest)]
            for digest in removed:
                self.blob_path(digest).unlink(missing_ok=True)
            return tuple(removed)

    def prune(self, age: float = PRUNE_AGE) -> tuple[str, ...]:
        """Remove blobs that no model has and left-over temporary files; returns file names.

        Only what is older than `age` seconds goes: somebody may be about to use the rest. Does
        nothing while a model is being made, or while any manifest is damaged.
        """
        if not self.root.is_dir():
            return ()
        with using(self.root), locked(self.root / ".ayllu.lock", exclusive=True) as ours:
            if not ours:
                return ()
            self._rename_legacy_blobs()
            used = self._used()
            if used is None:
                return ()
            kept = {digest.replace(":", "-") for digest in used}
            files = [path for path in _entries(self.blobs) if path.name.lower() not in kept]
            files += [path for path in self.manifests.rglob(".tmp-*") if path.is_file()]
            old = [path for path in files if path.is_file() and _age(path) > age]
            for path in old:
                path.unlink(missing_ok=True)
            self._remove_empty_folders()
            return tuple(path.name for path in old)

    def _read_all(self) -> tuple[StoredManifest | Damaged, ...]:
        items = tuple(item for name in self.names() if (item := self._read(name)))
        if len(self._seen) > 2 * len(items) + 64:
            self._seen.clear()
        return items

    def _read(self, name: ModelName) -> StoredManifest | Damaged | None:
        """A manifest by its stored name; None where there is none. Read again only when changed."""
        path = f"{self.manifests}/{manifest_path(name)}"
        with using(self.root):
            try:
                facts = os.stat(path)  # noqa: PTH116 - a thousand Paths take longer than the disk
                stamp = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
                if path in self._seen and self._seen[path][0] == stamp:
                    return self._seen[path][1]
                if not stat.S_ISREG(facts.st_mode):
                    return None
                with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - the same
                    data = file.read(MAX_MANIFEST_BYTES + 1)
            except (FileNotFoundError, NotADirectoryError):
                return None
        try:
            manifest = parse_manifest(data)
        except ManifestError as error:
            return Damaged(name, str(error))
        size = sum(layer.size for layer in (manifest.config, *manifest.layers))
        digest = digest_of(data).removeprefix("sha256:")
        item = StoredManifest(name, manifest, digest, facts.st_mtime_ns, size)
        self._seen[path] = (stamp, item)
        return item

    def _used(self) -> frozenset[str] | None:
        """The digests that models refer to; None when a damaged manifest keeps us from knowing."""
        items = self._read_all()
        used: set[str] = set()
        for item in items:
            if isinstance(item, Damaged):
                return None
            used.update(_digests(item.manifest))
        return frozenset(used)

    def _rename_legacy_blobs(self) -> None:
        """Old versions of Ollama wrote `sha256:<hex>`."""
        for path in _entries(self.blobs):
            if _LEGACY_BLOB_NAME.fullmatch(path.name):
                path.replace(path.with_name(path.name.replace(":", "-")))

    def _remove_empty_folders(self) -> None:
        """Drop the folders of models that are gone. Only under the exclusive lock."""
        for model in (
            m for h in _entries(self.manifests) for n in _entries(h) for m in _entries(n)
        ):
            for folder in (model, model.parent, model.parent.parent):
                with suppress(OSError):  # not empty, or gone: Ollama takes no lock of ours
                    folder.rmdir()


def _digests(manifest: Manifest) -> tuple[str, ...]:
    return tuple(layer.digest for layer in (*manifest.layers, manifest.config))


def _entries(folder: Path) -> list[Path]:
    """What lies in a folder, as paths."""
    return [folder / entry.name for entry in _scan(folder)]


def _scan(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    """What lies in a folder, in order of name; nothing where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        if folder.name in {"blobs", "manifests"}:
            raise
        return []  # a stray file among the manifests is nobody's model


def _spelled(folder: Path, parts: tuple[str, ...]) -> tuple[str, ...]:
    """The parts as the folders below `folder` spell them; exact beats alike."""
    if not parts:
        return ()
    first, rest = parts[0], parts[1:]
    if folder.joinpath(*parts).exists():
        return parts
    alike = [entry.name for entry in _entries(folder) if entry.name.lower() == first.lower()]
    alike.sort(key=lambda entry: entry != first)
    found = [(name, *_spelled(folder / name, rest)) for name in alike]
    complete = [names for names in found if folder.joinpath(*names).exists()]
    return (complete or found or [parts])[0]


def _age(path: Path) -> float:
    """Seconds since a file was written; 0 when it was renamed or removed this moment."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
