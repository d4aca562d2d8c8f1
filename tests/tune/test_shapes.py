"""Rows of every shape, what each becomes, and what is said of those that are wrong."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_json import containers, scalars, words

from ayllu.tune.rows import Chat, RowError, Text
from ayllu.tune.shapes import SHAPES, explain, read_row
from ayllu.types import Message, ToolCall, ToolFunction

ASKED = Message(role="user", content="How many?")
SAID = Message(role="assistant", content="Four.")
SYSTEM = Message(role="system", content="Be brief.")
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
CALL = ToolCall(id="c1", function=ToolFunction("add", {"a": 2}))


def turn(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def calling(arguments: Any) -> dict[str, Any]:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": arguments}}
    return turn("assistant", None, tool_calls=[call])


PAIR = [turn("user", "How many?"), turn("assistant", "Four.")]
SHARED = [{"from": "human", "value": "How many?"}, {"from": "gpt", "value": "Four."}]


@pytest.mark.parametrize(
    ("row", "shape", "messages"),
    [
        ({"messages": PAIR}, "messages", (ASKED, SAID)),
        ({"Messages": PAIR, "text": "rendered"}, "messages", (ASKED, SAID)),
        (
            {"messages": [turn("developer", "Be brief."), *PAIR]},
            "messages",
            (SYSTEM, ASKED, SAID),
        ),
        (
            {"messages": [turn("user", [{"type": "text", "text": "How many?"}]), PAIR[1]]},
            "messages",
            (ASKED, SAID),
        ),
        ({"conversations": SHARED}, "conversations", (ASKED, SAID)),
        ({"conversations": SHARED, "system": "Be brief."}, "conversations", (SYSTEM, ASKED, SAID)),
        ({"conversations": PAIR}, "conversations", (ASKED, SAID)),
        ({"prompt": "How many?", "completion": "Four."}, "prompt/completion", (ASKED, SAID)),
        ({"prompt": PAIR[:1], "completion": PAIR[1:]}, "prompt/completion", (ASKED, SAID)),
        ({"prompt": "How many?", "response": "Four."}, "prompt/completion", (ASKED, SAID)),
        ({"instruction": "How many?", "output": "Four."}, "instruction/output", (ASKED, SAID)),
        (
            {"instruction": "How", "input": "many?", "output": "Four."},
            "instruction/output",
            (Message(role="user", content="How\n\nmany?"), SAID),
        ),
        (
            {"instruction": "How many?", "input": "", "output": "Four.", "system": "Be brief."},
            "instruction/output",
            (SYSTEM, ASKED, SAID),
        ),
        (
            {"instruction": "How", "context": "many?", "response": "Four."},
            "instruction/output",
            (Message(role="user", content="How\n\nmany?"), SAID),
        ),
        ({"question": "How many?", "answer": "Four."}, "question/answer", (ASKED, SAID)),
    ],
)
def test_a_row_becomes_a_conversation(
    row: dict[str, Any], shape: str, messages: tuple[Message, ...]
) -> None:
    name, example = read_row(row)
    assert name == shape
    assert isinstance(example, Chat)
    assert example.messages == messages
    assert example.learned == (len(messages) - 1,)


def test_a_text_is_learned_as_it_is() -> None:
    assert read_row({"text": " Once\n", "id": 3}) == ("text", Text(" Once\n"))


@pytest.mark.parametrize("arguments", ['{"a": 2}', {"a": 2}])
@pytest.mark.parametrize(
    "tools", [[TOOL], [TOOL["function"]], '[{"name": "add", "parameters": {"type": "object"}}]']
)
def test_calls_and_their_answers_are_read(arguments: Any, tools: Any) -> None:
    answer = turn("tool", "4", tool_call_id="c1")
    row = {"messages": [PAIR[0], calling(arguments), answer, PAIR[1]], "tools": tools}
    _, example = read_row(row)
    assert isinstance(example, Chat)
    assert example.messages[1].tool_calls == (CALL,)
    assert example.messages[2] == Message(
        role="tool", content="4", tool_name="add", tool_call_id="c1"
    )
    assert example.learned == (1, 3)
    assert example.tools == (TOOL,)


def test_calls_in_sharegpts_words_are_read() -> None:
    call = {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 2}}'}
    seen = {"from": "observation", "value": "4"}
    _, example = read_row({"conversations": [SHARED[0], call, seen, SHARED[1]]})
    assert isinstance(example, Chat)
    assert [m.role for m in example.messages] == ["user", "assistant", "tool", "assistant"]
    assert example.messages[1].tool_calls == (ToolCall(CALL.function),)


def test_thoughts_are_read() -> None:
    for name in ("reasoning_content", "reasoning", "thinking"):
        _, example = read_row({"messages": [PAIR[0], PAIR[1] | {name: "Count."}]})
        assert isinstance(example, Chat)
        assert example.messages[1].thinking == "Count."


def test_only_what_is_to_be_learned_counts() -> None:
    more = [*PAIR, turn("user", "Sure?"), turn("assistant", "Yes.")]
    ignored = [more[0], more[1] | {"weight": 0}, *more[2:]]
    first_ends = [*more[:3], more[3] | {"weight": 0}]
    for row, learned, count in (
        ({"messages": more}, (1, 3), 4),
        ({"messages": ignored}, (3,), 4),
        ({"messages": first_ends}, (1,), 2),
        ({"messages": ignored, "system": "Be brief."}, (4,), 5),
        ({"prompt": more[:3], "completion": more[3:]}, (3,), 4),
        ({"messages": [turn("assistant", "Hello!"), *PAIR]}, (2,), 3),
    ):
        _, example = read_row(row)
        assert isinstance(example, Chat)
        assert (example.learned, len(example.messages)) == (learned, count)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([1], "no object"),
        ({"a": 1, "b": 2}, r"its fields \(a, b\) are of no known shape: there are `messages`"),
        ({}, "its fields (none)"),
        ({"messages": []}, "the list of messages is empty"),
        ({"messages": "[{]"}, "messages is text, but not JSON"),
        ({"messages": {"role": "user"}}, "messages is no list"),
        ({"messages": [1]}, "message 1 is no object"),
        ({"messages": [turn("alien", "x")]}, "message 1 has the unknown role 'alien'"),
        ({"messages": [{"content": "x"}]}, "message 1 has the unknown role None"),
        ({"messages": [turn("user", 3.5), turn("assistant", {})]}, "content of message 2 is no"),
        (
            {"messages": [turn("user", [{"type": "image_url"}]), PAIR[1]]},
            "message 1 has a part of type 'image_url': only texts",
        ),
        ({"messages": PAIR[:1]}, "no message of the assistant, so there is nothing to learn"),
        ({"messages": PAIR[1:]}, "says nothing after the user's first message"),
        ({"messages": [*PAIR, PAIR[1]]}, "messages 2 and 3 follow one another"),
        ({"messages": [PAIR[0], turn("assistant", " ")]}, "message 2, the assistant's, is empty"),
        ({"messages": [PAIR[0], PAIR[1] | {"weight": 0}]}, "marked as not to be learned"),
        ({"messages": [PAIR[0], calling("[1]")]}, "arguments is not a JSON object"),
        (
            {"messages": [PAIR[0], turn("assistant", "", tool_calls=[{"function": {}}])]},
            "a call of message 2 has no name",
        ),
        ({"messages": PAIR, "tools": [{"type": "function"}]}, "tools\\[0\\] has no function"),
        ({"messages": PAIR, "tools": "nothing"}, "tools is text, but not JSON"),
        ({"question": "", "answer": "x"}, "its question is empty"),
        ({"question": "x", "answer": ""}, "message 2, the assistant's, is empty"),
        ({"instruction": None, "output": "x"}, "of no known shape"),
        ({"prompt": "x", "completion": "half \ud83d"}, "half a character"),
        ({"text": " \n"}, "its text is empty"),
        ({"text": ["a"]}, "text is no text"),
    ],
)
def test_a_bad_row_says_what_is_wrong(row: Any, reason: str) -> None:
    with pytest.raises(RowError, match=reason.replace("(none)", r"\(none\)")):
        read_row(row)


json_values = st.recursive(scalars(), lambda inner: containers(inner, words(4)), max_leaves=8)
FIELDS = st.sampled_from(
    ["messages", "conversations", "prompt", "completion", "text", "tools", "system", "weight"]
)
TURNS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "role": st.sampled_from(["user", "assistant", "tool", "function_call", "x"]),
            "content": json_values,
            "tool_calls": json_values,
            "function_call": json_values,
            "reasoning": json_values,
        },
    )
)


@given(json_values | st.dictionaries(FIELDS, json_values | TURNS))
def test_any_json_is_an_example_or_has_a_reason(row: Any) -> None:
    with suppress(RowError):
        _, example = read_row(row)
        assert not isinstance(example, Chat) or example.messages[example.learned[-1]]


def test_shapes_are_explained() -> None:
    told = explain({"messages": 1200, "document": 1})
    assert told.startswith("1,200 of `messages` (conversations as OpenAI has them")
    assert "1 of `document` (documents" in told
    assert all(shape.meaning for shape in SHAPES.values())
