"""What our server adds to llama-server: time to the first token, decoding speed, CPU per token.

    make bench SCRIPTS=bench/overhead.py [MODEL="FILE.gguf ROUNDS"]

Both run the same engine with the same flags on the same model, alone and for many streams at once,
and get the same conversations in turn.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from measure import Stream, http, model_path, our_chat, raw_chat, raw_server, run, show
from serving import serving

TOKENS = 128
STREAMS = {1: 0.98, 16: 0.95}
"""How many streams at once, and the share of llama-server's own speed that is wanted."""


class Round(NamedTuple):
    """Some streams at once: the first one's milliseconds to its first token, tokens/s of all."""

    first: float
    rate: float
    tokens: int


async def once(ask: Callable[[str], Coroutine[Any, Any, Stream]], turn: int, streams: int) -> Round:
    """One round of streams, each with a conversation of its own."""
    prompts = [f"Tell me story {turn * streams + number}" for number in range(streams)]
    begun = time.perf_counter()
    answers = await asyncio.gather(*map(ask, prompts))
    seconds = time.perf_counter() - begun
    tokens = sum(answer.tokens for answer in answers)
    rate = answers[0].rate if streams == 1 else tokens / seconds
    return Round(1000 * answers[0].first, rate, tokens)


async def compare(model: Path, rounds: int, streams: int) -> None:
    """Measure both in alternation and print medians."""
    theirs: list[Round] = []
    mine: list[Round] = []
    spent = 0.0
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), AYLLU_NUM_PARALLEL=str(streams)) as server,
        raw_server(model, Path(folder), streams) as (_, raw),
    ):
        server.create("bench", model)
        process = psutil.Process(server.process.pid)
        async with http() as session:

            async def ask_us(prompt: str) -> Stream:
                return await our_chat(session, server.url, "bench", prompt, TOKENS)

            async def ask_them(prompt: str) -> Stream:
                return await raw_chat(session, raw, prompt, TOKENS)

            for turn in range(-1, rounds):  # the first one warms both up
                if turn % 2:
                    theirs.append(await once(ask_them, turn, streams))
                before = sum(process.cpu_times()[:2])
                mine.append(await once(ask_us, turn, streams))
                spent += sum(process.cpu_times()[:2]) - before
                if not turn % 2:
                    theirs.append(await once(ask_them, turn, streams))
    pairs = list(zip(mine, theirs, strict=True))[1:]
    print(f"{model.name}, {rounds} rounds of {TOKENS} tokens, streams at once: {streams}")
    if streams == 1:
        show("first token, llama-server", [theirs.first for _, theirs in pairs], "ms")
        show("first token, Ayllu", [mine.first for mine, _ in pairs], "ms")
        later = [mine.first - theirs.first for mine, theirs in pairs]
        show("first token later by (at most 3 wanted)", later, "ms")
    show("decoding, llama-server", [theirs.rate for _, theirs in pairs], "tok/s")
    show("decoding, Ayllu", [mine.rate for mine, _ in pairs], "tok/s")
    ratio = statistics.median(mine.rate / theirs.rate for mine, theirs in pairs)
    print(f"{f'decoding, ratio (at least {STREAMS[streams]} wanted)':<44}{ratio:10.3f}")
    micros = spent / sum(part.tokens for part in mine) * 1e6
    print(f"{'server CPU per token (at most 150 wanted)':<44}{micros:10.0f} us")


async def main() -> None:
    """Compare for one stream, then for many."""
    model = model_path()
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 15
    for streams in STREAMS:
        await compare(model, rounds, streams)


if __name__ == "__main__":
    run(main)
