"""Manifests as they lie in files: read once, and again only where the file has changed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from msgspec import Struct

from ayllu.models.files import using
from ayllu.models.manifest import MAX_MANIFEST_BYTES, ManifestError, digest_of, parse_manifest
from ayllu.types import Manifest, ModelName


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

    @property
    def digests(self) -> tuple[str, ...]:
        """The digests of all layers and the config."""
        return tuple(layer.digest for layer in (*self.manifest.layers, self.manifest.config))


class Damaged(Struct, frozen=True):
    """A manifest that cannot be used, and why."""

    name: ModelName
    reason: str


class ManifestReader:
    """Reads manifests and keeps the sound ones. `root` is what errors of the disk speak of."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: dict[str, tuple[tuple[int, int, int], StoredManifest]] = {}

    def read(self, name: ModelName, path: str) -> StoredManifest | Damaged | None:
        """The manifest in a file, as the model `name`; None where there is none."""
        with using(self._root):
            try:
                facts = os.stat(path)  # noqa: PTH116 - a thousand Paths take longer than the disk
                stamp = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
                seen = self._seen.get(path)  # in one step: other threads read, and trim
                if seen and seen[0] == stamp:
                    return seen[1]
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

    def trim(self, count: int) -> None:
        """Forget all where much more is kept than the `count` models that there are."""
        if len(self._seen) > 2 * count + 64:
            self._seen.clear()
