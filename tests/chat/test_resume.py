"""Answers whose engine is killed in their middle: whole, the same, and no token made twice."""

from __future__ import annotations

import asyncio
import random
import signal
from functools import partial
from pathlib import Path

import pytest
from gguf_maker import CHATML, make_successor_model, walk
from media_samples import RED, b64, png
from msgspec import structs
from projector_maker import make_projector
from talking import Told, ask, ask_and_kill, kill, made, model_of, with_pool

from ayllu.chat.request import ChatRequest
from ayllu.chat.resume import visible
from ayllu.runner.pool import Pool
from ayllu.types import Message, Options, ToolPieceEvent

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
        options=structs.replace(GREEDY, num_predict=45),  # then comes a token without a text
    ),
    "shortened": ChatRequest(
        messages=(*[Message(role="user", content="What is an ear? " * 26)] * 20, *USER),
        options=structs.replace(GREEDY, num_ctx=256),
    ),
}


def assert_same(told: Told, whole: Told) -> None:
    """The same text, and the same account of it."""
    assert (told.thinking, told.text) == (whole.thinking, whole.text)
    assert told.done.reason == whole.done.reason
    assert told.done.context == whole.done.context
    assert told.done.truncated == whole.done.truncated
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
        accounts = 0
        for strikes in ([1], [5, 20], [random.Random(name).randrange(2, min(30, count - 5))]):
            told = await ask_and_kill(pool, model, request, strikes)
            assert_same(told, whole)
            assert told.done.timings.eval_count == count
            try:
                again = await made(tmp_path, seconds=3)
            except AssertionError:
                continue  # it was killed once more, with the last token: it gives no account
            accounts += 1
            assert again <= count - sum(told.runs[:-1]), "nothing is made twice"
        assert accounts

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
            told = await ask_and_kill(pool, model, request, [strike])
            assert_same(told, whole)
            assert told.done.timings.eval_count == 200
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


def test_many_answers_at_once_go_on(tmp_path: Path, mini_gguf: Path) -> None:
    model = model_of("m", mini_gguf)

    async def work(pool: Pool) -> None:
        wholes = {name: await ask(pool, model, request) for name, request in REQUESTS.items()}
        for _ in range(20):  # the engine may be done before it is killed
            killing = ask(pool, model, REQUESTS["raw"], strikes=[9, 31])
            others = (ask(pool, model, request) for request in REQUESTS.values())
            told, *rest = await asyncio.gather(killing, *others)
            assert_same(told, wholes["raw"])
            for one, whole in zip(rest, wholes.values(), strict=True):
                assert_same(one, whole)
            if len(told.runs) > 1:
                return
        pytest.fail("it was always killed too late")

    with_pool(tmp_path, work)


def test_a_drafted_answer_goes_on(tmp_path: Path, base_gguf: Path) -> None:
    draft = make_successor_model(tmp_path / "draft.gguf", successor={"x": "q"})
    model = model_of("m", base_gguf, draft=draft)
    request = ChatRequest(raw="a", options=GREEDY)

    async def work(pool: Pool) -> None:
        for strike in (1, 40):
            told = await ask(pool, model, request, strikes=[strike])
            assert told.text == walk(300, "b")
            assert told.done.timings.eval_count == 300
            assert await made(tmp_path) == 300 - sum(told.runs[:-1])

    with_pool(tmp_path, work)


def test_an_answer_that_is_longer_than_the_context_goes_on(tmp_path: Path, base_gguf: Path) -> None:
    options = Options(temperature=0, num_predict=600, num_ctx=256, num_keep=-1)
    request = ChatRequest(raw="a" * 40, options=options, want_context=True)

    async def work(pool: Pool) -> None:
        model = model_of("m", base_gguf)
        for strike in (100, 400):
            told = await ask_and_kill(pool, model, request, [strike])
            assert told.text == walk(600, "b")
            assert await made(tmp_path) == 600 - told.runs[0]
            assert len(told.done.context) == 640
            assert told.done.timings.prompt_eval_count == 40

    with_pool(tmp_path, work)


def test_a_sampled_answer_goes_on_as_another_one(tmp_path: Path, mini_gguf: Path) -> None:
    model = model_of("m", mini_gguf)
    options = Options(temperature=1.5, top_k=0, top_p=1.0)
    for_chat = ChatRequest(messages=USER, options=options)

    async def work(pool: Pool) -> None:
        for request in (for_chat, ChatRequest(raw=RAW, options=options)):
            for strike in (1, 10):
                told = await ask(pool, model, request, strikes=[strike])
                assert told.done.timings.eval_count >= sum(told.runs)

    with_pool(tmp_path, work)


@pytest.mark.parametrize("template", [None, CHAT])
def test_a_formed_answer_is_made_again_and_matched(
    tmp_path: Path, mini_gguf: Path, template: str | None
) -> None:
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    request = ChatRequest(
        messages=USER, options=GREEDY, format=schema, think=False, template=template
    )
    model = model_of("m", mini_gguf)

    async def work(pool: Pool) -> None:
        whole = await ask(pool, model, request)
        for strike in (1, 8):
            assert_same(await ask(pool, model, request, strikes=[strike]), whole)

    with_pool(tmp_path, work)


def test_calls_of_tools_are_made_again_and_matched(tmp_path: Path, tool_gguf: Path) -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
    request = ChatRequest(messages=USER, options=GREEDY, tools=(tool,), detailed=True)
    model = model_of("m", tool_gguf)

    async def work(pool: Pool) -> None:
        whole = await ask(pool, model, request)
        for strike in (2, 6):
            told = await ask(pool, model, request, strikes=[strike])
            assert_same(told, whole)
            assert pieces(told) == pieces(whole)

    with_pool(tmp_path, work)


def pieces(told: Told) -> tuple[str, str]:
    """The name and the arguments of a tool's call that came in pieces."""
    found = [event for event in told.events if isinstance(event, ToolPieceEvent)]
    return "".join(one.name for one in found), "".join(one.arguments for one in found)


def test_an_answer_about_an_image_goes_on(tmp_path: Path) -> None:
    gguf = make_successor_model(
        tmp_path / "m.gguf", chat_template=CHATML, context=2048, perceives=True
    )
    model = model_of("m", gguf, sees=make_projector(tmp_path / "both.gguf"))
    image = Message(role="user", content="what?", images=(b64(png(64, 64, RED)),))

    async def work(pool: Pool) -> None:
        for template in (None, CHAT):
            options = structs.replace(GREEDY, num_predict=600)
            request = ChatRequest(messages=(image,), options=options, template=template)
            whole = await ask(pool, model, request)
            assert set(whole.text) == {"R"}
            told = await ask_and_kill(pool, model, request, [9])
            assert_same(told, whole)
            if template is None:  # the other one is so short that its last token may be too late
                assert await made(tmp_path) == whole.done.timings.eval_count - told.runs[0]

    with_pool(tmp_path, work)


def test_an_engine_that_freezes_is_replaced_and_the_answer_goes_on(
    tmp_path: Path, endless_gguf: Path
) -> None:
    model = model_of("m", endless_gguf)  # a short answer may have ended before it is struck
    long = Options(temperature=0, num_predict=2000, num_ctx=8192)
    request = ChatRequest(raw=RAW, options=long)

    async def work(pool: Pool) -> None:
        whole = await ask(pool, model, request)
        told = await ask(pool, model, request, strikes=[7], strike=partial(kill, signal.SIGSTOP))
        assert_same(told, whole)
        assert len(told.runs) == 2, "it froze too late"

    with_pool(tmp_path, work, token_timeout="2s")


@pytest.mark.parametrize(
    ("answer", "keep", "left"),
    [
        ([], 2, [1, 2, 3, 4]),
        ([5, 6], 2, [1, 2, 3, 4, 5, 6]),
        ([5, 6, 7, 8], 2, [1, 2, 5, 6, 7, 8]),
        ([5, 6, 7, 8], 99, [1, 2, 3, 4, 6, 7, 8]),
    ],
)
def test_a_full_context_keeps_its_start_and_its_end(
    answer: list[int], keep: int, left: list[int]
) -> None:
    assert visible([1, 2, 3, 4], answer, keep=keep, context=8) == left
