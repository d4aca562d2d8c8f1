"""A form that waits for the thinking, and answers that never end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

import pytest

from ayllu.chat.parsers import Setting, make_parser
from ayllu.chat.phases import MAX_REPEATS, form_after_thinking, without_loops
from ayllu.runner.chunks import Chunk, EngineTimings
from ayllu.runner.client import RunnerClient


class Engine:
    """Answers in turn, a token per letter; keeps what it was asked."""

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.bodies: list[Mapping[str, Any]] = []
        self.closed = 0

    async def complete(self, body: Mapping[str, Any]) -> AsyncGenerator[Chunk]:
        self.bodies.append(body)
        answer = self._answers.pop(0)
        try:
            for letter in answer:
                yield Chunk(letter, tokens=(ord(letter),))
            timings = EngineTimings(
                cache_n=3, prompt_n=7, prompt_ms=1.0, predicted_n=len(answer), predicted_ms=5.0
            )
            yield Chunk(finish="stop", timings=timings)
        finally:
            self.closed += 1


def run(engine: Engine, name: str, prompt: Any = "P", **setting: Any) -> list[Chunk]:
    body = {"prompt": prompt, "n_predict": 500, "json_schema": {}}
    parser = make_parser(name, Setting(**setting))

    async def collect() -> list[Chunk]:
        client = cast("RunnerClient", engine)
        async with aclosing(form_after_thinking(client, body, parser)) as chunks:
            return [chunk async for chunk in chunks]

    return asyncio.run(collect())


CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("lfm2-thinking", "<think>Why?</think>\n\nIt is", "<think>Why?</think>\n\n", {}),
    ("qwen3-thinking", "Why?</think>It is", "Why?</think>", {}),
    ("gemma4", "It is", "", {}),
    ("cohere", "<|START_RESPONSE|>It is", "<|START_RESPONSE|>", {}),
    (
        "harmony",
        "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>It",
        "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>",
        {},
    ),
    ("ministral", "[[1, 2]]", "", {}),
]


@pytest.mark.parametrize(("name", "free", "ahead", "setting"), CASES)
def test_the_answers_form_begins_with_its_own_text(
    name: str, free: str, ahead: str, setting: dict[str, Any]
) -> None:
    engine = Engine(free, "{}")
    chunks = run(engine, name, **setting)
    assert "".join(chunk.text for chunk in chunks) == ahead + "{}"
    assert not any(chunk.tokens for chunk in chunks)
    first, second = engine.bodies
    assert "json_schema" not in first
    assert (second["prompt"], second["json_schema"]) == ("P" + ahead, {})
    assert 500 - len(ahead) - 2 <= second["n_predict"] <= 500 - len(ahead)
    assert engine.closed == 2
    spent = chunks[-1].timings
    assert spent is not None
    assert spent.predicted_n == 500 - second["n_predict"] + 2


def test_tokens_before_the_prompt_stay_tokens() -> None:
    engine = Engine("<think>W</think>It", "{}")
    run(engine, "lfm2-thinking", [1, 2])
    assert engine.bodies[1]["prompt"] == [1, 2, "<think>W</think>"]


def test_an_answer_without_text_is_left_alone() -> None:
    engine = Engine("<think>Why?")
    chunks = run(engine, "lfm2-thinking")
    assert "".join(chunk.text for chunk in chunks) == "<think>Why?"
    assert chunks[-1].finish == "stop"
    assert len(engine.bodies) == 1


def watched(pieces: Sequence[str]) -> tuple[list[Chunk], bool]:
    """What passes of some pieces, and whether their source was closed."""
    closed = False

    async def source() -> AsyncGenerator[Chunk]:
        nonlocal closed
        try:
            for piece in pieces:
                yield Chunk(piece, tokens=(1,))
        finally:
            closed = True

    async def collect() -> list[Chunk]:
        async with aclosing(without_loops(source())) as chunks:
            return [chunk async for chunk in chunks]

    return asyncio.run(collect()), closed


def test_a_loop_ends_as_if_by_num_predict() -> None:
    chunks, closed = watched(["x", *[" la"] * 100])
    assert closed
    assert len(chunks) == 1 + MAX_REPEATS + 2 + 1
    assert chunks[-1].finish == "length"
    assert chunks[-1].timings is not None
    assert chunks[-1].timings.predicted_n == MAX_REPEATS + 3


@pytest.mark.parametrize("pieces", [["la"] * MAX_REPEATS, ["a", "b"] * 50, [""] * 100])
def test_other_answers_pass(pieces: list[str]) -> None:
    chunks, closed = watched(pieces)
    assert closed
    assert [chunk.text for chunk in chunks] == pieces
