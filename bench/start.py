"""How quickly the server is there and how little it takes: cold start, first answer, idle memory.

make bench SCRIPTS=bench/start.py [MODEL=FILE.gguf]
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import psutil
from measure import http, model_path, our_chat, raw_server, run, show
from serving import serving

ROUNDS = 7
MIB = 1 << 20


async def main() -> None:
    """Start servers again and again and print medians."""
    model = model_path()
    answers, loads, starts, memory, show_times = [], [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with serving(home) as server:
            server.create("bench", model)
            async with http() as session:
                for _ in range(20):
                    begun = time.perf_counter()
                    async with session.post(
                        f"{server.url}/api/show", json={"model": "bench"}
                    ) as reply:
                        await reply.read()
                    show_times.append(1000 * (time.perf_counter() - begun))
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            with raw_server(model, home, 4):
                loads.append(time.perf_counter() - begun)
            begun = time.perf_counter()
            with serving(home) as server:
                starts.append(time.perf_counter() - begun)
                await asyncio.sleep(0.5)
                memory.append(psutil.Process(server.process.pid).memory_info().rss / MIB)
            begun = time.perf_counter()
            with serving(home) as server:
                async with http() as session:
                    await our_chat(session, server.url, "bench", "Once upon a time ", 2)
                answers.append(time.perf_counter() - begun)
    print(f"{model.name}, {ROUNDS} rounds")
    show("the server answers after", starts, "s")
    show("first answered request after (cold)", answers, "s")
    show("of which llama-server's own start and load", loads, "s")
    beyond = [mine - load for mine, load in zip(answers, loads, strict=True)]
    show("beyond the load (under 1.5 wanted)", beyond, "s")
    show("idle memory, RSS (under 100 wanted)", memory, "MiB")
    show("/api/show (under 50 wanted)", show_times, "ms")


if __name__ == "__main__":
    run(main)
