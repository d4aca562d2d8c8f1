"""An answer that goes on where its engine died: from the tokens it had, none of them made twice.

What was said comes first, as it came, so that whoever reads the stream is in the state that it was
in; then comes what the new engine says. Only what the engine held back when it died is made again:
the beginning of what may be a stop word, and the first bytes of a character.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from msgspec import structs

from ayllu.chat.infill import begin_tokens
from ayllu.chat.prompt import CONTINUES
from ayllu.chat.said import Record, Said, Step
from ayllu.runner.chunks import Chunk, EngineTimings
from ayllu.runner.client import RunnerClient
from ayllu.runner.options import LARGEST
from ayllu.types import Json

_NOTHING = Step()
_LEAST_MOVING = 4
"""Tokens of a context that are not kept when it is full, as in llama-server."""


async def complete(
    client: RunnerClient, body: Mapping[str, Json], record: Record, *, context: int
) -> AsyncGenerator[Chunk]:
    """Stream /completion for an answer that may have begun; the body is that of its beginning."""
    said = record.said
    if not said.steps:
        return spoken(client.complete, body, record, 0)
    count = sum(1 + step.hidden for step in said.steps)
    prompt = await _continued(client, body, said, context)
    return spoken(client.complete, {**body, "prompt": prompt}, record, count)


async def chat(
    client: RunnerClient,
    body: Mapping[str, Json],
    shown: Sequence[Mapping[str, Any]],
    plain: Callable[[str], dict[str, Json]],
    record: Record,
    *,
    context: int,
) -> AsyncGenerator[Chunk] | None:
    """Stream /v1/chat/completions for an answer that has begun.

    The engine is told what the answer began with. But where the template knows of thinking, the
    engine writes some before it, and this answer may have none: then it goes on as the text that it
    is, with the body that `plain` makes of a prompt. None where the engine would not go on from the
    same prompt. This route names no tokens: they are counted by their text, and one that has none
    (a special one in the midst) is forgotten. `shown` are the body's messages without the data of
    images and sounds.
    """
    said = record.said
    if shown[-1]["role"] == "assistant" and not isinstance(shown[-1]["content"], str):
        return None
    text = said.text
    thinking = said.thinking.rstrip() if text else said.thinking  # the template has its line break
    asked = await client.apply_template({**body, "messages": shown})
    begun = await client.apply_template(
        {**body, **CONTINUES, "messages": _with_answer(shown, text, thinking)}
    )
    same = _goes_on(asked, begun, text or thinking) if thinking else begun == asked + text
    if thinking and not same:
        return None
    begun = begun if same else asked + text
    before, after = [len(await client.tokenize(one, special=True)) for one in (asked, begun)]
    count = max(after - before, 1)
    if said.prompt_tokens + count >= context:
        return None
    if not same:
        return spoken(partial(_texts, client), plain(begun), record, count)
    messages = _with_answer(body["messages"], text, thinking)
    return spoken(client.chat, {**body, **CONTINUES, "messages": messages}, record, count)


async def _texts(client: RunnerClient, body: Mapping[str, Json]) -> AsyncGenerator[Chunk]:
    """Stream /completion without the steps that have no text, as the chat's route does."""
    async with aclosing(client.complete(body)) as chunks:
        async for chunk in chunks:
            if chunk.text or chunk.finish:
                yield chunk


def _goes_on(asked: str, begun: str, said: str) -> bool:
    """Whether a prompt is another one with the beginning of its answer."""
    return begun.startswith(asked) and begun.endswith(said)


def _with_answer(messages: Sequence[Any], text: str, thinking: str) -> list[Json]:
    """A body's messages and the beginning of the answer, which may go on with the last of them."""
    *others, last = messages
    if last["role"] != "assistant":
        others, last = [*others, last], {"role": "assistant", "content": ""}
    if thinking:
        last = {**last, "reasoning_content": last.get("reasoning_content", "") + thinking}
    return [*others, {**last, "content": last["content"] + text}]


async def spoken(
    ask: Callable[[Mapping[str, Json]], AsyncGenerator[Chunk]],
    body: Mapping[str, Json],
    record: Record,
    count: int,
) -> AsyncGenerator[Chunk]:
    """What was said before, `count` tokens, and what the engine says to a body, written down."""
    run, said = _Run(record, count), record.said
    if count:
        for chunk in said.chunks():
            yield chunk
        if said.end is not None:
            yield said.end
            return
        body = _rest(body, said, count)
        if body["n_predict"] <= 0:
            yield Chunk(finish="length", timings=run.whole(EngineTimings()))
            return
    async with aclosing(_in_step(ask(body))) as groups:
        async for group in groups:
            for chunk in run.arrived(group):
                yield chunk


async def _in_step(chunks: AsyncGenerator[Chunk]) -> AsyncGenerator[list[Chunk]]:
    """Chunks; those without a text wait for the next one that has some.

    Where that one ends, neither a stop word nor a character is half said.
    """
    held = list[Chunk]()
    async with aclosing(chunks):
        async for chunk in chunks:
            if chunk.progress:
                yield [chunk]
                continue
            held.append(chunk)
            if chunk.text or chunk.thinking or chunk.finish:
                yield held
                held = []


class _Run:
    """One run of an answer, `count` tokens of which were said before it."""

    def __init__(self, record: Record, count: int) -> None:
        self._record = record
        self._count = count
        self._started = time.monotonic()
        self._spent = record.said.predicted_ms

    def arrived(self, group: list[Chunk]) -> Iterator[Chunk]:
        """Chunks, written down before they go on; the last of all tells of all runs."""
        *others, last = group
        if last.progress:
            yield from self._read(last)
            return
        self._note_time()
        if last.finish:  # first, for nothing must go on behind an end
            last = structs.replace(last, timings=last.timings and self.whole(last.timings))
            self._record.end(last)
        for chunk in (*others, last):
            step = Step(
                text=chunk.text,
                token=chunk.tokens[-1] if chunk.tokens else -1,
                hidden=0 if chunk.finish else chunk.hidden,
                thinking=chunk.thinking,
                logprobs=chunk.logprobs,
            )
            if step != _NOTHING:
                self._record.add(step)
            yield chunk

    def _read(self, chunk: Chunk) -> Iterator[Chunk]:
        """How far the prompt is read; that of a later run is longer than the client's."""
        if chunk.progress and not self._count:
            said = self._record.said
            said.prompt_tokens, said.cached = chunk.progress.total, chunk.progress.cache
            yield chunk

    def _note_time(self) -> None:
        said, now = self._record.said, time.monotonic()
        if not said.steps:
            said.prompt_ms = (now - self._started) * 1e3
            self._started = now
        said.predicted_ms = self._spent + (now - self._started) * 1e3

    def whole(self, last: EngineTimings) -> EngineTimings:
        """The timings of all runs, this one's being the `last`."""
        if not self._count:
            return last
        said = self._record.said
        return structs.replace(
            last,
            cache_n=said.cached,
            prompt_n=said.prompt_tokens - said.cached,
            prompt_ms=said.prompt_ms,
            predicted_n=self._count + last.predicted_n,
            predicted_ms=self._spent + last.prompt_ms + last.predicted_ms,
        )


def _rest(body: Mapping[str, Json], said: Said, count: int) -> dict[str, Json]:
    """The body without the prompt that asks for what comes after `count` tokens.

    Another seed, or else the same numbers would choose the next tokens that chose the first ones.
    """
    keep = body["n_keep"]
    return {
        **body,
        "n_predict": body["n_predict"] - count,
        "n_keep": said.prompt_tokens if keep < 0 else keep,
        "seed": (body["seed"] + count) & LARGEST,
    }


async def _continued(
    client: RunnerClient, body: Mapping[str, Json], said: Said, context: int
) -> Json:
    """The prompt of a body with what was said after it, as much of both as the engine would see."""
    prompt = body["prompt"]
    if isinstance(prompt, Mapping):  # with images or sounds, which the engine takes in a text alone
        return {**prompt, "prompt_string": prompt["prompt_string"] + said.text}
    if isinstance(prompt, str):
        prompt = await client.tokenize(prompt, special=True)
    keep = body["n_keep"]
    keep = len(prompt) if keep < 0 else keep
    keep += len(await begin_tokens(client))
    return visible(prompt, await answer_tokens(client, said.steps), keep=keep, context=context)


async def answer_tokens(client: RunnerClient, steps: Sequence[Step]) -> list[int]:
    """The token ids of an answer; those that the engine did not name are found by their text."""
    if any(step.token < 0 for step in steps):
        text = "".join(step.text for step in steps)
        return await client.tokenize(text, special=False, parse_special=False)
    tokens = list[int]()
    start = 0
    for step in steps:
        tokens.append(step.token)
        if step.hidden:
            found = await client.tokenize(step.text, special=False, parse_special=False)
            if found[-1:] == [step.token] and len(found) > step.hidden:
                tokens[-1:] = found[-1 - step.hidden :]
            else:  # the model spelled it in another way: the same text all the same
                tokens[start:] = found
        if step.text:
            start = len(tokens)
    return tokens


def visible(prompt: Sequence[int], answer: Sequence[int], *, keep: int, context: int) -> list[int]:
    """What is left in a context of that many tokens when an answer has come so far. Pure.

    Where the context is full, the first `keep` tokens and the later half of the others stay, as in
    llama-server (tools/server/server-context.cpp, "context shift").
    """
    tokens = list(prompt)
    keep = min(keep, context - _LEAST_MOVING)
    for token in answer:
        if len(tokens) + 1 >= context:
            del tokens[keep : keep + (len(tokens) - keep) // 2]
        tokens.append(token)
    return tokens
