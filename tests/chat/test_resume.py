"""Answers whose engine is killed in their middle: whole, the same, and no token made twice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from gguf_maker import make_successor_model, walk
from talking import Told, ask, made, model_of, with_pool

from ayllu.chat.request import ChatRequest
from ayllu.runner.pool import Pool
from ayllu.types import Message, Options

GREEDY = Options(temperature=0, num_predict=300)
USER = (Message(role="user", content="Tell me a story"),)
CHAT = (
    "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    "<|im_start|>assistant\n"
)
RAW = "<|im_start|>user\nTell me a story<|im_end|>\n<|im_start|>assistant\n"
UNUSUAL = {"c": "éd", "m": "😀n"}
"""Letters of several tokens within the alphabet."""

REQUESTS = {
    "thinking": ChatRequest(messages=USER, options=GREEDY),
    "not thinking": ChatRequest(messages=USER, options=GREEDY, think=False, logprobs=True),
    "template": ChatRequest(messages=USER, options=GREEDY, template=CHAT),
    "raw": ChatRequest(
        raw=RAW,
        options=Options(temperature=0, repeat_penalty=1.1, repeat_last_n=-1),
        logprobs=True,
        want_context=True,
    ),
    "with context": ChatRequest(
        messages=USER, context=(5, 6, 7), options=GREEDY, want_context=True
    ),
    "begun": ChatRequest(
        messages=(*USER, Message(role="assistant", content="Once upon a time there")),
        options=GREEDY,
    ),
}


def assert_same(told: Told, whole: Told) -> None:
    """The same text, and the same account of it."""
    assert (told.thinking, told.text) == (whole.thinking, whole.text)
    assert told.done.reason == whole.done.reason
    assert told.done.context == whole.done.context
    assert told.done.timings.prompt_eval_count == whole.done.timings.prompt_eval_count
    assert [one.token for one in told.logprobs] == [one.token for one in whole.logprobs]


@pytest.mark.parametrize("name", REQUESTS)
def test_an_answer_goes_on_where_its_engine_was_killed(
    tmp_path: Path, mini_gguf: Path, name: str
) -> None:
    request, model = REQUESTS[name], model_of("m", mini_gguf)

    async def work(pool: Pool) -> None:
        whole = await ask(pool, model, request)
        count = whole.done.timings.eval_count
        for strikes in ([1], [5, 20], [random.Random(name).randrange(2, 30)]):
            told = await ask(pool, model, request, strikes=strikes)
            assert_same(told, whole)
            assert len(told.runs) > 1, "it was killed too late"
            assert told.done.timings.eval_count == count
            assert await made(tmp_path) <= count - sum(told.runs[:-1])

    with_pool(tmp_path, work)


def test_what_the_engine_held_back_is_not_lost(tmp_path: Path) -> None:
    """Characters of several tokens, and what may become a stop word."""
    gguf = make_successor_model(tmp_path / "odd.gguf", successor=UNUSUAL)
    model = model_of("m", gguf)
    stop = ("op!", "vwxyz!", "a😀", "é?", "m😀no!")
    options = Options(temperature=0, num_predict=200, stop=stop)
    request = ChatRequest(raw="a", options=options, logprobs=True, want_context=True)

    async def work(pool: Pool) -> None:
        whole = await ask(pool, model, request)
        assert "abcédefghijklm😀nop".removeprefix("a") in whole.text
        for strike in range(1, 30, 5):
            told = await ask(pool, model, request, strikes=[strike])
            assert_same(told, whole)
            assert told.done.timings.eval_count == 200
            assert len(told.runs) == 2, "it was killed too late"
            assert await made(tmp_path) == 200 - told.runs[0]

    with_pool(tmp_path, work)


def test_a_stop_word_is_found_across_the_cut(tmp_path: Path, base_gguf: Path) -> None:
    options = Options(temperature=0, num_predict=400, stop=("xyz abcdefg", "mn!"), num_ctx=512)
    request = ChatRequest(raw="a", options=options, detailed=True)

    async def work(pool: Pool) -> None:
        model = model_of("m", base_gguf)
        for strike in (1, 9, 20, 22):
            told = await ask(pool, model, request, strikes=[strike])
            assert told.text == walk(22, "b")
            assert told.done.stop_word == "xyz abcdefg"

    with_pool(tmp_path, work)
