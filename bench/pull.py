"""How fast a model comes from a registry on this machine, sha256 checked, and the server's memory.

Also how fast the disk takes as many bytes from one that does nothing else; TMPDIR chooses the disk.

make bench SCRIPTS=bench/pull.py
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path

import psutil
from gguf_maker import make_successor_model
from registries import Registry, docker_registry
from serving import Serving, serving

from ayllu.models.manifest import LICENSE_TYPE, MODEL_TYPE

SIZE = 1 << 30
TURNS = 3


class Memory(threading.Thread):
    """Watches a process; `peak` is its greatest resident size in bytes."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self.peak = 0
        self.running = True

    def run(self) -> None:
        """Look every 10 ms."""
        while self.running:
            self.peak = max(self.peak, self._process.memory_info().rss)
            time.sleep(0.01)


def write(path: Path) -> float:
    """Megabytes per second of writing and syncing a file."""
    data = os.urandom(1 << 20)
    started = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(SIZE >> 20):
            file.write(data)
        os.fsync(file.fileno())
    seconds = time.perf_counter() - started
    path.unlink()
    return SIZE / seconds / 1e6


def turn(server: Serving, name: str) -> float:
    """Megabytes per second of one pull."""
    started = time.perf_counter()
    answer = server.post("/api/pull", {"model": name, "insecure": True}, timeout=600)
    seconds = time.perf_counter() - started
    assert answer.lines[-1] == {"status": "success"}, answer.lines[-1]  # noqa: S101 - a measure
    return SIZE / seconds / 1e6


def measure(registry: Registry, home: Path) -> None:
    """Pull into an empty store a few times."""
    name = f"{registry.host}/bench/model"
    with serving(home, AYLLU_REGISTRIES="127.0.0.0/8", AYLLU_NO_PRUNE="1") as server:
        idle = psutil.Process(server.process.pid).memory_info().rss
        memory = Memory(server.process.pid)
        memory.start()
        rates = []
        for _ in range(TURNS):
            rates.append(turn(server, name))
            shutil.rmtree(home / "models")
        memory.running = False
        memory.join()
    print(f"{SIZE >> 20} MiB, {TURNS} turns: median {statistics.median(rates):.0f} MB/s", end=" ")
    print(f"({min(rates):.0f} to {max(rates):.0f})")
    print(f"the disk alone: {write(home / 'file'):.0f} MB/s")
    print(f"RSS of the server: {idle / 1e6:.0f} MB idle, {memory.peak / 1e6:.0f} MB at its peak")


def main() -> None:
    """Fill a registry and measure."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with docker_registry(place / "registry") as registry:
            gguf = make_successor_model(place / "model.gguf").read_bytes()
            registry.put_model(
                "bench/model", [(MODEL_TYPE, gguf), (LICENSE_TYPE, os.urandom(SIZE))]
            )
            measure(registry, place / "home")


if __name__ == "__main__":
    main()
