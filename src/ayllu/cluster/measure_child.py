"""A program: measures this machine and prints `@speed TFLOPS GB/s MB/s SHARE`, in three seconds.

Called with the threads to use, the bytes of the last-level cache and of memory that may be taken,
the seconds of a sample, and the folder of the models. It imports nothing of ours, for it must start
soon, and runs as a process of its own, for NumPy takes memory that the server does not need.

What is measured, and how far it can be trusted:

- TFLOPS: 1e12 operations a second of an FP32 matrix product by NumPy's BLAS (OpenBLAS; Accelerate
  on a Mac), of a size that takes about 50 ms, 2n^3 operations each. This is the CPU alone: NumPy
  knows no GPU, the engine's kernels for quantized weights are others, and the OpenBLAS of NumPy's
  wheels runs 64 threads at most.
- GB/s: 1e9 bytes read a second, by every thread over a slice of its own of a buffer that is four
  times the last-level cache, so that no pass finds what the pass before it left there. The pages
  are written to before (untouched ones are all the same page of zeros, in the cache). The
  reduction is the maximum of whole numbers, which takes less time than the memory; the C library's
  `memchr` reads at the same rate (`bench/machine.py` compares). Without room for twice the cache
  it is 0: not measured.
- MB/s: 1e6 bytes a second of a file that was just written, synced and dropped from the page cache;
  0 where the system has no way to drop it. The host of a virtual machine may still remember it.

Of several samples the best counts, for neighbours only ever make one slower; under a CPU quota
there is one long sample, for short ones may fall between two of its pauses. SHARE is how much of
its threads' time the best samples ran, the lesser of the first two: on a machine that has other
things to do it is well below 1, and the figures say little.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

MATMUL_SECONDS = 0.5
READ_SECONDS = 0.3
DISK_SECONDS = 0.2
THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""What tells a BLAS how many threads to use; NumPy's reads it when NumPy is imported."""

_PRODUCT_SECONDS = 0.05
_SMALLEST_BUFFER = 256 << 20
_PIECE = 4 << 20
_LARGEST_FILE = 64 << 20
_PREFIX = "ayllu-measure-"


class Sample(NamedTuple):
    """A rate, and how many threads ran for it on average: their processor time by the time."""

    rate: float
    ran: float


def main(*arguments: str) -> None:
    """Measure, and say it."""
    threads, cache, room = map(int, arguments[:3])
    sample, folder = float(arguments[3]), Path(arguments[4])
    if sys.platform != "win32":
        os.nice(10)
    os.environ |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    product = matmul_rate(room, sample)
    reads = read_rate(threads, cache, room, sample)
    ran = min(product.ran, reads.ran or product.ran) / threads
    figures = (product.rate / 1e12, reads.rate / 1e9, disk_rate(folder) / 1e6, min(ran, 1.0))
    sys.stdout.write("\n@speed " + " ".join(f"{figure:.6g}" for figure in figures) + "\n")


def matmul_rate(room: int, sample: float) -> Sample:
    """Floating-point operations a second."""
    import numpy as np

    def product(size: int) -> Callable[[], float]:
        left = np.full((size, size), 1.5, np.float32)
        right, result = left.copy(), np.zeros_like(left)

        def step() -> float:
            np.matmul(left, right, out=result)
            return 2.0 * size**3

        step()  # the pages and the threads are made
        return step

    size = 512
    rough = best_rate(product(size), 0.0, 0.01).rate
    while size < 4096 and 2 * (2 * size) ** 3 < rough * _PRODUCT_SECONDS * 2:
        if 3 * 4 * (2 * size) ** 2 > room:
            break
        size *= 2
    return best_rate(product(size), MATMUL_SECONDS, sample)


def read_rate(threads: int, cache: int, room: int, sample: float) -> Sample:
    """Bytes a second that all threads together read from memory; zeros where there is no room."""
    import numpy as np

    size = min(max(4 * cache, _SMALLEST_BUFFER), room)
    if size < 2 * cache or size < threads * _PIECE:
        return Sample(0.0, 0.0)
    slices = np.array_split(np.empty(size // 8, np.int64), threads)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: part.fill(1), slices))

        def step() -> float:
            assert list(pool.map(lambda part: int(part.max()), slices)) == [1] * threads  # noqa: S101 - it was read
            return float(sum(part.nbytes for part in slices))

        return best_rate(step, READ_SECONDS, sample)


def disk_rate(folder: Path) -> float:
    """Bytes a second that a file's reading gives; 0 where it cannot be told."""
    if not hasattr(os, "posix_fadvise"):
        return 0.0
    try:
        with tempfile.TemporaryFile(prefix=_PREFIX, dir=folder, buffering=0) as file:
            return _file_rate(file.fileno())
    except OSError:  # full, or not to be written
        return 0.0


def _file_rate(file: int) -> float:
    data = os.urandom(_PIECE)
    size, end = 0, time.perf_counter() + DISK_SECONDS
    while size < _LARGEST_FILE and time.perf_counter() < end:
        size += os.write(file, data)
        os.fsync(file)  # piece by piece: a slow disk must not be given more than it takes in time
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.lseek(file, 0, os.SEEK_SET)
    buffer = bytearray(_PIECE)
    done, started = 0, time.perf_counter()
    while done < size and (count := os.readv(file, [buffer])):
        done += count
        if time.perf_counter() - started > DISK_SECONDS:
            break
    return done / (time.perf_counter() - started)


def best_rate(step: Callable[[], float], seconds: float, sample: float) -> Sample:
    """The best of samples, each of steps that give what they did, over some seconds."""
    best, end = Sample(0.0, 0.0), time.perf_counter() + seconds
    while True:
        done, spent = 0.0, 0.0
        started, ran = time.perf_counter(), time.process_time()
        while spent < sample:
            done += step()
            spent = time.perf_counter() - started
        best = max(best, Sample(done / spent, (time.process_time() - ran) / spent))
        if time.perf_counter() >= end:
            return best


if __name__ == "__main__":
    main(*sys.argv[1:])
