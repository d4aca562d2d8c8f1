"""How fast a server gives away a model's blob: to one client, to four parts at once, and its RSS.

Beside it the same file copied by curl from disk. make bench SCRIPTS=bench/serve_registry.py
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
from serving import Serving, serving

from ayllu.models.manifest import CONFIG_TYPE, MODEL_TYPE, encode_manifest
from ayllu.models.name import parse_name
from ayllu.models.store import Store

SIZE = 512 << 20
ROUNDS = 5


def put_model(root: Path) -> str:
    """A model `me/big` of random bytes; returns its blob's path at the registry."""
    store, source = Store(root), root / "source"
    hashed = hashlib.sha256()
    root.mkdir(parents=True)
    with source.open("wb") as file:
        for _ in range(SIZE >> 20):
            piece = os.urandom(1 << 20)
            hashed.update(piece)
            file.write(piece)
    layer = store.add_file(source, MODEL_TYPE)
    source.unlink()
    config = store.write_blob(b"{}", CONFIG_TYPE)
    store.write_manifest(parse_name("me/big"), encode_manifest(config, (layer,)))
    return f"/v2/me/big/blobs/{layer.digest}"


def fetch(url: str, parts: int) -> float:
    """MB/s of curl, with as many at once as there are parts."""
    step = SIZE // parts
    begun = time.perf_counter()
    running = [
        subprocess.Popen(
            [
                *("curl", "-sSf", "--noproxy", "*", "-o", "/dev/null"),
                *("--range", f"{part * step}-{(part + 1) * step - 1}", url),
            ]
        )
        for part in range(parts)
    ]
    assert all(process.wait() == 0 for process in running)  # noqa: S101 - a failure looks fast
    return SIZE / 1e6 / (time.perf_counter() - begun)


def measure(server: Serving, path: str) -> None:
    """Print medians."""
    process = psutil.Process(server.process.pid)
    for parts in (1, 4):
        speeds = [fetch(server.url + path, parts) for _ in range(ROUNDS)]
        print(f"{parts} at once: {statistics.median(speeds):.0f} MB/s")
    print(f"RSS after it: {process.memory_info().rss / (1 << 20):.0f} MiB")


def main() -> None:
    """Serve a model and fetch it again and again."""
    with tempfile.TemporaryDirectory() as folder:
        path = put_model(Path(folder) / "models")
        blob = Path(folder) / "models/blobs" / path.rpartition("/")[2].replace(":", "-")
        disk = statistics.median(fetch(blob.as_uri(), 1) for _ in range(3))
        print(f"curl from disk: {disk:.0f} MB/s")
        with serving(Path(folder), AYLLU_SERVE_REGISTRY="on") as server:
            measure(server, path)


if __name__ == "__main__":
    main()
