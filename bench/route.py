"""What it costs that another machine answers: first token, decoding, and requests without a model.

    make bench SCRIPTS=bench/route.py [MODEL="FILE.gguf ROUNDS"]

Two servers on loopback make an ayllu; one alone has the model, and both are asked in alternation.
The difference is the hop: a second server, mutual TLS, and bytes that nobody parses.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import aiohttp
from ayllu_servers import Machines, models
from measure import Stream, http, model_path, our_chat, run, show
from serving import Serving, wait_until

TOKENS = 256
QUESTIONS = 200
STREAMS = 4


async def chats(session: aiohttp.ClientSession, url: str, turn: int, streams: int) -> list[Stream]:
    """Some answers at once, each to a prompt of its own."""
    prompts = [f"Tell me story {turn * streams + number}" for number in range(streams)]
    asked = (our_chat(session, url, "solo", prompt, TOKENS) for prompt in prompts)
    return await asyncio.gather(*asked)


async def question(session: aiohttp.ClientSession, url: str) -> float:
    """Milliseconds of a request that takes the engine next to none."""
    started = time.perf_counter()
    body = {"model": "solo", "content": "hi"}
    async with session.post(f"{url}/api/tokenize", json=body) as response:
        response.raise_for_status()
        await response.read()
    return 1000 * (time.perf_counter() - started)


async def compare(here: Serving, there: Serving, rounds: int) -> None:
    """Ask the machine that has the model, and the other one, in turn."""
    async with http() as session:
        for streams in (1, STREAMS):
            direct: list[list[Stream]] = []
            routed: list[list[Stream]] = []
            for turn in range(-1, rounds):  # the first one warms both up
                direct.append(await chats(session, here.url, 2 * turn, streams))
                routed.append(await chats(session, there.url, 2 * turn + 1, streams))
            print(f"{rounds} rounds of {TOKENS} tokens, streams at once: {streams}")
            for name, answers in (("here", direct[1:]), ("by another machine", routed[1:])):
                firsts = [1000 * one.first for answer in answers for one in answer]
                show(f"first token, {name}", firsts, "ms")
                show(f"decoding, {name}", [one.rate for all_ in answers for one in all_], "tok/s")
        waits = {"here": here, "by another machine": there}
        times = {
            name: [await question(session, server.url) for _ in range(QUESTIONS)]
            for name, server in waits.items()
        }
        for name, found in times.items():
            show(f"tokenizing two letters, {name}", found, "ms")
        medians = [statistics.median(found) for found in times.values()]
        print(f"{'the hop':<44}{medians[1] - medians[0]:10.2f} ms")


async def main() -> None:
    """Make an ayllu of two, and measure."""
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        here, there = Machines(Path(folder), stack).pair("here", "there")
        here.create("solo", model_path())
        wait_until(lambda: "solo:latest" in models(there), what="hearing of the model")
        await compare(here, there, rounds)


if __name__ == "__main__":
    run(main)
