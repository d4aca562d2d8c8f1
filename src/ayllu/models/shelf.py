"""Models that the store offers without having them: they are read where they lie, never written.

What a user deletes of the models that ship with Ayllu is only marked, in the store's own folder:
an empty file below `.ayllu.hidden`, which Ollama does not look at. Models of the user's other
folders are not even marked: whoever wants them gone removes them there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from ayllu.errors import BadRequestError
from ayllu.gguf.cache import Stamp, stamp
from ayllu.models.files import make_folder, sync_folder, using
from ayllu.models.name import full_name, manifest_path, parse_name, short_name
from ayllu.models.stored import Damaged, ManifestReader, StoredManifest
from ayllu.types import ModelName

ASSETS = Path(__file__).parent.parent / "assets"
MANIFEST_ENDING = ".manifest.json"
TITLE = "org.opencontainers.image.title"
"""The annotation that names a blob's file (OCI image spec, annotations.md)."""


class Shelf(Protocol):
    """A place with models that we only read.

    A place that cannot be read has no models: nothing here raises, whatever the disk does.
    """

    folder: Path | None
    """The user's folder, None for what ships with Ayllu and may be hidden."""

    def names(self) -> Collection[ModelName]:
        """The models that are there now."""

    def find(self, name: ModelName) -> ModelName | None:
        """The name, in any case, as the shelf spells it; None when there is no such model."""

    def read(self, name: ModelName) -> StoredManifest | Damaged | None:
        """The manifest of a model that is spelled so."""

    def manifest_bytes(self, name: ModelName) -> bytes:
        """The same as its bytes. Raises OSError when it is gone."""

    def blob(self, digest: str) -> Path | None:
        """Where the file of a digest, `sha256:<64 hex>`, lies; None when it is not here."""

    def text(self, digest: str) -> bytes | None:
        """A small blob that lies in no file of its own."""

    def is_hashed(self, digest: str) -> bool:
        """Whether a digest of `blob` is the file's, and not only one of where and when it lay."""


class PackagedShelf:
    """The models that ship inside the package: GGUF files beside a `NAME.manifest.json` each.

    The manifests say which file has which digest, so nothing is hashed. They are read again when
    they change, as an upgrade does below a running server. `tools/mini/package.py` writes them.
    """

    folder: Path | None = None

    def __init__(self, folder: Path = ASSETS) -> None:
        self._folder = folder
        self._reader = ManifestReader(folder)

    def names(self) -> Collection[ModelName]:
        """The models of the package."""
        return self._manifests

    def find(self, name: ModelName) -> ModelName | None:
        """The name as the package spells it."""
        return next((own for own in self._manifests if folded(own) == folded(name)), None)

    def read(self, name: ModelName) -> StoredManifest | Damaged | None:
        """The manifest of a model."""
        path = self._manifests.get(name)
        return self._reader.read(name, str(path)) if path else None

    def manifest_bytes(self, name: ModelName) -> bytes:
        """The same as its bytes."""
        return self._manifests[name].read_bytes()

    def blob(self, digest: str) -> Path | None:
        """Where the file of a digest lies."""
        for manifest in self._manifests.values():
            with suppress(FileNotFoundError):
                title = _titles(manifest, stamp(manifest)).get(digest)
                if title and (self._folder / title).is_file():
                    return self._folder / title
        return None

    def text(self, digest: str) -> bytes | None:  # noqa: ARG002 - all blobs are files
        """None: all blobs are files."""
        return None

    def is_hashed(self, digest: str) -> bool:  # noqa: ARG002 - `tools/mini/package.py` hashed them
        """All digests are those of the files."""
        return True

    @cached_property
    def _manifests(self) -> Mapping[ModelName, Path]:
        paths = sorted(self._folder.glob(f"*{MANIFEST_ENDING}"))
        return {parse_name(path.name.removesuffix(MANIFEST_ENDING)): path for path in paths}


class Shelved(Struct, frozen=True):
    """A model on a shelf, by the name that the shelf spells."""

    name: ModelName
    shelf: Shelf

    def read(self) -> StoredManifest | Damaged | None:
        """Its manifest."""
        return self.shelf.read(self.name)


class Shelves:
    """The shelves of one store, less what its user has hidden. The first one with a name wins."""

    def __init__(self, root: Path, shelves: Sequence[Shelf]) -> None:
        self._root = root
        self._shelves = shelves

    def all(self) -> tuple[Shelved, ...]:
        """All models that are not hidden."""
        found: dict[str, Shelved] = {}
        for shelf in self._shelves:
            for name in shelf.names():
                found.setdefault(folded(name), Shelved(name, shelf))
        return tuple(one for one in found.values() if not self._is_hidden(one))

    def find(self, name: ModelName) -> Shelved | None:
        """The model of that name in any case, unless it is hidden."""
        found = (Shelved(own, shelf) for shelf in self._shelves if (own := shelf.find(name)))
        return next((one for one in found if not self._is_hidden(one)), None)

    def packaged(self, name: ModelName) -> Shelved | None:
        """The same of the models that ship with Ayllu, hidden or not."""
        ours = (shelf for shelf in self._shelves if shelf.folder is None)
        return next((Shelved(own, shelf) for shelf in ours if (own := shelf.find(name))), None)

    def blob(self, digest: str) -> Path | None:
        """Where the file of a digest lies; None when no shelf has it."""
        found = (shelf.blob(digest) for shelf in self._shelves)
        return next((path for path in found if path), None)

    def text(self, digest: str) -> bytes | None:
        """A small blob that is in no file; None when no shelf has it."""
        found = (shelf.text(digest) for shelf in self._shelves)
        return next((data for data in found if data is not None), None)

    def is_hashed(self, digest: str) -> bool:
        """Whether a digest is that of bytes, as all are but those of folders of GGUF files."""
        return all(shelf.is_hashed(digest) for shelf in self._shelves)

    def hide(self, name: ModelName) -> None:
        """Let a model be seen no more. For good: it stays so after a power cut.

        Raises BadRequestError for one of the user's own folders.
        """
        if found := self.find(name):
            if found.shelf.folder is not None:
                raise BadRequestError(
                    f"model '{short_name(found.name)}' lies in {found.shelf.folder}, which is only "
                    "read: remove it there, or take the folder out of AYLLU_EXTRA_MODELS"
                )
            with using(self._root):
                mark = self._mark(found)
                make_folder(mark.parent)
                mark.touch()
                sync_folder(mark.parent)

    def show(self, name: ModelName) -> None:
        """Let a model be seen again."""
        found = self.packaged(name)
        if found and self._is_hidden(found):
            with using(self._root):
                mark = self._mark(found)
                mark.unlink(missing_ok=True)
                sync_folder(mark.parent)

    def _is_hidden(self, found: Shelved) -> bool:
        if found.shelf.folder is not None:
            return False
        with using(self._root):
            return self._mark(found).exists()

    def _mark(self, found: Shelved) -> Path:
        return self._root / ".ayllu.hidden" / manifest_path(found.name).lower()


def folded(name: ModelName) -> str:
    """What names have in common that differ in case alone."""
    return full_name(name).lower()


class _Blob(Struct, frozen=True):
    digest: str
    annotations: dict[str, str] = {}


class _Manifest(Struct, frozen=True):
    config: _Blob
    layers: tuple[_Blob, ...] = ()


@lru_cache(maxsize=64)
def _titles(manifest: Path, _stamp: Stamp) -> Mapping[str, str]:
    """The file of each digest; none from a damaged manifest, which opening the model will tell."""
    try:
        found = msgspec.json.decode(manifest.read_bytes(), type=_Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    blobs = (found.config, *found.layers)
    return {blob.digest: blob.annotations[TITLE] for blob in blobs if TITLE in blob.annotations}
