"""How fast a model goes to Debian's docker-registry, hashed on the way, and the server's memory.

make bench SCRIPTS=bench/push.py
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

import psutil
from registries import docker_registry
from serve_registry import SIZE, put_model
from serving import serving


def main() -> None:
    """Push a model of one large file, and push it again."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        put_model(root / "models")
        with (
            docker_registry(root / "registry") as registry,
            serving(
                root / "home", AYLLU_MODELS=str(root / "models"), AYLLU_REGISTRIES="127.0.0.1"
            ) as server,
        ):
            name = f"{registry.host}/me/big"
            server.post("/api/copy", {"source": "me/big", "destination": name})
            process, most, done = psutil.Process(server.process.pid), [0], threading.Event()

            def watch() -> None:
                while not done.wait(0.05):
                    most[0] = max(most[0], process.memory_info().rss)

            watcher = threading.Thread(target=watch)
            watcher.start()
            for what in ("new", "there already"):
                begun = time.perf_counter()
                answer = server.post(
                    "/api/push", {"model": name, "insecure": True, "stream": False}, timeout=600
                )
                assert answer.json == {"status": "success"}, answer.body  # noqa: S101 - a failure looks fast
                seconds = time.perf_counter() - begun
                print(f"{what}: {seconds:.2f} s, {SIZE / 1e6 / seconds:.0f} MB/s")
            done.set()
            watcher.join()
            print(f"most RSS: {most[0] / (1 << 20):.0f} MiB")


if __name__ == "__main__":
    main()
