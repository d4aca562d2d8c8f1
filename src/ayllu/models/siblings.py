"""The adapters that the store's other models have for the same weights: an engine loads them too.

One that the engine would refuse must not keep the others from being loaded, so it is left out.
"""

from __future__ import annotations

from pathlib import Path

from ayllu.errors import GGUFError
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.gguf.lora import misfit
from ayllu.models.manifest import ADAPTER_TYPE, MODEL_TYPE
from ayllu.models.model import Model
from ayllu.models.store import Store, StoredManifest

LEAST_ROOM = 256 << 20
"""Bytes that adapters nobody asked for may take, however small the model is."""

SHARE = 0.25
"""What they may take of the size of a large model's weights."""


def sibling_adapters(store: Store, model: Model) -> tuple[Path, ...]:
    """The adapters of all models with this one's weights, those of the newest model first.

    As many as there is room for. Reads manifests and headers of GGUF files.
    """
    if model.blob is None:
        return ()
    room = max(SHARE * model.path.stat().st_size, LEAST_ROOM)
    found: dict[Path, None] = {}
    for stored in store.models():
        if model.blob.digest in _digests(stored, MODEL_TYPE):
            for digest in _digests(stored, ADAPTER_TYPE):
                path = store.blob_path(digest)
                if path in found or not (size := _size(path, model)):
                    continue
                room -= size
                if room < 0:
                    return tuple(found)
                found[path] = None
    return tuple(found)


def _digests(stored: StoredManifest, media_type: str) -> list[str]:
    return [layer.digest for layer in stored.manifest.layers if layer.media_type == media_type]


def _size(path: Path, model: Model) -> int:
    """The bytes of an adapter's file; 0 where it is gone, or not one for this model."""
    if not path.is_file():  # a header may be known for longer
        return 0
    try:
        header = cached_header(path)
        arch.check(header)
        return 0 if misfit(header, cached_header(model.path)) else header.file_size
    except (GGUFError, OSError):
        return 0
