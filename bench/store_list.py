"""How long listing 1,000 models takes: the first time, and again with nothing changed.

The same for a folder of 1,000 GGUF files (AYLLU_EXTRA_MODELS), whose headers are read once, and for
the whole way of `/api/tags` and `/api/show`.

make bench SCRIPTS=bench/store_list.py
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gguf_maker import CHATML, make_successor_model
from serving import serving

from ayllu.models.describe import TagsModel, tags_model
from ayllu.models.gguf_shelf import GgufShelf
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


def rows(store: Store) -> list[TagsModel]:
    """The rows of /api/tags, with every config read."""
    return [tags_model(model, read_config(store, model)) for model in store.models()]


def measure_folder(root: Path) -> None:
    """A folder of GGUF files."""
    folder = root / "ggufs"
    gguf = make_successor_model(root / "m.gguf", chat_template=CHATML)
    for number in range(MODELS):
        place = folder / f"publisher{number % 50}" / f"repo{number}"
        place.mkdir(parents=True)
        os.link(gguf, place / f"model{number}-Q4_K_M.gguf")
    index = root / "index.json"
    first = milliseconds(lambda: rows(Store(root / "none", [GgufShelf(folder, index)])))
    store = Store(root / "none", [GgufShelf(folder, index)])
    started = milliseconds(lambda: rows(store))
    again = [milliseconds(lambda: rows(store)) for _ in range(5)]
    print(f"{MODELS} GGUF files in a folder: first {first:.0f} ms")
    print(f"after a start {started:.1f} ms, again {statistics.median(again):.1f} ms")


def measure_server(root: Path, models: Path) -> None:
    """The routes of a server that has the thousand models."""
    with serving(root / "home", AYLLU_MODELS=str(models)) as server:
        server.create("bench", make_successor_model(root / "b.gguf", chat_template=CHATML))
        lists = [milliseconds(lambda: server.get("/api/tags")) for _ in range(9)]
        shows = [
            milliseconds(lambda: server.post("/api/show", {"model": "bench"})) for _ in range(9)
        ]
    print(f"GET /api/tags: first {lists[0]:.0f} ms, again {statistics.median(lists):.0f} ms")
    print(f"POST /api/show: first {shows[0]:.1f} ms, again {statistics.median(shows):.1f} ms")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as other:
        measure_folder(Path(other))
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as home:
        make(Store(Path(folder)))
        first = [milliseconds(Store(Path(folder)).models) for _ in range(5)]
        store = Store(Path(folder))
        assert len(store.models()) == MODELS  # noqa: S101 - a bench of nothing would look fast
        again = [milliseconds(store.models) for _ in range(9)]
        listed = [milliseconds(lambda: rows(store)) for _ in range(5)]
        print(f"{MODELS} models: first {statistics.median(first):.1f} ms")
        print(f"again {statistics.median(again):.1f} ms")
        print(f"rows of /api/tags, with every config read: {statistics.median(listed):.1f} ms")
        measure_server(Path(home), Path(folder))


if __name__ == "__main__":
    main()
