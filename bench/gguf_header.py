"""How long reading a GGUF header takes, of 10 MB and of 100 MB, walked and from what was kept.

    make bench SCRIPTS=bench/gguf_header.py

The vocabulary has 150,000 tokens and 280,000 merges, or ten times as many. "Walked" is the median
of some runs in one process; "kept" is the first look in a new process at a file that was read once.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from gguf_writer import Array, write_gguf

from ayllu.gguf import arch
from ayllu.gguf.cache import cached_fill_tokens, cached_header, keep_in
from ayllu.gguf.read import read_header

TOKENS, LAYERS, RUNS = 150_000, 64, 5

NEW_PROCESS = """
import sys, time
from pathlib import Path
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_fill_tokens, cached_header, keep_in
keep_in(Path(sys.argv[1]))
start = time.perf_counter()
arch.check(cached_header(Path(sys.argv[2])))
cached_fill_tokens(Path(sys.argv[2]))
print((time.perf_counter() - start) * 1000)
"""


def make(path: Path, times: int) -> Path:
    """A header as a large model has it, with next to no tensor data."""
    random.seed(7)
    words = ["x" * max(1, min(60, round(random.lognormvariate(1.8, 0.5)))) for _ in range(TOKENS)]
    merges = [f"{a} {b}" for a, b in zip(words, words, strict=True)] * 2
    kvs = {
        "general.architecture": "llama",
        "llama.block_count": LAYERS,
        "llama.context_length": 131072,
        "llama.embedding_length": 64,
        "llama.attention.head_count": 2,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": words * times,
        "tokenizer.ggml.scores": [0.5] * TOKENS * times,
        "tokenizer.ggml.token_type": Array(5, [1] * TOKENS * times),
        "tokenizer.ggml.merges": Array(8, merges * times),
    }
    tensors = {
        f"blk.{n}.t{m}.weight": np.zeros(1, np.float32) for n in range(LAYERS) for m in range(9)
    }
    return write_gguf(path, kvs, tensors)


def milliseconds(path: Path) -> float:
    """A walk through the whole header."""
    start = time.perf_counter()
    arch.check(read_header(path))
    return (time.perf_counter() - start) * 1000


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        keep_in(Path(folder) / "headers")
        for times in (1, 10):
            path = make(Path(folder) / f"{times}.gguf", times)
            walked = [milliseconds(path) for _ in range(RUNS)]
            cached_header(path)
            cached_fill_tokens(path)
            command = [sys.executable, "-c", NEW_PROCESS, f"{folder}/headers", str(path)]
            kept = [float(subprocess.check_output(command)) for _ in range(RUNS)]
            print(f"header of {path.stat().st_size / 1e6:.1f} MB, {TOKENS * times:,} tokens")
            print(f"walked in {statistics.median(walked):.1f} ms (first {walked[0]:.1f})")
            print(f"kept: {statistics.median(kept):.1f} ms in a new process")


if __name__ == "__main__":
    main()
