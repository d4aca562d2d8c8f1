"""Gemma 4 and FunctionGemma."""

from __future__ import annotations

import pytest
from chat.parsers.reading import call, check_cuts, check_noise, check_plain, say, think

ADD = "<|tool_call>call:add{a:1,b:-2.5}<tool_call|>"
GEMMA4 = [
    ("Good day!\n", [say("Good day!\n")]),
    (ADD, [call("add", a=1, b=-2.5)]),
    (
        f"<|channel>thought\nWhy?\n<channel|>So.\n{ADD}{ADD}",
        [think("Why?"), say("So."), *[call("add", a=1, b=-2.5)] * 2],
    ),
    ("<|channel>thought\n<channel|>So.", [say("So.")]),
    (f"{ADD}<|channel>thought\nWhy?<channel|>", [call("add", a=1, b=-2.5), think("Why?")]),
    (
        (
            '<|tool_call>call:save{data:{k:[<|"|>},"日本<tool_call|><|"|>,true,null],'
            '<|"|>x y<|"|>:{}},items:[],note:<|"|><|"|>}<tool_call|>'
        ),
        [
            call(
                "save",
                data={"k": ['},"日本<tool_call|>', True, None], "x y": {}},
                items=[],
                note="",
            )
        ],
    ),
    ("<|tool_call>call:add{}<tool_call|><|tool_response>", [call("add")]),
    (
        "<|tool_call>call:get_weather{city:New York,days:3}<tool_call|>",
        [call("get_weather", city="New York", days=3)],
    ),
    (
        '<|tool_call>call:get_weather{"city": "It\'s\\n", days: 3}<tool_call|>',
        [call("get_weather", city="It's\n", days=3)],
    ),
    (
        '<|tool_call>call:get_weather{city:<|"|>Lima<|"|><tool_call|>',
        [call("get_weather", city="Lima")],
    ),
    ("<|tool_call>call:add{a:1}call:add{a:2}<tool_call|>", [call("add", a=1), call("add", a=2)]),
]
FUNCTIONGEMMA = [
    ("Good day!\n", [say("Good day!\n")]),
    (
        (
            "<start_function_call>call:get_weather{city:<escape>Cusco, {Perú}<escape>,days:2}"
            "<end_function_call><start_function_call>call:add{a:1}<end_function_call>"
            "<start_function_response>"
        ),
        [call("get_weather", city="Cusco, {Perú}", days=2), call("add", a=1)],
    ),
    ("So. <start_function_call>call:add{a:1}", [say("So."), call("add", a=1)]),
]
BROKEN = [
    "<|tool_call>nothing<tool_call|> and more",
    "So: <|tool_call>call:add{a}<tool_call|>",
    "<|tool_call>call:{a:1}<tool_call|>",
    '<|tool_call>call:add{a:<|"|>no end<tool_call|>',
    "<|tool_call>call:add" + "{a:" * 100 + "<tool_call|>",
    "a <|tool_ca",
]


@pytest.mark.parametrize("name", ["gemma4", "gemma4-no-thinking"])
def test_thinking_and_calls_come_apart_from_the_answer(name: str) -> None:
    check_cuts(name, GEMMA4)


def test_functiongemma_has_marks_of_its_own() -> None:
    check_cuts("functiongemma", FUNCTIONGEMMA)


def test_broken_calls_stay_text() -> None:
    check_cuts("gemma4", [(text, [say(text)]) for text in BROKEN])
    text = "<start_function_call>call:add{a:<escape>1<end_function_call>"
    check_cuts("functiongemma", [(text, [say(text)])])


def test_tags_in_any_order_never_raise() -> None:
    check_noise("gemma4", ["call:"])
    check_noise("functiongemma", ["call:"])


def test_plain_text_passes_at_once() -> None:
    check_plain("gemma4")
    check_plain("functiongemma")
