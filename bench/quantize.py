"""Quantizing through the server beside llama-quantize itself, on the same file.

    make bench SCRIPTS=bench/quantize.py [MODEL=FILE.gguf]

MODEL is in F16, BF16 or F32; without one, a file of 206 MB is made. Ours includes the hash of the
result, its way into the store, and the progress that a client reads.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from gguf_maker import make_successor_model
from gguf_writer import write_gguf
from measure import http, run, show
from serving import serving

from ayllu.config import load_settings
from ayllu.gguf.read import read_header
from ayllu.runner.engine import find_engine, tool_path

KINDS = ("Q8_0", "Q4_K_M")
ROUNDS = 5
LAYERS, ROWS, COLUMNS = 12, 8192, 1024
MB = 1e6


def make(folder: Path) -> Path:
    """A file with the tensors of a model of 100 million parameters, filled with noise."""
    small = make_successor_model(folder / "small.gguf")
    header = read_header(small).kvs
    kvs = {name: value for name, value in header.items() if not hasattr(value, "items")}
    kvs |= {"general.file_type": 1, "llama.block_count": LAYERS}
    noise = np.random.default_rng(7)
    tensors = {
        f"blk.{layer}.ffn_up.weight": noise.standard_normal((ROWS, COLUMNS)).astype(np.float16)
        for layer in range(LAYERS)
    }
    return write_gguf(folder / "model.gguf", kvs, tensors)


def directly(program: Path, source: Path, target: Path, kind: str) -> float:
    """Seconds that llama-quantize takes, until its result is safe on the disk."""
    begun = time.perf_counter()
    subprocess.run([program, source, target, kind], check=True, capture_output=True)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    seconds = time.perf_counter() - begun
    target.unlink()
    return seconds


async def through_the_server(
    session: aiohttp.ClientSession, url: str, digest: str, kind: str
) -> tuple[float, int]:
    """Seconds that a create with `quantize` takes, and how many lines it writes."""
    body: dict[str, Any] = {"model": "x", "files": {"model.gguf": digest}, "quantize": kind}
    begun, lines = time.perf_counter(), 0
    async with session.post(f"{url}/api/create", json=body) as reply:
        last = b""
        async for line in reply.content:
            last = line
            lines += 1
    seconds = time.perf_counter() - begun
    if b"success" not in last:
        raise RuntimeError(last.decode())
    # What was made has to go, or the next round would find it.
    async with session.delete(f"{url}/api/delete", json={"model": "x"}) as reply:
        await reply.read()
    return seconds, lines


async def main() -> None:
    """Quantize in alternation and print medians."""
    program = tool_path(find_engine(load_settings()).folder, "llama-quantize")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = Path(sys.argv[1]) if len(sys.argv) > 1 else make(folder)
        data = source.read_bytes()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        with serving(folder / "home") as server:
            url = server.url
            async with http() as session:
                async with session.post(f"{url}/api/blobs/{digest}", data=data) as reply:
                    reply.raise_for_status()
                print(f"{source.name}, {len(data) / MB:.0f} MB, {ROUNDS} rounds in alternation")
                del data
                for kind in KINDS:
                    direct, ours = [], []
                    for _ in range(ROUNDS):
                        direct.append(directly(program, source, folder / "out", kind))
                        seconds, lines = await through_the_server(session, url, digest, kind)
                        ours.append(seconds)
                    alone = show(f"{kind}: llama-quantize", direct, "s")
                    both = show(f"{kind}: ours, {lines} lines of progress", ours, "s")
                    print(f"{'':<44}{both / alone:10.2f} times")


if __name__ == "__main__":
    run(main)
