"""What our server adds to llama-server: time to the first token, and decoding speed.

    make bench SCRIPTS=bench/overhead.py [MODEL="FILE.gguf ROUNDS"]

Both run the same engine with the same flags on the same model and get the same prompts in turn.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from measure import (
    http,
    model_path,
    our_stream,
    raw_server,
    raw_stream,
    run,
    show,
)
from serving import serving

TOKENS = 128
PARALLEL = 4


async def main() -> None:
    """Measure both in alternation and print medians."""
    model = model_path()
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 15
    raw_first, our_first, raw_rate, our_rate = [], [], [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), AYLLU_NUM_PARALLEL=str(PARALLEL)) as server,
        raw_server(model, Path(folder), PARALLEL) as (_, raw),
    ):
        ours = server.url
        server.create("bench", model)
        async with http() as session:
            for turn in range(-1, rounds):  # the first one warms both up
                prompt = f"Once upon a time number {turn} "
                if turn % 2:
                    theirs = await raw_stream(session, raw, prompt, TOKENS)
                    mine = await our_stream(session, ours, "bench", prompt, TOKENS)
                else:
                    mine = await our_stream(session, ours, "bench", prompt, TOKENS)
                    theirs = await raw_stream(session, raw, prompt, TOKENS)
                if turn >= 0:
                    raw_first.append(1000 * theirs.first)
                    our_first.append(1000 * mine.first)
                    raw_rate.append(theirs.rate)
                    our_rate.append(mine.rate)
    print(f"{model.name}, {rounds} rounds of {TOKENS} tokens")
    show("first token, llama-server", raw_first, "ms")
    show("first token, Ayllu", our_first, "ms")
    later = [mine - theirs for mine, theirs in zip(our_first, raw_first, strict=True)]
    show("first token later by (at most 3 wanted)", later, "ms")
    show("decoding, llama-server", raw_rate, "tok/s")
    show("decoding, Ayllu", our_rate, "tok/s")
    ratios = [mine / theirs for mine, theirs in zip(our_rate, raw_rate, strict=True)]
    print(f"{'decoding, ratio (at least 0.98 wanted)':<44}{statistics.median(ratios):10.3f}")


if __name__ == "__main__":
    run(main)
