"""Anthropic's blocks become messages; what cannot be seen from outside is tested here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ayllu.chat.placing import PLACE
from ayllu.models.model import Model
from ayllu.models.name import parse_name
from ayllu.server.anthropic_fields import read_options, read_prompt
from ayllu.server.wire import decode
from ayllu.server.wire_anthropic import MessagesRequest
from ayllu.types import Message, ToolCall, ToolFunction

MODEL = Model(
    name=parse_name("m"), digest="", path=Path("m.gguf"), system="own", params={"stop": ["</s>"]}
)
TEXT = {"type": "text", "text": "see"}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
CALL = {"type": "tool_use", "id": "t1", "name": "look", "input": {"b": 1, "a": 2}}


def body(**fields: Any) -> MessagesRequest:
    turns = [{"role": "user", "content": "hi"}]
    return decode(
        json.dumps({"messages": turns, "max_tokens": 9} | fields).encode(), MessagesRequest
    )


def turns(*messages: Any) -> tuple[Message, ...]:
    return read_prompt(body(system="s", messages=messages), MODEL, thinks=True).messages[1:]


def test_a_tools_answer_may_hold_images_and_comes_before_what_the_user_says() -> None:
    answer = {"type": "tool_result", "tool_use_id": "t1", "content": [IMAGE, {**TEXT, "text": "3"}]}
    assert turns(
        {"role": "assistant", "content": [TEXT, CALL]},
        {"role": "user", "content": [TEXT, IMAGE, answer]},
    ) == (
        Message(
            role="assistant",
            content="see",
            tool_calls=(ToolCall(ToolFunction("look", {"b": 1, "a": 2}), "t1"),),
        ),
        Message(
            role="tool", content=f"{PLACE}3", images=("AAAA",), tool_name="look", tool_call_id="t1"
        ),
        Message(role="user", content=f"see{PLACE}", images=("AAAA",)),
    )


def test_what_only_anthropic_can_read_is_left_out() -> None:
    blocks = [
        {"type": "redacted_thinking", "data": "x"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        TEXT,
    ]
    assert turns({"role": "assistant", "content": blocks}) == (
        Message(role="assistant", content="see"),
    )


def test_the_models_system_prompt_gives_way_to_the_requests() -> None:
    assert read_prompt(body(), MODEL, thinks=True).messages[0].content == "own"
    assert read_prompt(body(system="s"), MODEL, thinks=True).messages[0].content == "s"


@pytest.mark.parametrize(
    ("thinking", "effort", "think"),
    [
        (None, None, False),
        (None, "high", False),
        ({"type": "disabled"}, None, False),
        ({"type": "adaptive"}, None, True),
        ({"type": "enabled", "budget_tokens": 2000}, None, True),
        ({"type": "adaptive"}, "low", "low"),
        ({"type": "adaptive"}, "xhigh", "high"),
        ({"type": "adaptive"}, "max", "max"),
    ],
)
def test_effort_counts_where_thinking_was_asked_for(
    thinking: Any, effort: str | None, think: Any
) -> None:
    request = body(thinking=thinking, output_config={"effort": effort})
    assert read_prompt(request, MODEL, thinks=True).think == think
    assert read_prompt(request, MODEL, thinks=False).think is None


def test_the_models_own_stop_words_stay_in_force() -> None:
    assert read_options(body(), MODEL).stop is None
    assert read_options(body(stop_sequences=["x"]), MODEL).stop == ("</s>", "x")
