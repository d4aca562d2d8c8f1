"""What a worker that has the model need not be sent, and what getting its cache ready takes.

    make bench SCRIPTS=bench/weights.py

A llama model of 6 layers in F32 (215 MB), the last 5 of them with one worker on loopback.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from measure import run, show
from rpc_workers import head, make_wide_model, part_of, rpc_worker, say

from ayllu.deploy.fnv import Fnv1a
from ayllu.deploy.tensors import STEP
from ayllu.deploy.weights import CACHE, Weights
from ayllu.deploy.worker_request import WorkerRequest
from ayllu.models.files import make_folder
from ayllu.models.manifest import MODEL_TYPE
from ayllu.models.store import Store
from ayllu.runner.options import Worker
from ayllu.system import usable_threads

LAYERS = 6
ROUNDS = 5
DATA = os.urandom(64 << 20)


def fnv() -> None:
    """Hash the data as tensors are."""
    growing, view = Fnv1a(), memoryview(DATA)
    for at in range(0, len(DATA), STEP):
        growing.update(view[at : at + STEP])


def hashing() -> None:
    """FNV-1a by a core's time and on several threads, beside SHA-256."""
    for name, work in (("FNV-1a", fnv), ("SHA-256", lambda: hashlib.sha256(DATA))):
        show(
            f"{name}, by a core's time",
            [rate(work, time.thread_time) for _ in range(ROUNDS)],
            "MB/s",
        )
    threads = usable_threads()
    with ThreadPoolExecutor(threads) as pool:

        def several() -> None:
            for done in [pool.submit(fnv) for _ in range(threads)]:
                done.result()

        rates = [threads * rate(several) for _ in range(ROUNDS)]
    show(f"FNV-1a, {threads} threads together", rates, "MB/s")


def rate(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """MB/s of some work on the data."""
    start = clock()
    work()
    return len(DATA) / (clock() - start) / 1e6


async def filling(store: Store, part: WorkerRequest, home: Path) -> None:
    """A cache is made: with keys to be worked out, by known keys, with files of another cache."""
    rates: dict[str, list[float]] = {}
    cache = home / "cache"
    for _ in range(ROUNDS):
        shutil.rmtree(home, ignore_errors=True)
        for what in ("keys and files", "files", "nothing"):
            weights = Weights(store, None, home)
            if what == "nothing":
                await fill(weights, part, cache)
            start, cpu = time.perf_counter(), time.process_time()
            size = await fill(weights, part, cache)
            for clock, seconds in (
                ("", time.perf_counter() - start),
                (", by the cores' time", time.process_time() - cpu),
            ):
                rates.setdefault(what + clock, []).append(size / seconds / 1e6)
            await weights.close()
    for what, found in rates.items():
        show(f"cache made ready, missing {what}", found, "MB/s")


async def fill(weights: Weights, part: WorkerRequest, folder: Path) -> int:
    """Make a cache; returns its bytes."""
    make_folder(folder)
    lines = [line async for line in weights.prepare(part, folder)]
    return lines[-1].completed


def crossing(model: Path, caches: dict[str, Path], slots: Path) -> None:
    """Bytes from a head to a worker with each of some caches, and seconds until the head is up."""
    texts = set()
    for what, cache in caches.items():
        times = []
        for _ in range(ROUNDS):
            with ExitStack() as stack:
                relay = stack.enter_context(rpc_worker(cache))
                start = time.perf_counter()
                worker = Worker(relay.endpoint, LAYERS - 1)
                url = stack.enter_context(head(model, slots, worker))
                times.append(time.perf_counter() - start)
                crossed = relay.sent
                texts.add(say(url))
            if what == "none":
                shutil.rmtree(cache / CACHE)
        print(f"{what}: {crossed / 1e6:.2f} MB cross until the head is up")
        show("  seconds until then", times, "s")
    print(f"{len(texts)} text(s)")


async def main() -> None:
    """Measure and print."""
    hashing()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = make_wide_model(folder / "wide.gguf", LAYERS)
        store = Store(folder / "models")
        layer = store.add_file(path, MODEL_TYPE)
        part = part_of(layer, 1, LAYERS - 1)
        print(f"a model of {layer.size / 1e6:.0f} MB, {part.layers} of {LAYERS} layers elsewhere")
        await filling(store, part, folder / "home")
        caches = {name: folder / name for name in ("none", "prepared")}
        caches["none"].mkdir()
        weights = Weights(store, None, folder / "home")
        await fill(weights, part, caches["prepared"])
        await asyncio.to_thread(crossing, path, caches, folder)
        await weights.close()


if __name__ == "__main__":
    run(main)
