"""Qwen3-Coder, Qwen3.5, Ornith and Nemotron 3."""

from __future__ import annotations

from typing import Any

import pytest
from chat.parsers.reading import call, check_cuts, check_noise, check_plain, read, say, think, tool

from ayllu.chat.parsers.values import typed


def xml(name: str, **values: str) -> str:
    pairs = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in values.items())
    return f"<tool_call>\n<function={name}>\n{pairs}</function>\n</tool_call>"


CODE = "def f():\n    return '</tool_call>' < 1  # <function=x></function>\n"
CASES = [
    ("Good day!", [say("Good day!")]),
    (xml("add", a="5", b="2.5"), [call("add", a=5, b=2.5)]),
    ("So:\n" + xml("add", b="2.0"), [say("So:"), call("add", b=2)]),
    (
        xml("get_weather", city="Cusco 🦙", days="3", metric="True") + "\n" + xml("add"),
        [call("get_weather", city="Cusco 🦙", days=3, metric=True), call("add")],
    ),
    (
        xml("save", items='[1, {"k": "v"}]', data="{'k': None}", note="null"),
        [call("save", items=[1, {"k": "v"}], data={"k": None}, note=None)],
    ),
    (xml("save", note=CODE), [call("save", note=CODE)]),
    (xml("save", note="a\n\nb"), [call("save", note="a\n\nb")]),
    (xml("unknown", x="5"), [call("unknown", x="5")]),
    (xml("add", a="five"), [call("add", a="five")]),
    (
        "<function=add>\n<parameter=a>\n5\n</parameter>\n</function>\n</tool_call>",
        [call("add", a=5)],
    ),
    (
        "<tool_call><function=add><parameter=a>5<parameter=b>1</function></tool_call>!",
        [call("add", a=5, b=1), say("!")],
    ),
    ("<tool_call><function=add><parameter=a>5</parameter>", [call("add", a=5)]),
    ('<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>', [call("add", a=1)]),
]
BROKEN = [
    "<tool_call>\nnothing\n</tool_call> and more",
    "Well, <tool_call></tool_call>",
    "<tool_call><function=></function></tool_call>",
    "<tool_call><function=add>5</function></tool_call>",
    "<tool_call",
    "<function=ad",
]


def test_calls_come_apart_from_the_answer() -> None:
    check_cuts("qwen3-coder", CASES)


def test_broken_calls_stay_text() -> None:
    check_cuts("qwen3-coder", [(text, [say(text)]) for text in BROKEN])


@pytest.mark.parametrize("name", ["qwen3.5", "ornith", "nemotron-3-nano", "nemotron-3.5-nano"])
def test_thinking_comes_first(name: str) -> None:
    cases = [
        (
            "Why?\n</think>\n\nSo.\n" + xml("add", a="5"),
            [think("Why?"), say("So."), call("add", a=5)],
        ),
        ("Why? " + xml("add", a="5"), [think("Why?"), call("add", a=5)]),
        ("Why? <tool_call>x</tool_call>", [think("Why? <tool_call>x</tool_call>")]),
    ]
    check_cuts(name, cases, prompt="<|im_start|>assistant\n<think>\n")
    own = [("<think>\nWhy?</think>So.", [think("Why?"), say("So.")])]
    check_cuts(name, [*own, *CASES], prompt="<|im_start|>assistant\n")
    assert read(name, ["Hi."], prompt="<think>\n\n</think>\n\n", think=False) == [say("Hi.")]


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("null", {"type": ["string", "null"]}, None),
        ("null", {"type": "string"}, "null"),
        ("true", {"type": ["string", "boolean"]}, True),
        ("5", {"type": ["number", "integer"]}, 5),
        ("5.0", {"type": "number"}, 5),
        ("5.5", {"type": "integer"}, "5.5"),
        ("5", {"anyOf": [{"type": "null"}, {"type": "integer"}]}, 5),
        ("1e999", {"type": "number"}, "1e999"),
        ("9" * 5000, {"type": "integer"}, "9" * 5000),
        ("[1,]", {"type": "array"}, [1]),
        ("[", {"type": "array"}, "["),
        ("{'a': 'it\\'s', 'b': (1, True)}", {"type": "object"}, {"a": "it's", "b": [1, True]}),
        ("[" * 500, {"type": ["array", "string"]}, "[" * 500),
        ("5", {}, "5"),
        ("5", {"type": 7, "anyOf": "x"}, "5"),
    ],
)
def test_values_take_the_first_type_of_their_schema_that_fits(
    text: str, schema: Any, value: Any
) -> None:
    got = typed(text, schema)
    assert (got, type(got)) == (value, type(value))
    tools = (tool("f", x=schema),)
    calls = read("qwen3-coder", [xml("f", x=text)], tools=tools)
    assert calls == [call("f", x=value)]


def test_tags_in_any_order_never_raise() -> None:
    check_noise("qwen3-coder", ["add>", "<parameter=a>", "</parameter>", "<function=add>"])
    check_noise("qwen3.5", ["add>", "a>", "</parameter>"], prompt="<think>")


def test_plain_text_passes_at_once() -> None:
    check_plain("qwen3-coder")
    check_plain("qwen3.5")
