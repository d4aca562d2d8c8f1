"""The record of an answer: small, carried as bytes, and enough to go on somewhere else."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from talking import Told, ask, model_of, with_pool

from ayllu.chat.request import ChatRequest
from ayllu.chat.said import Item, Said, Step, joined
from ayllu.errors import BadRequestError
from ayllu.runner.pool import Pool
from ayllu.types import Message, Options, TextEvent

GREEDY = Options(temperature=0, num_predict=100)
USER = (Message(role="user", content="Tell me a story"),)
SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}

REQUESTS = {
    "thinking": ChatRequest(messages=USER, options=GREEDY),
    "raw": ChatRequest(raw="Once upon a time", options=GREEDY, logprobs=True, detailed=True),
    "formed": ChatRequest(messages=USER, options=GREEDY, format=SCHEMA),
}


def carried(items: list[Item]) -> Said:
    """A record as another machine puts it together."""
    said = None
    for item in items:
        said = joined(said, msgspec.msgpack.decode(msgspec.msgpack.encode(item), type=Item))
    assert said is not None
    return said


@pytest.mark.parametrize("name", REQUESTS)
def test_an_answer_goes_on_on_another_machine(tmp_path: Path, mini_gguf: Path, name: str) -> None:
    request, model = REQUESTS[name], model_of("m", mini_gguf)

    async def first(pool: Pool) -> None:
        wholes.append(await ask(pool, model, request))

    async def second(pool: Pool) -> None:
        (whole,) = wholes
        for place in (2, 12, len(whole.items)):
            items = whole.items[:place]
            told = await ask(pool, model, request, said=carried(items))
            anew = await ask(pool, model, request, said=carried(items), again=True)
            assert (anew.thinking, anew.text) == (whole.thinking, whole.text)
            assert [one.token for one in anew.logprobs] == [one.token for one in whole.logprobs]
            assert len(told.thinking + told.text) < len(whole.thinking + whole.text)
            assert (whole.thinking + whole.text).endswith(told.thinking + told.text)
            for one in (told, anew):
                assert one.done.reason == whole.done.reason
                assert one.done.timings.eval_count == whole.done.timings.eval_count
                assert one.done.timings.prompt_eval_count == whole.done.timings.prompt_eval_count
                assert carried([*items, *one.items]).text == carried(whole.items).text

    wholes: list[Told] = []
    with_pool(tmp_path / "one", first)
    with_pool(tmp_path / "other", second)


def test_a_record_begins_with_its_head_and_takes_a_later_one() -> None:
    with pytest.raises(ValueError, match="no head"):
        joined(None, Step("a", 1))
    said = carried([Said(seed=1), Step("a", 1), TextEvent("b"), Said(seed=1, replays=1), Step("c")])
    assert said == Said(seed=1, replays=1, steps=[Step("a", 1), Step("c")], sent=[TextEvent("b")])
    assert said.text == "ac"


def test_tokens_that_a_model_does_not_have_are_refused(tmp_path: Path, mini_gguf: Path) -> None:
    model, request = model_of("m", mini_gguf), REQUESTS["raw"]

    async def work(pool: Pool) -> None:
        for said in (
            Said(seed=1, prompt="a", steps=[Step("a", 10**6)]),
            Said(seed=1, prompt=(-5,), steps=[Step("a", 5)]),
        ):
            with pytest.raises(BadRequestError, match="vocabulary"):
                await ask(pool, model, request, said=said)

    with_pool(tmp_path, work)


@pytest.mark.parametrize("data", [{"seed": -1}, {"seed": 1 << 31}, {"seed": 1, "truncated": -1}])
def test_a_record_that_no_engine_could_have_made_is_refused(data: dict[str, int]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode({"type": "Said", **data}), type=Item)
