"""How long listing 1,000 models takes: the first time, and again with nothing changed.

make bench SCRIPTS=bench/store_list.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ayllu.models.describe import tags_model
from ayllu.models.manifest import (
    CONFIG_TYPE,
    MODEL_TYPE,
    digest_of,
    encode_config,
    encode_manifest,
)
from ayllu.models.model import read_config
from ayllu.models.name import manifest_path, parse_name
from ayllu.models.store import Store
from ayllu.types import Layer, ModelConfig

MODELS = 1000


def make(store: Store) -> None:
    """A thousand small models, written without the syncing that the store does."""
    store.blobs.mkdir(parents=True)
    for number in range(MODELS):
        config = encode_config(ModelConfig(model_format="gguf", base_name=str(number)))
        layers = [
            write(store, config, CONFIG_TYPE),
            write(store, b"%d" % number, MODEL_TYPE),
        ]
        path = store.manifests / manifest_path(parse_name(f"user{number % 50}/model{number}"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_manifest(layers[0], (layers[1],)))


def write(store: Store, data: bytes, media_type: str) -> Layer:
    """A blob in its place."""
    layer = Layer(media_type, digest_of(data), len(data))
    store.blob_path(layer.digest).write_bytes(data)
    return layer


def milliseconds(act: Callable[[], object]) -> float:
    """How long something takes."""
    start = time.perf_counter()
    act()
    return (time.perf_counter() - start) * 1000


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        make(Store(Path(folder)))
        first = [milliseconds(Store(Path(folder)).models) for _ in range(5)]
        store = Store(Path(folder))
        assert len(store.models()) == MODELS  # noqa: S101 - a bench of nothing would look fast
        again = [milliseconds(store.models) for _ in range(9)]
        rows = [
            milliseconds(lambda: [tags_model(m, read_config(store, m)) for m in store.models()])
            for _ in range(5)
        ]
        print(f"{MODELS} models: first {statistics.median(first):.1f} ms")
        print(f"again {statistics.median(again):.1f} ms")
        print(f"rows of /api/tags, with every config read: {statistics.median(rows):.1f} ms")


if __name__ == "__main__":
    main()
