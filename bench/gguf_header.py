"""How long reading a GGUF header takes: a vocabulary of 150,000 tokens and its 280,000 merges.

    make bench SCRIPTS=bench/gguf_header.py

Prints the median of 9 runs in one process, and the first, which compiles the reader's pattern.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from gguf_writer import Array, write_gguf

from ayllu.gguf import arch
from ayllu.gguf.read import read_header

TOKENS, MERGES, LAYERS = 150_000, 280_000, 64


def make(path: Path) -> Path:
    """A header as a large model has it, with next to no tensor data."""
    random.seed(7)
    words = ["x" * max(1, min(60, round(random.lognormvariate(1.8, 0.5)))) for _ in range(TOKENS)]
    kvs = {
        "general.architecture": "llama",
        "llama.block_count": LAYERS,
        "llama.context_length": 131072,
        "llama.embedding_length": 64,
        "llama.attention.head_count": 2,
        "tokenizer.ggml.tokens": words,
        "tokenizer.ggml.scores": [0.5] * TOKENS,
        "tokenizer.ggml.token_type": [1] * TOKENS,
        "tokenizer.ggml.merges": Array(
            8, [f"{a} {b}" for a, b in zip(words, words, strict=True)] * 2
        ),
    }
    tensors = {
        f"blk.{n}.t{m}.weight": np.zeros(1, np.float32) for n in range(LAYERS) for m in range(9)
    }
    return write_gguf(path, kvs, tensors)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder) / "x.gguf")
        times = []
        for _ in range(10):
            start = time.perf_counter()
            arch.check(read_header(path))
            times.append((time.perf_counter() - start) * 1000)
        print(f"header of {path.stat().st_size / 1e6:.1f} MB, {TOKENS} tokens, {2 * TOKENS} merges")
        print(f"first {times[0]:.1f} ms, then median {statistics.median(times[1:]):.1f} ms")


if __name__ == "__main__":
    main()
