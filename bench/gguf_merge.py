"""How fast the parts of a model become one file, beside llama-gguf-split, and an odd model's copy.

    make bench SCRIPTS=bench/gguf_merge.py

A file of 1 GB in 4 parts. "Merged" is what `create` writes, without the digest that it takes
besides; the copy is that of a gemma3 of Ollama's with its vision tower within.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
from gguf_writer import write_gguf

from ayllu.gguf.compat import correction
from ayllu.gguf.read import read_header
from ayllu.gguf.split import merge
from ayllu.gguf.write import write_gguf as write_copy
from ayllu.runner.engine import built_folder

TENSORS, ROWS, WIDTH = 32, 4096, 2048


def make(path: Path) -> Path:
    """A gigabyte of tensors, under the name of a model with eyes."""
    random = np.random.default_rng(7)
    row = random.random((ROWS, WIDTH), np.float32)
    tensors = {f"blk.{n}.ffn_up.weight": row for n in range(TENSORS)}
    kvs = {"general.architecture": "gemma3", "gemma3.block_count": TENSORS}
    return write_gguf(path, kvs, tensors | {"v.x": row[:1]})


def timed(steps: AsyncGenerator[int]) -> float:
    """Seconds until the end, the disk included."""

    async def run() -> None:
        async for _ in steps:
            pass

    start = time.perf_counter()
    asyncio.run(run())
    os.sync()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    folder = built_folder()
    if folder is None:
        raise SystemExit("there is no engine: run `make setup`")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        whole = make(place / "whole.gguf")
        size = whole.stat().st_size / 1e6
        tool = str(folder / "llama-gguf-split")
        count = str(TENSORS // 4 + 1)
        split = [tool, "--split-max-tensors", count, str(whole), str(place / "part")]
        subprocess.run(split, check=True, capture_output=True)
        parts = sorted(place.glob("part-*.gguf"))
        target = place / "merged.gguf"
        target.touch()
        os.sync()
        ours = timed(merge(parts, target))
        start = time.perf_counter()
        theirs_path = str(place / "theirs.gguf")
        subprocess.run(
            [tool, "--merge", str(parts[0]), theirs_path], check=True, capture_output=True
        )
        os.sync()
        theirs = time.perf_counter() - start
        print(f"{size:.0f} MB in {len(parts)} parts")
        print(f"merged in {ours:.2f} s ({size / ours:.0f} MB/s); llama-gguf-split {theirs:.2f} s")
        found = correction(whole, read_header(whole))
        assert found is not None  # noqa: S101 - it has a tensor of a tower
        assert found.model is not None  # noqa: S101 - the same
        sheet = found.model
        target.write_bytes(b"")
        copying = write_copy(target, sheet.keys, sheet.tensors.values(), alignment=sheet.alignment)
        copied = timed(copying)
        print(f"corrected copy in {copied:.2f} s ({size / copied:.0f} MB/s)")


if __name__ == "__main__":
    main()
