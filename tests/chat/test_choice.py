"""`tool_choice` in every form, and what it makes of a request."""

from __future__ import annotations

from typing import Any

import pytest

from ayllu.chat.choice import (
    call_schema,
    call_start,
    is_forced,
    jinja_call_tag,
    settle,
    with_line_end,
)
from ayllu.chat.request import ChatRequest
from ayllu.errors import BadRequestError
from ayllu.types import Options

ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
SUB = {"type": "function", "function": {"name": "sub"}}


def named(name: str) -> Any:
    return {"type": "function", "function": {"name": name}}


@pytest.mark.parametrize(
    ("choice", "names", "forced"),
    [
        (None, ["add", "sub"], False),
        ("auto", ["add", "sub"], False),
        ("none", [], False),
        ("required", ["add", "sub"], True),
        (named("sub"), ["sub"], True),
    ],
)
def test_a_choice_leaves_the_tools_that_count(choice: Any, names: list[str], forced: bool) -> None:
    settled = settle(ChatRequest(tools=(ADD, SUB), tool_choice=choice, format="json"))
    assert [tool["function"]["name"] for tool in settled.tools] == names
    assert is_forced(settled) is forced
    assert settled.format == (None if forced else "json")


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ("maybe", "tool_choice must be"),
        (5, "tool_choice must be"),
        (["auto"], "tool_choice must be"),
        (named("mul"), "names 'mul'"),
        ({"type": "function"}, "no function with a name"),
        ({"function": {"name": []}}, "no function with a name"),
        ({"function": {"name": 5}}, "none of the tools"),
    ],
)
def test_a_choice_that_there_is_not_is_refused(choice: Any, words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        settle(ChatRequest(tools=(ADD,), tool_choice=choice))


def test_constraints_that_exclude_each_other_are_refused() -> None:
    options = Options(grammar='root ::= "a"')
    for more in ({"tools": (ADD,)}, {"format": "json"}):
        with pytest.raises(BadRequestError, match="a grammar cannot be"):
            settle(ChatRequest(options=options, **more))
    with pytest.raises(BadRequestError, match="needs tools"):
        settle(ChatRequest(tool_choice="required"))
    assert settle(ChatRequest(options=options, tools=(ADD,), tool_choice="none")).tools == ()


def test_a_call_is_held_to_one_of_the_tools() -> None:
    first, second = call_schema([ADD, SUB])["anyOf"]
    assert first["properties"] == {"name": {"const": "add"}, "arguments": {"type": "object"}}
    assert second["properties"]["arguments"] == {"type": "object"}
    assert first["required"] == ["name", "arguments"]


def test_a_line_break_may_follow_json() -> None:
    made = 'a ::= "x"\nroot ::= a | b\nroot-1 ::= a'
    assert with_line_end(made) == 'a ::= "x"\nroot ::= (a | b) "\\n"?\nroot-1 ::= a'


def test_a_prompt_ends_with_what_stands_before_a_call() -> None:
    tags = ("<think>", "</think>")
    assert call_start("hello\n", tags, "<call>") == "<call>\n"
    assert call_start("hello\n", None, "{") == ""
    assert call_start("hello\n<think>\n", tags, "<call>") == "\n</think>\n\n<call>\n"
    assert call_start("hello\n<think>\n", None, "<call>") == "<call>\n"


@pytest.mark.parametrize(
    ("jinja", "tag"),
    [
        ('{{- \'\\n<tool_call>\\n{"name": "\' }}{{ call.name }}', "<tool_call>"),
        ('<tool_call>\n{ "name": {{ name }}, ', "<tool_call>"),
        ('{{ "<tool_call>{\\"name\\": " }}', "<tool_call>"),
        ("{{ '<tool_call>\\n<function=' + call.name + '>' }}", None),
        ("{{ '<tool_call>' + call.name + '<arg_key>' }}", None),
        ("{{ message.content }}", None),
    ],
)
def test_a_jinja_template_tells_what_stands_before_its_calls(jinja: str, tag: str | None) -> None:
    assert jinja_call_tag(jinja) == tag
