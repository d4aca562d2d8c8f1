"""What it takes to go from one adapter to another on a loaded model, beside loads of their own.

make bench SCRIPTS=bench/adapters.py [MODEL=FILE.gguf]
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import aiohttp
from gguf_maker import make_random_adapter
from measure import http, model_path, our_chat, run, show
from serving import Serving, serving

ROUNDS = 5
NAMES = ("base", "one", "two")
PROMPT = "Once upon a time "
TOKENS = 32
MIB = 1 << 20


async def main() -> None:
    """Ask a model and two with adapters by turns, with one engine and with one for each."""
    model = model_path()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with serving(home) as server:
            adapters = create(server, model, home)
            size = sum(path.stat().st_size for path in adapters)
            print(
                f"{model.name}, {model.stat().st_size / MIB:.0f} MiB, two adapters of {size // 2} B"
            )
            async with http() as session:
                await by_turns(server, session)
                await both_at_once(server, session)
                await own_loads(server, session)


def create(server: Serving, model: Path, folder: Path) -> list[Path]:
    """A model, and two more with an adapter each."""
    server.create("base", model)
    paths = []
    for seed, name in enumerate(NAMES[1:]):
        path = make_random_adapter(folder / f"{name}.gguf", model, seed, strength=0.01)
        digest = server.upload(path.read_bytes())
        body = {"model": name, "from": "base", "adapters": {path.name: digest}}
        server.post("/api/create", body)
        paths.append(path)
    return paths


async def by_turns(server: Serving, session: aiohttp.ClientSession) -> None:
    """First tokens after another adapter and after the same, and the memory of one engine."""
    for name in ("one", *NAMES):
        await our_chat(session, server.url, name, PROMPT, TOKENS)
    same, other, rates = [], [], dict[str, list[float]]()
    for _ in range(ROUNDS):
        for name in NAMES:
            answer = await our_chat(session, server.url, name, PROMPT, TOKENS)
            other.append(1000 * answer.first)
            rates.setdefault(name, []).append(answer.rate)
            same.append(1000 * (await our_chat(session, server.url, name, PROMPT, 4)).first)
    show("first token after the same adapter", same, "ms")
    show("first token after another one", other, "ms")
    show("decoding without an adapter", rates["base"], "tok/s")
    show("decoding with one", rates["one"] + rates["two"], "tok/s")
    show("memory of the engine of all three, RSS", [memory(server)], "MiB")


async def both_at_once(server: Serving, session: aiohttp.ClientSession) -> None:
    """Two streams of one model, and of two that differ in adapters, which take turns."""
    for names in (("one", "one"), ("one", "two")):
        times = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            streams = (our_chat(session, server.url, name, PROMPT, TOKENS) for name in names)
            await asyncio.gather(*streams)
            times.append(time.perf_counter() - begun)
        show(f"two streams at once, {names[0]} and {names[1]}", times, "s")


async def own_loads(server: Serving, session: aiohttp.ClientSession) -> None:
    """What each model would take with an engine of its own: a load, and memory."""
    firsts, sizes = [], []
    for _ in range(ROUNDS):
        for name in NAMES:
            unload(server)
            answer = await our_chat(session, server.url, name, PROMPT, TOKENS)
            firsts.append(1000 * answer.first)
            sizes.append(memory(server))
    show("first token with a load", firsts, "ms")
    show("memory of an engine, RSS", sizes, "MiB")


def unload(server: Serving) -> None:
    """Let all models go."""
    for name in NAMES:
        server.post("/api/generate", {"model": name, "keep_alive": 0})
    while server.engines():
        time.sleep(0.01)


def memory(server: Serving) -> float:
    """MiB of all engines."""
    return sum(engine.memory_info().rss for engine in server.engines()) / MIB


if __name__ == "__main__":
    run(main)
