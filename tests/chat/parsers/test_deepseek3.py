# ruff: noqa: RUF001 - the tags have full-width bars
"""DeepSeek R1 to V3.1, and Cogito."""

from __future__ import annotations

import pytest
from chat.parsers.reading import call, check_cuts, check_noise, check_plain, say, think

OPEN, CLOSE = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"


def fenced(name: str, arguments: str) -> str:
    body = f"function<｜tool▁sep｜>{name}\n```json\n{arguments}\n```"
    return f"<｜tool▁call▁begin｜>{body}<｜tool▁call▁end｜>"


def short(name: str, arguments: str) -> str:
    return f"<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{arguments}<｜tool▁call▁end｜>"


CASES = [
    ("Good day!\n", [say("Good day!\n")]),
    (OPEN + fenced("add", '{"a": 1}') + CLOSE, [call("add", a=1)]),
    (
        "<think>\nWhy?\n</think>\n\nSo.\n"
        + OPEN
        + fenced("add", '{"a": 1}')
        + "\n"
        + fenced("save", '{"note": "<｜tool▁call▁end｜>` 日本"}')
        + CLOSE,
        [
            think("Why?"),
            say("So."),
            call("add", a=1),
            call("save", note="<｜tool▁call▁end｜>` 日本"),
        ],
    ),
    (
        OPEN + short("add", '{"a": {"b": [1]}}') + short("add", "{}") + CLOSE,
        [call("add", a={"b": [1]}), call("add")],
    ),
    (OPEN + short("add", '{"a": 1}').removesuffix("<｜tool▁call▁end｜>"), [call("add", a=1)]),
]


@pytest.mark.parametrize("name", ["deepseek3", "cogito"])
def test_thinking_and_calls_come_apart_from_the_answer(name: str) -> None:
    check_cuts(name, CASES)
    inside = [("Why?</think>So.", [think("Why?"), say("So.")])]
    check_cuts(name, inside, prompt="<｜Assistant｜><think>\n")


def test_broken_calls_stay_text() -> None:
    broken = [
        short("add", "no json"),
        "So: " + short("add", '{"a": 1'),
        "<｜tool▁call▁begin｜>add<｜tool▁call▁end｜> and more",
        short("", "{}"),
        "<｜tool▁call",
    ]
    check_cuts("deepseek3", [(text, [say(text)]) for text in broken])


def test_tags_in_any_order_never_raise() -> None:
    check_noise("deepseek3")


def test_plain_text_passes_at_once() -> None:
    check_plain("deepseek3")
