from __future__ import annotations

import json

import pytest
from chat.parsers.reading import call, check_cuts, check_noise, check_plain, read, say, think

ADD = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2.5}}\n</tool_call>'
NESTED = {"items": [1, {"k": ["</tool_call>", '"', "\\"]}], "data": {"ñ": "日本 🦙", "none": None}}
SAVE = json.dumps({"name": "save", "arguments": NESTED}, ensure_ascii=False)

CASES = [
    ("Good day!\n", [say("Good day!\n")]),
    (ADD, [call("add", a=1, b=2.5)]),
    (f"Let me see.\n\n{ADD}", [say("Let me see."), call("add", a=1, b=2.5)]),
    (f"{ADD}\n{ADD}", [call("add", a=1, b=2.5)] * 2),
    (f"{ADD}\nDone.", [call("add", a=1, b=2.5), say("Done.")]),
    (f"<tool_call>{SAVE}</tool_call>", [call("save", **NESTED)]),
    ('<tool_call>{"name": "add"}</tool_call>', [call("add")]),
    ('<tool_call>{"name": "unknown", "arguments": {}}</tool_call>', [call("unknown")]),
    ('<tool_call>{"name": "add", "arguments": "{\\"a\\": 1}"}</tool_call>', [call("add", a=1)]),
    ('<tool_call>{"name":"f","arguments":{"a":"x\ny"}}</tool_call>', [call("f", a="x\ny")]),
    (
        '<tool_call>[{"name": "add"}, {"name": "save"}]</tool_call>',
        [call("add"), call("save")],
    ),
    ('<tool_call>\n{"name": "add", "arguments": {"a": 1}}', [call("add", a=1)]),
]
BROKEN = [
    "<tool_call>\n{broken}\n</tool_call> and more",
    'So: \n<tool_call>{"name": "add", "arguments": {"a": 1}</tool_call>',
    '<tool_call>{"name": "add", "arguments": {"a": "no end}}</tool_call> and more',
    '<tool_call>{"name": "add", "argum',
    '<tool_call>{"name": 7}</tool_call>',
    "<tool_call>[]</tool_call>",
    '<tool_call>{"name": "add", "arguments": 5}</tool_call>',
    '<tool_call>{"name": "add", "arguments": {"a": NaN}}</tool_call>',
    '<tool_call>{"name": "add", "arguments": {"a": "\\ud800"}}</tool_call>',
    "a <tool_cal",
    "1 < 2 <tool",
]


def test_calls_come_apart_from_the_answer() -> None:
    check_cuts("qwen3", CASES)


def test_broken_calls_stay_text() -> None:
    check_cuts("qwen3", [(text, [say(text)]) for text in BROKEN])


def test_without_tools_tags_are_text() -> None:
    check_cuts("qwen3", [(ADD, [say(ADD)])], tools=())
    assert read("qwen3", [ADD], tools=({"type": "function"},)) == [say(ADD)]


def test_hostile_nesting_is_text() -> None:
    text = '<tool_call>{"name": "f", "arguments": ' + '{"a":' * 5_000 + "</tool_call>"
    assert read("qwen3", [text]) == [say(text)]


@pytest.mark.parametrize("name", ["qwen3-thinking", "qwen3-vl-thinking"])
def test_thinking_comes_first_and_its_opening_tag_is_not_needed(name: str) -> None:
    answer = [think("Why? <b>"), say("Because."), call("add", a=1, b=2.5)]
    check_cuts(
        name,
        [
            (f"\nWhy? <b>\n</think>\n\nBecause.\n{ADD}", answer),
            (f"<think>\nWhy? <b>\n</think>\n\nBecause.\n{ADD}", answer),
            ("Why? </thin", [think("Why? </thin")]),
            ("</think>Because.", [say("Because.")]),
            (f"So I call {ADD}", [think("So I call"), call("add", a=1, b=2.5)]),
            ("Yes.</think>Yes <think>no</think>", [think("Yes."), say("Yes <think>no</think>")]),
        ],
    )


def test_the_prompt_and_the_request_say_whether_it_thinks() -> None:
    assert read("qwen3-thinking", ["Hi."], prompt="<think>\n\n</think>\n\n") == [say("Hi.")]
    assert read("qwen3-thinking", ["Hi."], think=False) == [say("Hi.")]
    assert read("qwen3-thinking", ["Hi."], prefilled=True) == [say("Hi.")]
    assert read("qwen3-thinking", ["Hi."], think=False, prompt="<think>\n") == [think("Hi.")]


def test_tags_in_any_order_never_raise() -> None:
    check_noise("qwen3")
    check_noise("qwen3-thinking")


def test_plain_text_passes_at_once() -> None:
    check_plain("qwen3")
    check_plain("qwen3-vl-instruct", tools=())
