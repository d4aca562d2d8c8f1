"""Models that the store offers without having them: they are read where they lie, never written.

A shelf says where manifests and blobs lie. What a user deletes from a shelf is only marked, in the
store's own folder: an empty file below `.ayllu.hidden`, which Ollama does not look at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from ayllu.gguf.cache import Stamp, stamp
from ayllu.models.files import make_folder, sync_folder, using
from ayllu.models.name import full_name, manifest_path, parse_name
from ayllu.types import ModelName

ASSETS = Path(__file__).parent.parent / "assets"
MANIFEST_ENDING = ".manifest.json"
TITLE = "org.opencontainers.image.title"
"""The annotation that names a blob's file (OCI image spec, annotations.md)."""


class Shelf(Protocol):
    """A place with models that we only read."""

    def manifests(self) -> Mapping[ModelName, Path]:
        """Where each model's manifest lies."""

    def blob(self, digest: str) -> Path | None:
        """Where the file of a digest, `sha256:<64 hex>`, lies; None when it is not here."""


class PackagedShelf:
    """The models that ship inside the package: GGUF files beside a `NAME.manifest.json` each.

    The manifests say which file has which digest, so nothing is hashed. They are read again when
    they change, as an upgrade does below a running server. `tools/mini/package.py` writes them.
    """

    def __init__(self, folder: Path = ASSETS) -> None:
        self._folder = folder

    def manifests(self) -> Mapping[ModelName, Path]:
        """Where each model's manifest lies."""
        return self._manifests

    def blob(self, digest: str) -> Path | None:
        """Where the file of a digest lies."""
        for manifest in self._manifests.values():
            with suppress(FileNotFoundError):
                title = _titles(manifest, stamp(manifest)).get(digest)
                if title and (self._folder / title).is_file():
                    return self._folder / title
        return None

    @cached_property
    def _manifests(self) -> Mapping[ModelName, Path]:
        paths = sorted(self._folder.glob(f"*{MANIFEST_ENDING}"))
        return {parse_name(path.name.removesuffix(MANIFEST_ENDING)): path for path in paths}


class Shelved(Struct, frozen=True):
    """A model on a shelf: its name as the shelf spells it, and its manifest's path."""

    name: ModelName
    path: Path


class Shelves:
    """The shelves of one store, less what its user has hidden. The first one with a name wins."""

    def __init__(self, root: Path, shelves: Sequence[Shelf]) -> None:
        self._root = root
        self._shelves = shelves

    def names(self) -> tuple[ModelName, ...]:
        """The names of all models that are not hidden."""
        return tuple(found.name for found in self._all().values() if not self._is_hidden(found))

    def find(self, name: ModelName, *, hidden: bool = False) -> Shelved | None:
        """The model of that name in any case; one that was hidden only where that is asked for."""
        found = self._all().get(folded(name))
        return found if found and (hidden or not self._is_hidden(found)) else None

    def blob(self, digest: str) -> Path | None:
        """Where the file of a digest lies; None when no shelf has it."""
        found = (shelf.blob(digest) for shelf in self._shelves)
        return next((path for path in found if path), None)

    def hide(self, name: ModelName) -> None:
        """Let a model be seen no more. For good: it stays so after a power cut."""
        if found := self.find(name):
            with using(self._root):
                mark = self._mark(found)
                make_folder(mark.parent)
                mark.touch()
                sync_folder(mark.parent)

    def show(self, name: ModelName) -> None:
        """Let a model be seen again."""
        found = self.find(name, hidden=True)
        if found and self._is_hidden(found):
            with using(self._root):
                mark = self._mark(found)
                mark.unlink(missing_ok=True)
                sync_folder(mark.parent)

    def _all(self) -> dict[str, Shelved]:
        found: dict[str, Shelved] = {}
        for shelf in self._shelves:
            for name, path in shelf.manifests().items():
                found.setdefault(folded(name), Shelved(name, path))
        return found

    def _is_hidden(self, found: Shelved) -> bool:
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
