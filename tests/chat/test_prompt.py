from __future__ import annotations

from typing import Any

import pytest

from ayllu.chat.prompt import chat_body, completion_body, drop_oldest, droppable, render_prompt
from ayllu.chat.request import ChatRequest
from ayllu.types import Message, Options, ToolCall, ToolFunction

USER = Message(role="user", content="hi")


def body(request: ChatRequest, messages: list[Message], *, thinks: bool = True) -> dict[str, Any]:
    return chat_body(request, messages, Options(), thinks=thinks, context=10, seed=1)


@pytest.mark.parametrize(
    ("request_", "field", "value"),
    [
        (ChatRequest(format="json"), "response_format", {"type": "json_object"}),
        (
            ChatRequest(format={"type": "object"}),
            "response_format",
            {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
        ),
        (ChatRequest(think=False), "chat_template_kwargs", {"enable_thinking": False}),
        (ChatRequest(think=True), "chat_template_kwargs", {"enable_thinking": True}),
        (ChatRequest(think="high"), "reasoning_effort", "high"),
        (ChatRequest(logprobs=True), "top_logprobs", 1),
        (ChatRequest(logprobs=True, top_logprobs=5), "top_logprobs", 5),
        (ChatRequest(tools=({"type": "function"},)), "tools", [{"type": "function"}]),
        (ChatRequest(tools=({},), tool_choice="required"), "tool_choice", "required"),
        (ChatRequest(tools=({},), parallel_tool_calls=False), "parallel_tool_calls", False),
        (ChatRequest(think=True, think_budget=9), "reasoning_budget_tokens", 9),
    ],
)
def test_a_request_becomes_a_chat_body(request_: ChatRequest, field: str, value: Any) -> None:
    assert body(request_, [USER])[field] == value


def test_a_model_that_cannot_think_is_not_told_to() -> None:
    assert "chat_template_kwargs" not in body(ChatRequest(think=True), [USER], thinks=False)


def test_an_answer_that_was_begun_is_gone_on_with() -> None:
    begun = body(ChatRequest(), [USER, Message(role="assistant", content="a")])
    assert (begun["continue_final_message"], begun["add_generation_prompt"]) == (True, False)
    assert "continue_final_message" not in body(ChatRequest(), [USER])


def test_messages_take_openais_form() -> None:
    call = ToolCall(ToolFunction("add", {"a": 1}), "c1")
    messages = [
        Message(role="user", content="look", images=("AAAA",)),
        Message(role="assistant", thinking="hm", tool_calls=(call,)),
        Message(role="tool", content="2", tool_name="add", tool_call_id="c1"),
    ]
    user, assistant, tool = body(ChatRequest(), messages)["messages"]
    assert [part["type"] for part in user["content"]] == ["image_url", "text"]
    assert assistant["reasoning_content"] == "hm"
    assert assistant["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a":1}'}
    assert (tool["name"], tool["tool_call_id"]) == ("add", "c1")


@pytest.mark.parametrize(
    ("format_", "schema"), [("json", {}), ({"type": "array"}, {"type": "array"})]
)
def test_a_rendered_prompt_is_constrained_by_a_schema(format_: Any, schema: Any) -> None:
    request = ChatRequest(format=format_)
    assert completion_body(request, "p", Options(), context=10, seed=1)["json_schema"] == schema


def test_a_model_without_a_template_goes_on_with_the_text() -> None:
    assert render_prompt(ChatRequest(), [USER], "{{ .Prompt }}") == "hi"


def test_the_oldest_messages_go_first_and_the_system_stays() -> None:
    turns = [Message(role="system", content="s")] + [
        Message(role="user", content=str(n)) for n in range(4)
    ]
    assert droppable(turns) == 3
    assert [m.content for m in drop_oldest(turns, 2)] == ["s", "2", "3"]
    assert [m.content for m in drop_oldest(turns, 99)] == ["s", "3"]
