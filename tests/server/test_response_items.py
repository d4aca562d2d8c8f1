"""The items and tools of /v1/responses become messages and tools; nothing runs here."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from ayllu.chat.placing import PLACE
from ayllu.errors import BadRequestError
from ayllu.server.response_items import (
    added_tools,
    read_input,
    read_items,
    references,
    resolve,
    to_store,
)
from ayllu.server.response_tools import choose, read_tools
from ayllu.types import Message, ToolCall, ToolFunction

PIXEL = base64.b64encode(b"\x89PNG").decode()
ADD = {"type": "function", "name": "add", "description": "adds", "parameters": {"type": "object"}}
SHELL = {"type": "custom", "name": "sh", "description": "runs"}


def messages(*items: Any) -> list[Message]:
    return read_items(read_input(list(items)))


def called(name: str, arguments: str = "{}", ident: str = "c1", **more: Any) -> dict[str, Any]:
    return {
        "type": "function_call",
        "call_id": ident,
        "name": name,
        "arguments": arguments,
        **more,
    }


def gave(output: Any, ident: str = "c1") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": ident, "output": output}


def call(name: str, ident: str = "c1", **arguments: Any) -> ToolCall:
    return ToolCall(ToolFunction(name, arguments), ident)


def test_a_text_is_what_the_user_says() -> None:
    assert read_items(read_input("hi")) == [Message(role="user", content="hi")]
    assert read_items(read_input("")) == [Message(role="user")]
    assert read_input(None) == []


def test_messages_have_texts_and_images() -> None:
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}
    said = {"type": "output_text", "text": "yes", "annotations": []}
    assert messages(
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "input_text", "text": "see"}, image]},
        {"type": "message", "role": "assistant", "content": [said], "id": "m", "status": None},
        {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"role": "user", "content": "b"},
    ) == [
        Message(role="system", content="be brief"),
        Message(role="user", content=f"see{PLACE}", images=(PIXEL,)),
        Message(role="assistant", content="yes"),
        Message(role="user", content="a\nb"),
    ]


def test_thinking_words_and_calls_are_one_turn_and_outputs_know_their_tools() -> None:
    thought = {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "hm"}]}
    assert messages(
        {"role": "user", "content": "go"},
        thought,
        {"role": "assistant", "content": "I look"},
        called("look", '{"at": 1}'),
        called("find", "", "c2", namespace="files"),
        gave("3"),
        gave([{"type": "input_text", "text": "x"}, {"type": "input_text", "text": "y"}], "c2"),
        thought,
    ) == [
        Message(role="user", content="go"),
        Message(
            role="assistant",
            content="I look",
            thinking="hm",
            tool_calls=(call("look", at=1), call("files.find", "c2")),
        ),
        Message(role="tool", content="3", tool_name="look", tool_call_id="c1"),
        Message(role="tool", content="x\ny", tool_name="files.find", tool_call_id="c2"),
        Message(role="assistant", thinking="hm"),
    ]


def test_custom_calls_are_calls_with_one_text() -> None:
    custom = {"type": "custom_tool_call", "call_id": "c1", "name": "sh", "input": "ls"}
    output = {"type": "custom_tool_call_output", "call_id": "c1", "output": "a.txt"}
    assert messages(custom, output) == [
        Message(role="assistant", tool_calls=(call("sh", input="ls"),)),
        Message(role="tool", content="a.txt", tool_name="sh", tool_call_id="c1"),
    ]


@pytest.mark.parametrize(
    ("fields", "thinking"),
    [
        ({"content": [{"type": "reasoning_text", "text": "raw"}], "encrypted_content": "x"}, "raw"),
        ({"encrypted_content": "plain words", "summary": []}, "plain words"),
        ({"encrypted_content": "gAAAAABo3x", "summary": [{"text": "told"}]}, "told"),
        ({"summary": [{"text": "a"}, {"text": "b"}], "content": None}, "a\nb"),
    ],
)
def test_thinking_comes_back_in_several_places(fields: Any, thinking: str) -> None:
    item = {"type": "reasoning", "id": "r", **fields}
    assert messages(item) == [Message(role="assistant", thinking=thinking)]


def test_what_only_openai_can_read_and_calls_that_were_cut_short_are_left_out() -> None:
    assert (
        messages(
            {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "gAAAAABo3x"},
            {"type": "web_search_call", "id": "w", "status": "completed"},
            called("look", '{"at', status="incomplete"),
            {"type": "additional_tools", "role": "developer", "tools": [ADD]},
        )
        == []
    )


def test_items_that_are_only_named_are_looked_up() -> None:
    items = read_input([{"id": "a"}, {"type": "item_reference", "id": "b"}, {"role": "user"}])
    assert references(items) == ["a", "b"]
    found = {"a": {"type": "message", "role": "user", "content": "x", "id": "a"}, "b": called("f")}
    assert [item["type"] for item in resolve(items, found)] == [
        "message",
        "function_call",
        "message",
    ]
    with pytest.raises(BadRequestError, match=r"input\[1\]: Item with id 'b' not found"):
        resolve(items, {"a": {}})


def test_stored_items_have_ids_and_parts() -> None:
    said, asked, output = (
        to_store(item)
        for item in read_input(
            [
                {"role": "assistant", "content": "a", "id": "mine"},
                {"role": "user", "content": "b"},
                gave("3"),
            ]
        )
    )
    assert said == {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "a"}],
        "id": "mine",
        "status": "completed",
    }
    assert asked["content"] == [{"type": "input_text", "text": "b"}]
    assert (asked["id"][:4], output["id"][:4], output["output"]) == ("msg_", "fco_", "3")
    assert len(asked["id"]) == 4 + 48
    assert read_items([said, asked, output]) == messages(said, asked, gave("3"))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (5, "neither a text nor a list of items"),
        ({"role": "user"}, "neither a text nor a list of items"),
        (["hi"], r"input\[0\] is no item"),
        ([{}], r"input\[0\] has neither a type nor a role"),
        ([{"type": 5}], r"input\[0\] has a type that is no text"),
        ([{"type": "item_reference"}], "nor the id of an item"),
        ([{"role": "user"}, {"type": "computer_call"}], r"input\[1\] has the type 'computer_call'"),
        ([{"role": "judge", "content": "x"}], "unknown role 'judge'"),
        ([{"role": "tool", "content": "x"}], "send a function_call_output"),
        ([{"role": 5}], r"input\[0\] does not fit"),
        ([{"role": "user", "content": [{"type": "input_file"}]}], "input_file, which is not"),
        ([called("f", "[1]")], r"input\[0\].arguments is not a JSON object"),
        ([called("f", "{")], "not a JSON object"),
        ([{"type": "function_call", "name": "f"}], "missing required field `call_id`"),
        ([{"type": "function_call_output", "output": "x"}], "`call_id`"),
        ([gave(5)], r"input\[0\].output is neither"),
        ([{"type": "reasoning", "summary": "x"}], r"input\[0\] does not fit"),
        (
            [
                {
                    "role": "user",
                    "content": [{"type": "input_image", "image_url": "https://x/y.png"}],
                }
            ],
            "image URLs are not currently supported",
        ),
    ],
)
def test_items_that_make_no_sense_are_refused(value: Any, words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        read_items(read_input(value))


def test_an_item_of_a_stored_answer_is_not_said_to_be_in_the_input() -> None:
    old = {"type": "function_call_output", "call_id": "c", "output": 5}
    with pytest.raises(BadRequestError, match="an item of a stored answer"):
        read_items([old], earlier=1)
    with pytest.raises(BadRequestError, match=r"input\[0\].output"):
        read_items([*read_input("hi"), old], earlier=1)


def test_tools_are_told_to_the_model_in_the_engines_form() -> None:
    space = {"type": "namespace", "name": "math", "description": "d", "tools": [ADD, SHELL]}
    tools = read_tools([ADD, {"type": "web_search"}, {"type": "tool_search"}, space])
    assert list(tools) == ["add", "math.add", "math.sh"]
    assert tools["add"].told == {
        "type": "function",
        "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}},
    }
    member = tools["math.add"]
    assert (member.name, member.namespace, member.is_custom) == ("add", "math", False)
    custom = tools["math.sh"]
    assert (custom.name, custom.namespace, custom.is_custom) == ("sh", "math", True)
    assert custom.told["function"]["parameters"]["required"] == ["input"]


def test_the_model_is_told_a_custom_tools_grammar() -> None:
    form = {"type": "grammar", "syntax": "lark", "definition": "start: WORD"}
    told = read_tools([SHELL | {"format": form}])["sh"].told
    description = told["function"]["parameters"]["properties"]["input"]["description"]
    assert description.endswith("this lark grammar:\nstart: WORD")


def test_tools_may_come_as_items() -> None:
    item = {"type": "additional_tools", "role": "developer", "tools": [ADD, SHELL]}
    assert list(read_tools(added_tools(read_input([{"role": "user"}, item])))) == ["add", "sh"]


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ({"type": "file_search"}, r"tools\[0\] has the type 'file_search': Ayllu runs no tools"),
        ({"type": "mcp", "server_label": "x"}, "Ayllu runs no tools"),
        ({"type": "tool_search", "execution": "client"}, "Ayllu runs no tools"),
        ({"type": ["x"]}, "has the type"),
        ({"type": "function"}, r"tools\[0\] has no name"),
        ({"type": "custom", "name": 5}, "has no name"),
        (ADD | {"description": 5}, "description that is no text"),
        (ADD | {"parameters": "x"}, "no JSON schema"),
        ({"type": "namespace", "tools": []}, "without a name or without tools"),
        ({"type": "namespace", "name": "n"}, "without a name or without tools"),
        ({"type": "namespace", "name": "n", "tools": ["x"]}, r"tools\[0\].tools\[0\] is no tool"),
        (
            {"type": "namespace", "name": "n", "tools": [{"type": "namespace", "name": "o"}]},
            "has the type 'namespace'",
        ),
    ],
)
def test_tools_that_make_no_sense_are_refused(tool: Any, words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        read_tools([tool])


TOOLS = read_tools([ADD, SHELL, {"type": "namespace", "name": "n", "tools": [ADD]}])


@pytest.mark.parametrize(
    ("choice", "names", "mode"),
    [
        (None, ["add", "sh", "n.add"], None),
        ("required", ["add", "sh", "n.add"], "required"),
        ({"type": "function", "name": "add"}, ["add"], "required"),
        ({"type": "function", "name": "n.add"}, ["n.add"], "required"),
        ({"type": "function", "name": "add", "namespace": "n"}, ["n.add"], "required"),
        ({"type": "custom", "name": "sh"}, ["sh"], "required"),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "sh"}]},
            ["sh"],
            "auto",
        ),
    ],
)
def test_a_choice_says_which_tools_may_be_called(choice: Any, names: list[str], mode: Any) -> None:
    told, settled = choose(choice, TOOLS)
    assert ([tool["function"]["name"] for tool in told], settled) == (names, mode)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"type": "function", "name": "other"}, "'other', which is none of the tools"),
        ({"type": "web_search_preview"}, "neither a function nor custom"),
        ({"type": "function"}, "neither a function nor custom"),
        ({"type": "allowed_tools", "mode": "auto"}, "no list of tools"),
        ({"type": "allowed_tools", "mode": "auto", "tools": ["x"]}, "neither a function"),
    ],
)
def test_choices_that_make_no_sense_are_refused(choice: Any, words: str) -> None:
    with pytest.raises(BadRequestError, match=words):
        choose(choice, TOOLS)
