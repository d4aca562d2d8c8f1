"""What stays behind: memory over many requests, and how long a client that leaves keeps its slot.

    make bench SCRIPTS=bench/endurance.py [MODEL="FILE.gguf REQUESTS"]

The slot is timed as the next in line sees it: a model with one slot answers an endless request,
another one waits, the first client goes, and the clock runs until the second one's first token.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import psutil
from measure import http, model_path, our_chat, run, show
from serving import serving

STEPS = 10
AT_ONCE = 8
ROUNDS = 15
MIB = 1 << 20
ENDLESS = {"num_predict": 1_000_000, "temperature": 0}


async def memory(model: Path, requests: int) -> None:
    """Print the server's RSS after each tenth of the requests; every second one is streamed."""
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        server.create("bench", model)
        process = psutil.Process(server.process.pid)
        url = f"{server.url}/api/chat"
        async with http() as session:

            async def some(count: int, first: int) -> None:
                for number in range(count):
                    body = {
                        "model": "bench",
                        "messages": [{"role": "user", "content": f"Number {first + number}"}],
                        "stream": number % 2 == 0,
                        "options": {"num_predict": 4},
                    }
                    async with session.post(url, json=body) as reply:
                        await reply.read()

            print(f"{model.name}, {requests} requests, {AT_ONCE} at once")
            print(f"{'RSS at start':<44}{process.memory_info().rss / MIB:10.1f} MiB")
            each = requests // STEPS // AT_ONCE
            for step in range(STEPS):
                begun = time.perf_counter()
                await asyncio.gather(*(some(each, step * 10_000) for _ in range(AT_ONCE)))
                rate = each * AT_ONCE / (time.perf_counter() - begun)
                done = (step + 1) * each * AT_ONCE
                print(
                    f"{f'RSS after {done} requests':<44}"
                    f"{process.memory_info().rss / MIB:10.1f} MiB    {rate:.0f} requests/s"
                )


async def slots(model: Path) -> None:
    """Print how soon a slot serves the next request after its client has left."""
    freed, alone = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), AYLLU_NUM_PARALLEL="1") as server,
    ):
        server.create("bench", model)
        async with http() as session:

            async def next_in_line() -> float:
                """When its first token came."""
                begun = time.perf_counter()
                return begun + (await our_chat(session, server.url, "bench", "Hello", 4)).first

            for _ in range(ROUNDS):
                body = {"model": "bench", "messages": [{"role": "user", "content": "Go on"}]}
                reply = await session.post(
                    f"{server.url}/api/chat", json=body | {"options": ENDLESS}
                )
                await reply.content.readline()
                waiting = asyncio.ensure_future(next_in_line())
                await asyncio.sleep(0.2)
                left = time.perf_counter()
                reply.close()
                freed.append(1000 * (await waiting - left))
                begun = time.perf_counter()
                alone.append(1000 * (await next_in_line() - begun))
    show("the next request's first token after it left", freed, "ms")
    show("the same with a free slot", alone, "ms")
    later = [waited - free for waited, free in zip(freed, alone, strict=True)]
    show("so the slot was kept for (at most 50 wanted)", later, "ms")


async def main() -> None:
    """Both."""
    model = model_path()
    await slots(model)
    await memory(model, int(sys.argv[2]) if len(sys.argv) > 2 else 10_000)


if __name__ == "__main__":
    run(main)
