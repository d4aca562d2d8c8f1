"""The data that mini is trained on: reproducible, held out where it should be, in its language."""

from __future__ import annotations

import hashlib
import json
import random
from itertools import islice

import pytest
from mini import facts
from mini.case import Case, Language, is_held_out
from mini.evaluate import SCORES, held_out, language_of
from mini.mix import FIRST, case, texts, trained
from mini.render import render
from mini.sums import spell

KINDS = sorted({score.kind for score in SCORES.values()} - {"known"})


def cases(kind: str, count: int = 200) -> list[Case]:
    rng = random.Random(kind)
    languages: tuple[Language, Language] = ("en", "es")
    return [case(rng, languages[n % 2], kind) for n in range(count)]


def test_the_same_seed_gives_the_same_texts() -> None:
    first, again, other = (
        hashlib.sha256("\0".join(islice(texts(seed, 500, FIRST), 500)).encode()).hexdigest()
        for seed in (5, 5, 6)
    )
    assert first == again != other


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_evaluated_is_never_trained_on(kind: str) -> None:
    asked = held_out(kind, 60, 1)
    assert len({item.question + item.system + str(item.tools) for item in asked}) == 60
    assert all(is_held_out(item) for item in asked)
    rng = random.Random(2)
    assert not any(is_held_out(trained(rng, "es", kind)) for _ in range(200))


def test_numbers_in_words() -> None:
    assert [spell(n, "en") for n in (-3, 0, 20, 21, 40)] == [
        "minus three",
        "zero",
        "twenty",
        "twenty-one",
        "forty",
    ]
    assert [spell(n, "es") for n in (-3, 22, 31, 40)] == [
        "menos tres",
        "veintidós",
        "treinta y uno",
        "cuarenta",
    ]
    for language in ("en", "es"):
        assert len({spell(n, language) for n in range(-20, 41)}) == 61


def test_sums_are_true() -> None:
    signs = {"+": 1, "-": -1}
    for item in cases("sums"):
        first, sign, second, _, result = (
            item.thought.split(": ")[1].rstrip(".").split(",")[0].split()
        )
        assert int(first) + signs[sign] * int(second) == int(result)


def test_calls_fit_their_functions() -> None:
    types = {"string": str, "integer": int, "number": int | float}
    for item in cases("call"):
        if not item.calls:
            assert item.follow_up
            continue
        offered = {tool["function"]["name"]: tool["function"]["parameters"] for tool in item.tools}
        call = item.calls[0]
        properties = offered[call["name"]]["properties"]
        assert set(call["arguments"]) == set(properties) == set(offered[call["name"]]["required"])
        for name, value in call["arguments"].items():
            assert isinstance(value, types[properties[name]["type"]])
            assert str(value) in item.question


def test_json_answers_are_json() -> None:
    for item in cases("json"):
        assert isinstance(json.loads(item.answer), dict)


@pytest.mark.parametrize("language", ["en", "es"])
def test_answers_are_in_the_language_of_the_question(language: Language) -> None:
    rng = random.Random(8)
    answers = [facts.fact(rng, language)[1] for _ in range(300)]
    told = [language_of(answer) for answer in answers]
    assert all(found in {language, None} for found in told)
    assert told.count(language) > 280


def test_a_prompt_ends_where_the_answer_begins() -> None:
    for item in cases("plain", 20):
        whole = render([*item.prompt(), item.reply(think=False)])
        assert whole.startswith(render(item.prompt(), think=False))
        thought = render([*item.prompt(), item.reply(think=True)])
        assert thought.startswith(render(item.prompt(), think=True))
        assert f"<think>\n{item.thought}\n</think>\n\n{item.answer}<|im_end|>" in thought
