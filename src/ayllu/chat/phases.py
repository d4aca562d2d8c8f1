"""Watches over an answer that the engine does not parse: two phases for a format, no endless loop.

A grammar would forbid a model to think. So where an answer is to have a form, a first run is free
until the answer's own text begins, and a second one goes on from there within the form.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from msgspec import structs

from ayllu.chat.parsers.parser import Parser
from ayllu.runner.chunks import Chunk, EngineTimings
from ayllu.runner.client import RunnerClient
from ayllu.types import Json

MAX_REPEATS = 30
"""A model that says the same thing more often than this in a row will never end, says Ollama."""

FORM = "json_schema"
"""The field of a /completion body that forces a form on the answer."""


async def form_after_thinking(
    client: RunnerClient, body: Mapping[str, Json], parser: Parser
) -> AsyncGenerator[Chunk]:
    """Stream /completion, with the body's form for the answer but not for the thinking before it.

    The chunks together are one answer's. `parser` is used up: it tells where the text starts.
    """
    started = first = time.monotonic()
    sent, waiting, count = "", list[Chunk](), 0
    free = {name: value for name, value in body.items() if name != FORM}
    async with aclosing(client.complete(free)) as chunks:
        async for chunk in chunks:
            first = first if count else time.monotonic()
            told = list(parser.feed(chunk.text))
            if parser.text_start is not None:
                break
            count += len(chunk.tokens)
            waiting.append(structs.replace(chunk, tokens=()))
            # What the parser holds back may turn out to be the answer's first letters.
            if told or chunk.finish:
                for item in waiting:
                    sent += item.text
                    yield item
                waiting.clear()
    if parser.text_start is None:
        return
    ahead = (sent + "".join(item.text for item in waiting) + chunk.text)[: parser.text_start]
    yield Chunk(text=ahead[len(sent) :])
    spent = EngineTimings(
        predicted_n=count,
        prompt_ms=(first - started) * 1e3,
        predicted_ms=(time.monotonic() - first) * 1e3,
    )
    async with aclosing(client.complete(_rest_of(body, ahead, count))) as chunks:
        async for chunk in chunks:
            timings = chunk.timings and _sum(spent, chunk.timings)
            yield structs.replace(chunk, tokens=(), timings=timings)


def _rest_of(body: Mapping[str, Json], ahead: str, count: int) -> dict[str, Json]:
    """The body that goes on after a text of `count` tokens."""
    prompt = body["prompt"]
    prompt = prompt + ahead if isinstance(prompt, str) else [*prompt, *([ahead] if ahead else [])]
    return {**body, "prompt": prompt, "n_predict": max(body["n_predict"] - count, 1)}


def _sum(free: EngineTimings, formed: EngineTimings) -> EngineTimings:
    """Both runs as one: what the first one answered is no prompt of the second."""
    known = formed.cache_n + formed.prompt_n - free.predicted_n
    cached = max(min(formed.cache_n, known), 0)
    return structs.replace(
        formed,
        cache_n=cached,
        prompt_n=max(known - cached, 0),
        prompt_ms=free.prompt_ms,
        predicted_n=free.predicted_n + formed.predicted_n,
        predicted_ms=free.predicted_ms + formed.prompt_ms + formed.predicted_ms,
    )


async def without_loops(chunks: AsyncGenerator[Chunk]) -> AsyncGenerator[Chunk]:
    """Chunks, ended as if by num_predict where the model says the same thing again and again.

    Closes `chunks`, which frees the slot.
    """
    started = time.monotonic()
    same, last, count = 0, "", 0
    async with aclosing(chunks):
        async for chunk in chunks:
            yield chunk
            count += len(chunk.tokens)
            if not chunk.text or chunk.finish:
                continue
            word = chunk.text.strip()
            same = same + 1 if word == last else 0
            last = word
            if same > MAX_REPEATS:
                spent = (time.monotonic() - started) * 1e3
                timings = EngineTimings(predicted_n=count, predicted_ms=spent)
                yield Chunk(finish="length", timings=timings)
                return
