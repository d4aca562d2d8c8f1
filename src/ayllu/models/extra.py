"""The folders of AYLLU_EXTRA_MODELS: Ollama's stores, LM Studio's models, GGUF files of any order.

They are read where they lie and never written, and may come and go as disks do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ayllu.config import Settings
from ayllu.errors import StoreError
from ayllu.models.folders import names_in, spelled
from ayllu.models.gguf_shelf import GgufShelf, index_name
from ayllu.models.manifest import parse_digest
from ayllu.models.name import manifest_path, short_name
from ayllu.models.stored import Damaged, ManifestReader, StoredManifest
from ayllu.types import ModelName


class OllamaShelf:
    """A models folder in Ollama's layout that is not ours."""

    def __init__(self, folder: Path) -> None:
        self.folder: Path | None = folder
        self.problems: tuple[str, ...] = ()
        self._manifests = folder / "manifests"
        self._blobs = folder / "blobs"
        self._reader = ManifestReader(folder)

    def names(self) -> Collection[ModelName]:
        """The models that are there now."""
        try:
            names = tuple(names_in(self._manifests))
        except OSError as error:
            self.problems = (f"{self._manifests} cannot be read: {error.strerror}",)
            return ()
        self.problems = ()
        return names

    def find(self, name: ModelName) -> ModelName | None:
        """The name as the store spells it."""
        with suppress(OSError):
            parts = (name.host, name.namespace, name.model, name.tag)
            own = ModelName(*spelled(self._manifests, parts))
            if (self._manifests / manifest_path(own)).is_file():
                return own
        return None

    def read(self, name: ModelName) -> StoredManifest | Damaged | None:
        """The manifest of a model."""
        try:
            return self._reader.read(name, f"{self._manifests}/{manifest_path(name)}")
        except StoreError as error:
            return Damaged(name, error.sentence)

    def manifest_bytes(self, name: ModelName) -> bytes:
        """The same as its bytes."""
        return (self._manifests / manifest_path(name)).read_bytes()

    def blob(self, digest: str) -> Path | None:
        """Where the file of a digest lies; old stores have a colon in its name."""
        named = parse_digest(digest)
        with suppress(OSError):
            paths = (self._blobs / named.replace(":", "-"), self._blobs / named)
            return next((path for path in paths if path.is_file()), None)
        return None

    def text(self, digest: str) -> bytes | None:  # noqa: ARG002 - all blobs are files
        """None: all blobs are files."""
        return None

    def is_hashed(self, digest: str) -> bool:  # noqa: ARG002 - Ollama hashed them
        """All digests are those of the files."""
        return True


def extra_shelves(settings: Settings) -> list[OllamaShelf | GgufShelf]:
    """The shelves of the folders that the settings name. Each finds only models of its own kind."""
    shelves: list[OllamaShelf | GgufShelf] = []
    for folder in settings.extra_models:
        index = settings.home / "extra" / index_name(folder)
        shelves += [OllamaShelf(folder), GgufShelf(folder, index)]
    return shelves


def extra_report(settings: Settings) -> Iterator[tuple[str, Sequence[str]]]:
    """What each folder has in a few words, and what of it cannot be used, in a sentence each.

    Reads the headers of files that are new: not for the event loop.
    """
    shelves = extra_shelves(settings)
    for folder in settings.extra_models:
        here = [shelf for shelf in shelves if shelf.folder == folder]
        items = [shelf.read(name) for shelf in here for name in shelf.names()]
        wrong = [problem for shelf in here for problem in shelf.problems]
        wrong += [
            f"{short_name(item.name)} in {folder} cannot be used: {item.reason}"
            for item in items
            if isinstance(item, Damaged)
        ]
        usable = sum(isinstance(item, StoredManifest) for item in items)
        yield f"{usable} {'model' if usable == 1 else 'models'} in {folder}", wrong
