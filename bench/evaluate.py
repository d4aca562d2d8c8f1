"""Perplexity and importance matrices through the server beside the engine's own programs.

    make bench SCRIPTS=bench/evaluate.py [MODEL=FILE.gguf]

MODEL is in F16, BF16 or F32; without one it is mini. Prints medians, and how long a plan takes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
from measure import http, run, show
from serving import serving

from ayllu.config import load_settings
from ayllu.gguf.tool import ENGINE_ENVIRONMENT
from ayllu.models.shelf import ASSETS
from ayllu.models.tools import CALIBRATION
from ayllu.runner.engine import find_engine, tool_path

ROUNDS = 3
CONTEXT, CHUNKS = 512, 20
KIND = "Q4_0"


def directly(*commands: Sequence[str | Path]) -> float:
    """Seconds that programs take, one after the other."""
    begun = time.perf_counter()
    for command in commands:
        # Without it, idle threads fight those of others for the processor.
        environment = os.environ | ENGINE_ENVIRONMENT
        subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - begun


async def asked(
    session: aiohttp.ClientSession, method: str, url: str, body: dict[str, Any]
) -> float:
    """Seconds that a request takes."""
    begun = time.perf_counter()
    async with session.request(method, url, json=body) as reply:
        reply.raise_for_status()
        last = (await reply.read()).strip().splitlines()[-1:]
    if last and b"error" in last[0].partition(b":")[0]:
        raise RuntimeError(last[0].decode())
    return time.perf_counter() - begun


async def main() -> None:
    """Measure in alternation and print."""
    folder = find_engine(load_settings()).folder
    model = Path(sys.argv[1]) if len(sys.argv) > 1 else ASSETS / "mini-f16.gguf"
    with tempfile.TemporaryDirectory() as name:
        matrix, target = Path(name) / "matrix.gguf", Path(name) / "out.gguf"
        reading: list[str | Path] = [
            "-m",
            model,
            "-f",
            CALIBRATION,
            "-c",
            str(CONTEXT),
            "-b",
            str(CONTEXT),
        ]
        measuring = [tool_path(folder, "llama-perplexity"), *reading, "--chunks", str(CHUNKS)]
        making = [tool_path(folder, "llama-imatrix"), *reading, "-o", matrix]
        quantizing: list[str | Path] = [tool_path(folder, "llama-quantize"), "--imatrix", matrix]
        quantizing += [model, target, KIND]
        times: dict[str, list[float]] = {key: [] for key in ("p", "our p", "m", "our m", "plan")}
        with serving(Path(name) / "home") as server:
            server.create("model", model)
            measured = {"model": "model", "context": CONTEXT, "chunks": CHUNKS}
            made = {"model": "x", "from": "model", "quantize": KIND, "imatrix": True}
            async with http() as session:
                for _ in range(ROUNDS):
                    times["p"].append(directly(measuring))
                    url = f"{server.url}/api/perplexity"
                    times["our p"].append(await asked(session, "POST", url, measured))
                    times["m"].append(directly(making, quantizing))
                    url = f"{server.url}/api/create"
                    times["our m"].append(await asked(session, "POST", url, made))
                    await asked(session, "DELETE", f"{server.url}/api/delete", {"model": "x"})
                    for kept in (server.home / "models").glob(".ayllu.*/*.gguf"):
                        kept.unlink()
                    url = f"{server.url}/api/quantizations"
                    times["plan"].append(await asked(session, "POST", url, {"model": "model"}))
        print(f"{model.name}, chunks of {CONTEXT} tokens, {ROUNDS} rounds in alternation")
        alone = show(f"llama-perplexity, {CHUNKS} chunks", times["p"], "s")
        ours = show("/api/perplexity", times["our p"], "s")
        print(f"{'':<44}{ours / alone:10.2f} times")
        alone = show(f"llama-imatrix, llama-quantize to {KIND}", times["m"], "s")
        ours = show("/api/create with imatrix", times["our m"], "s")
        print(f"{'':<44}{ours / alone:10.2f} times")
        show("/api/quantizations", times["plan"], "s")


if __name__ == "__main__":
    run(main)
