"""What measuring a machine costs, how far its figures scatter, and what other methods say.

make bench SCRIPTS=bench/machine.py
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from ayllus import Ayllu
from measure import run, show

from ayllu.cluster import measure_child
from ayllu.cluster.links import burst_rate, percentile, round_trips, serve_links
from ayllu.cluster.own import OwnRecord, Parts
from ayllu.config import load_settings
from ayllu.models.shelf import PackagedShelf
from ayllu.models.store import Store
from ayllu.runner.engine import find_engine, list_devices
from ayllu.runner.pool import Pool
from ayllu.system import largest_cache, memory, usable_cpus, usable_threads

ROUNDS = 5
IDLE_SECONDS = 30.0
MIB = 1 << 20
SAMPLE = 0.2


async def main() -> None:
    """Measure this machine in several ways."""
    with tempfile.TemporaryDirectory() as folder:
        print(f"measuring, {usable_threads()} threads, {largest_cache() / MIB:.0f} MiB of cache")
        children(Path(folder), ROUNDS)
        print("\nmeasuring on one processor (as with taskset)")
        only = {min(usable_cpus())}
        children(Path(folder), 1, lambda: os.sched_setaffinity(0, only), threads=1)
        print("\nmeasuring with half a processor's time (a quota of a cgroup)")
        with_quota(Path(folder))
        print("\nother methods")
        other_reads()
        other_disk(Path(folder))
        print(f"\nkeeping the record for {IDLE_SECONDS:.0f} s")
        await keeping(Path(folder))
        print("\na link on loopback, both ends in this process")
        await linked(Path(folder))


def children(
    folder: Path,
    rounds: int,
    limit: Callable[[], object] | None = None,
    *,
    threads: int | None = None,
    sample: float = SAMPLE,
) -> None:
    """Run the child that measures, and print what it says and takes."""
    seen: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, value in one_child(folder, limit, threads or usable_threads(), sample).items():
            seen.setdefault(name, []).append(value)
    for name, values in seen.items():
        label, _, unit = name.partition(", ")
        show(label, values, unit)


def one_child(
    folder: Path, limit: Callable[[], object] | None, threads: int, sample: float
) -> dict[str, float]:
    """Run it once, limited by what it calls first; figures by their names and units."""
    room = memory().available // 4
    arguments = [threads, largest_cache(), room, sample, folder]
    command = [sys.executable, "-P", measure_child.__file__, *map(str, arguments)]
    started = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, preexec_fn=limit)  # noqa: PLW1509 - no thread runs
        _, process.returncode, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        output.seek(0)
        found = re.search(rb"@speed (\S+) (\S+) (\S+) (\S+)", output.read())
    if found is None:
        raise RuntimeError("the child said nothing")
    tflops, memory_gbs, disk_mbs, ran = map(float, found.groups())
    return {
        "FP32 matrix product, TFLOPS": tflops,
        "reads from memory, GB/s": memory_gbs,
        "reads from disk, MB/s": disk_mbs,
        "share of its time that it ran, ": ran,
        "time, s": wall,
        "processor time, s": usage.ru_utime + usage.ru_stime,
        "memory, MiB": usage.ru_maxrss / 1024,
    }


def with_quota(folder: Path) -> None:
    """The same under a CPU quota, where this user may make a cgroup."""
    version_1, version_2 = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
    group = (version_1 if version_1.is_dir() else version_2) / f"ayllu-bench-{os.getpid()}"
    try:
        group.mkdir()
        if version_1.is_dir():
            (group / "cpu.cfs_quota_us").write_text("50000")
        else:
            (group / "cpu.max").write_text("50000 100000")

        def enter() -> None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

        children(folder, 1, enter, threads=1, sample=0.4)
    except OSError as error:
        print(f"not possible here: {error}")
    finally:
        with suppress(OSError):
            group.rmdir()


def other_reads() -> None:
    """Other ways to read and copy memory, and buffers of other sizes."""
    cache, threads = largest_cache(), usable_threads()
    size = max(4 * cache, 256 * MIB)
    libc = ctypes.CDLL(None)
    libc.memchr.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    source, target = (np.empty(size // 8, np.int64) for _ in range(2))
    pairs = list(zip(np.array_split(source, threads), np.array_split(target, threads), strict=True))
    ways: dict[str, tuple[int, Callable[[Any, Any], object]]] = {
        "reads: NumPy's maximum, as measured": (1, lambda a, _: a.max()),
        "reads: memchr of the C library": (1, lambda a, _: libc.memchr(a.ctypes.data, 7, a.nbytes)),
        "reads: NumPy's sum": (1, lambda a, _: a.sum()),
        "reads and writes: NumPy's copy": (2, lambda a, b: np.copyto(b, a)),
        "reads and writes: memmove": (
            2,
            lambda a, b: ctypes.memmove(b.ctypes.data, a.ctypes.data, a.nbytes),
        ),
    }
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda pair: (pair[0].fill(1), pair[1].fill(1)), pairs))
        for name, (times, way) in ways.items():

            def step(times: int = times, way: Callable[[Any, Any], object] = way) -> float:
                list(pool.map(lambda pair: way(*pair), pairs))
                return float(times * size)

            values = [measure_child.best_rate(step, 0.3, 0.2).rate / 1e9 for _ in range(ROUNDS)]
            show(name, values, "GB/s")
        for share in (0.05, 0.25, 1.0, 2.0, 4.0):
            parts = [part[: int(share * size / 4 / 8 / threads)] for part, _ in pairs]
            rate = measure_child.best_rate(
                lambda parts=parts: (  # type: ignore[misc]
                    list(pool.map(lambda part: part.max(), parts)),
                    float(sum(part.nbytes for part in parts)),
                )[1],
                0.3,
                0.2,
            ).rate
            print(f"{f'a buffer of {share:g} times the cache':<44}{rate / 1e9:10.2f} GB/s")


def other_disk(folder: Path) -> None:
    """Reads around the page cache."""
    size, rates = 64 * MIB, []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(os.urandom(size))
        file.flush()
        os.fsync(file.fileno())
        buffer = np.empty(4 * MIB + 4096, np.uint8)
        start = -buffer.ctypes.data % 4096
        page = memoryview(buffer)[start : start + 4 * MIB]  # type: ignore[arg-type]
        try:
            direct = os.open(file.name, os.O_RDONLY | os.O_DIRECT)
        except OSError as error:
            print(f"O_DIRECT is not possible here: {error}")
            return
        for _ in range(ROUNDS):
            started = time.perf_counter()
            os.lseek(direct, 0, os.SEEK_SET)
            while os.readv(direct, [page]):
                pass
            rates.append(size / (time.perf_counter() - started) / 1e6)
        os.close(direct)
    show("disk: O_DIRECT", rates, "MB/s")


async def keeping(folder: Path) -> None:
    """What keeping a machine's own record costs while nothing happens."""
    settings = load_settings({"AYLLU_HOME": str(folder)})
    engine = find_engine(settings)
    store = Store(settings.models, [PackagedShelf()])
    pool = Pool(settings, engine)
    own = OwnRecord(Parts(settings, engine, list_devices(engine), store, pool))
    own.subscribe(lambda: None)
    process = psutil.Process()
    await asyncio.sleep(2)
    before, counter = process.cpu_times(), own.record.counter
    await asyncio.sleep(IDLE_SECONDS)
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    changes = own.record.counter - counter
    await own.close()
    await pool.close()
    print(f"{spent / IDLE_SECONDS:.2%} of a core, {changes} changes worth telling")
    print(f"{statistics.mean([time_of(own) for _ in range(100)]):.2f} ms to read the load")


async def linked(folder: Path) -> None:
    """What a link is measured as where no network is between."""
    ayllu = Ayllu(folder / "homes")
    try:
        desk, attic = ayllu.member("desk"), ayllu.member("attic")
        control, far_control, bulk, far_bulk = [
            await ayllu.open(ayllu.config(one)) for one in (desk, attic, desk, attic)
        ]
        serve_links(far_control, far_bulk, attic.node)
        await round_trips(control, attic.node)
        times = [await round_trips(control, attic.node) for _ in range(ROUNDS)]
        show("round trips, p50", [percentile(ones, 0.5) for ones in times], "ms")
        show("round trips, p95", [percentile(ones, 0.95) for ones in times], "ms")
        rates = [await burst_rate(bulk, attic.node) for _ in range(ROUNDS)]
        show("bursts of 8 MiB", rates, "MB/s")
    finally:
        await ayllu.close()


def time_of(own: OwnRecord) -> float:
    """Milliseconds that one look at the load takes."""
    started = time.perf_counter()
    own._load()  # noqa: SLF001 - what the record asks each second
    return (time.perf_counter() - started) * 1e3


if __name__ == "__main__":
    run(main)
