"""Anthropic's API on a real server with real engines whose answers are known beforehand."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gguf_maker import make_successor_model, walk
from serving import Answer, Serving, serving

USER = [{"role": "user", "content": "hello"}]
ADD = {"name": "add", "input_schema": {"type": "object"}}
SUB = ADD | {"name": "sub"}
GO_TEMPLATE = (
    "{{ if .System }}{{ .System }}\n{{ end }}{{ if .Tools }}{{ .Tools }}\n{{ end }}"
    "{{ range .Messages }}{{ .Role }} {{ .Content }}{{ if .Thinking }}<think>{{ .Thinking }}"
    "</think>{{ end }}{{ if .ToolCalls }}<tool_call>{{ range .ToolCalls }}"
    "{{ .Function.Name }}{{ .Function.Arguments }}{{ end }}{{ end }}\n{{ end }}"
)
TWO_CALLS = (
    '<tool_call>{"name": "add", "arguments": {"a": 1}}, {"name": "sub", "parameters": {"b": 2}}'
)


def messages(server: Serving, **fields: Any) -> Any:
    body = {"messages": USER, "max_tokens": 200, **fields}
    return server.post("/v1/messages", body).json


def count(server: Serving, **fields: Any) -> Any:
    answer = server.post("/v1/messages/count_tokens", {"messages": USER, **fields})
    return answer.json.get("input_tokens", answer.json)


def stream(server: Serving, **fields: Any) -> list[Any]:
    """The data of the events, whose names say the same."""
    body = {"messages": USER, "max_tokens": 200, "stream": True, **fields}
    return events_of(server.post("/v1/messages", body))


def events_of(answer: Answer) -> list[Any]:
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = []
    for block in answer.body.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


def test_a_message_is_answered(server: Serving) -> None:
    answer = messages(server, model="chat")
    assert answer["content"] == [{"type": "text", "text": walk(26)}]
    assert (answer["type"], answer["role"], answer["model"]) == ("message", "assistant", "chat")
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("end_turn", None)
    assert answer["id"].startswith("msg_")
    assert answer["usage"]["output_tokens"] == 27


def test_the_cache_is_told_as_it_is(server: Serving) -> None:
    text = [{"role": "user", "content": "nobody asked this before"}]
    marked = [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]
    first = messages(server, model="chat", messages=text, system=marked)["usage"]
    second = messages(server, model="chat", messages=text, system=marked)["usage"]
    total = first["input_tokens"] + first["cache_read_input_tokens"]
    assert (second["input_tokens"], second["cache_read_input_tokens"]) == (1, total - 1)
    assert second["cache_creation_input_tokens"] == 0
    (start, *_) = stream(server, model="chat", messages=text, system=marked)
    assert start["message"]["usage"] == second | {"output_tokens": 0}


def test_a_stream_has_anthropics_events_in_their_order(server: Serving) -> None:
    events = stream(server, model="chat")
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[2:-3] == ["content_block_delta"] * 26
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    text = "".join(event["delta"]["text"] for event in events[2:-3])
    assert text == walk(26)
    assert events[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert events[-2]["usage"]["output_tokens"] == 27


def test_the_system_prompt_may_be_text_or_blocks(server: Serving) -> None:
    plain = count(server, model="chat")
    text = count(server, model="chat", system="one\ntwo")
    blocks = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert text == plain + len("system\none\ntwo\n") + 2
    assert count(server, model="chat", system=blocks) == text
    spoken = [{"role": "system", "content": "one\ntwo"}, *USER]
    assert count(server, model="chat", messages=spoken) == text


def test_neighbours_of_one_role_are_one_turn(server: Serving) -> None:
    blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    two = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    one = count(server, model="chat", messages=[{"role": "user", "content": "a\nb"}])
    assert count(server, model="chat", messages=[{"role": "user", "content": blocks}]) == one
    assert count(server, model="chat", messages=two) == one


def test_an_answer_that_was_begun_is_gone_on_with(server: Serving) -> None:
    begun = [*USER, {"role": "assistant", "content": "abc"}]
    answer = messages(server, model="chat", messages=begun)
    assert answer["content"][0]["text"] == walk(26)[3:]


@pytest.mark.parametrize(
    ("fields", "text", "reason", "sequence"),
    [
        ({"stop_sequences": ["!", "de"]}, "abc", "stop_sequence", "de"),
        ({"max_tokens": 5}, "abcde", "max_tokens", None),
        ({"temperature": 0, "top_k": 1, "top_p": 0.5}, walk(26), "end_turn", None),
        ({"metadata": {"user_id": "u"}, "service_tier": "auto"}, walk(26), "end_turn", None),
        ({"max_tokens": 1 << 40}, walk(26), "end_turn", None),
        ({"system": None, "tools": None, "thinking": None}, walk(26), "end_turn", None),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, walk(26), "end_turn", None),
    ],
)
def test_limits_and_sampling_are_honoured(
    server: Serving, fields: Any, text: str, reason: str, sequence: str | None
) -> None:
    answer = messages(server, model="chat", **fields)
    assert answer["content"][0]["text"] == text
    assert (answer["stop_reason"], answer["stop_sequence"]) == (reason, sequence)
    last = stream(server, model="chat", **fields)[-2]
    assert last["delta"] == {"stop_reason": reason, "stop_sequence": sequence}


def test_thinking_comes_as_a_block_of_its_own(server: Serving) -> None:
    answer = messages(server, model="tool", tools=[ADD], thinking={"type": "adaptive"})
    thinking, call = answer["content"]
    assert (thinking["type"], thinking["thinking"]) == ("thinking", "Let me see.")
    assert thinking["signature"]
    assert (call["type"], call["name"], call["input"]) == ("tool_use", "add", {"a": 1, "b": 2})
    assert call["id"]
    assert answer["stop_reason"] == "tool_use"


def test_thinking_can_be_bounded_left_out_and_hidden(server: Serving) -> None:
    short = {"type": "enabled", "budget_tokens": 2}
    answer = messages(server, model="tool", tools=[ADD], thinking=short)
    assert answer["content"][0]["thinking"] == "Let"
    hidden = {"type": "adaptive", "display": "omitted"}
    answer = messages(server, model="tool", tools=[ADD], thinking=hidden)
    assert answer["content"][0]["thinking"] == ""
    assert answer["content"][0]["signature"]
    for thinking in ({"type": "disabled"}, None):
        answer = messages(server, model="tool", tools=[ADD], thinking=thinking)
        assert [block["type"] for block in answer["content"]] == ["text", "tool_use"]


def test_a_calls_input_streams_as_it_comes(server: Serving) -> None:
    events = stream(server, model="tool", tools=[ADD], thinking={"type": "adaptive"})
    starts = [event["content_block"] for event in events if "content_block" in event]
    assert [block["type"] for block in starts] == ["thinking", "tool_use"]
    assert starts[1]["input"] == {}
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    thought = [delta["type"] for delta in deltas if "thinking" in delta["type"]]
    pieces = [delta["partial_json"] for delta in deltas if "partial_json" in delta]
    assert len(thought) > 2
    assert deltas[len(thought)]["type"] == "signature_delta"
    assert len(pieces) > 2
    assert json.loads("".join(pieces)) == {"a": 1, "b": 2}
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


def test_a_call_that_max_tokens_cuts_short_is_left_out(server: Serving) -> None:
    thinking = {"type": "adaptive"}
    answer = messages(server, model="tool", tools=[ADD], thinking=thinking, max_tokens=26)
    assert [block["type"] for block in answer["content"]] == ["thinking"]
    assert answer["stop_reason"] == "max_tokens"


@pytest.mark.parametrize(
    ("choice", "possible"),
    [
        ({"type": "auto"}, [["add"]]),
        ({"type": "any"}, [["add"], ["sub"]]),
        ({"type": "any", "disable_parallel_tool_use": True}, [["add"], ["sub"]]),
        ({"type": "tool", "name": "add"}, [["add"]]),
        ({"type": "none"}, [[]]),
    ],
)
def test_tool_choice_is_honoured(server: Serving, choice: Any, possible: list[list[str]]) -> None:
    answer = messages(server, model="tool", tools=[ADD, SUB], tool_choice=choice)
    names = [block["name"] for block in answer["content"] if block["type"] == "tool_use"]
    assert names in possible


def test_a_choice_forces_a_model_that_would_rather_talk(server: Serving) -> None:
    choice = {"type": "tool", "name": "sub"}
    answer = messages(server, model="tool", tools=[ADD, SUB], tool_choice=choice, max_tokens=400)
    names = [block["name"] for block in answer["content"] if block["type"] == "tool_use"]
    assert "add" not in names


def test_calls_and_results_go_back_to_the_model(server: Serving) -> None:
    call = {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}}
    thought = {"type": "thinking", "thinking": "hm", "signature": "x"}
    result = {"type": "tool_result", "tool_use_id": "t1"}

    def prompt(answer: Any, before: Any = (), **more: Any) -> int:
        turns = [
            *USER,
            {"role": "assistant", "content": [*before, call]},
            {"role": "user", "content": [result | {"content": answer} | more]},
        ]
        counted: int = count(server, model="tool", messages=turns, tools=[ADD])
        return counted

    plain = prompt("3")
    assert prompt([{"type": "text", "text": "3"}]) == plain
    assert prompt("3", is_error=True) == plain + len("Error: ")
    assert prompt("Error!", is_error=True) == plain + len("rror!")
    assert prompt(None) == plain - 1
    assert prompt("3", [thought]) - prompt("3", [thought | {"thinking": "h"}]) == 1
    answer = messages(
        server,
        model="tool",
        tools=[ADD],
        messages=[
            *USER,
            {"role": "assistant", "content": [thought, call]},
            {"role": "user", "content": [result | {"content": "3"}]},
        ],
    )
    assert answer["stop_reason"] == "tool_use"


def test_texts_in_documents_and_search_results_are_read(server: Serving) -> None:
    def prompt(block: Any) -> Any:
        return count(server, model="chat", messages=[{"role": "user", "content": [block]}])

    same = prompt({"type": "text", "text": "title\nabc"})
    text = {"type": "text", "media_type": "text/plain", "data": "abc"}
    found = [{"type": "text", "text": "abc"}]
    assert prompt({"type": "document", "title": "title", "source": text}) == same
    content = {"type": "content", "content": found}
    assert prompt({"type": "document", "context": "title", "source": content}) == same
    assert prompt({"type": "search_result", "source": "title", "content": found}) == same


def test_a_schema_forces_the_answers_form(server: Serving) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "boolean"}}, "required": ["n"]}
    form = {"format": {"type": "json_schema", "schema": schema}}
    answer = messages(server, model="chat", output_config=form)
    assert set(json.loads(answer["content"][0]["text"])) == {"n"}


def test_the_count_is_that_of_the_prompt_that_would_be_sent(server: Serving) -> None:
    for fields in (
        {"model": "chat", "system": "Be brief."},
        {"model": "tool", "tools": [ADD], "tool_choice": {"type": "any"}},
        {"model": "tool", "thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}},
        {"model": "base"},
    ):
        usage = messages(server, **fields, max_tokens=1)["usage"]
        assert count(server, **fields) == usage["input_tokens"] + usage["cache_read_input_tokens"]


@pytest.fixture(scope="module")
def more(server: Serving, tmp_path_factory: pytest.TempPathFactory) -> Serving:
    """The server with a model of a Go template that makes two calls."""
    path = tmp_path_factory.mktemp("more") / "go.gguf"
    server.create("go", make_successor_model(path, replies={"\n": TWO_CALLS}), template=GO_TEMPLATE)
    return server


def test_a_go_templates_calls_come_in_one_piece(more: Serving) -> None:
    events = stream(more, model="go", tools=[ADD, SUB])
    starts = [event["content_block"] for event in events if "content_block" in event]
    assert [(block["type"], block["name"]) for block in starts] == [
        ("tool_use", "add"),
        ("tool_use", "sub"),
    ]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    assert [json.loads(delta["partial_json"]) for delta in deltas] == [{"a": 1}, {"b": 2}]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    usage = events[-2]["usage"]
    total = usage["input_tokens"] + usage["cache_read_input_tokens"]
    assert count(more, model="go", tools=[ADD, SUB]) == total


def test_one_call_is_enough_where_parallel_ones_are_off(more: Serving) -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    answer = messages(more, model="go", tools=[ADD, SUB], tool_choice=choice)
    assert [block["name"] for block in answer["content"]] == ["add"]


def test_a_stop_word_of_the_models_own_is_no_stop_sequence(more: Serving) -> None:
    answer = messages(more, model="go", stop_sequences=["arguments"], messages=USER)
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "arguments")
    body = {"model": "own", "from": "chat", "parameters": {"stop": ["d"]}, "stream": False}
    assert more.post("/api/create", body).status == 200
    answer = messages(more, model="own", stop_sequences=["z"])
    assert answer["content"][0]["text"] == "abc"
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("end_turn", None)


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory, endless_gguf: Path) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("home"), AYLLU_NUM_PARALLEL="1") as running:
        running.create("endless", endless_gguf)
        yield running


@contextmanager
def open_stream(server: Serving) -> Iterator[http.client.HTTPResponse]:
    """An answer without an end, of which the first event was read."""
    body = {"model": "endless", "messages": USER, "max_tokens": 60_000, "stream": True}
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    try:
        connection.request("POST", "/v1/messages", json.dumps(body))
        response = connection.getresponse()
        assert response.readline() == b"event: message_start\n"
        yield response
    finally:
        connection.close()


def test_a_client_that_leaves_frees_its_slot(endless: Serving) -> None:
    for _ in range(3):
        with open_stream(endless):
            pass
    answer = messages(endless, model="endless", max_tokens=3)
    assert answer["content"][0]["text"] == "abc"


def test_a_stream_that_breaks_ends_in_an_error_event(
    tmp_path_factory: pytest.TempPathFactory, endless_gguf: Path
) -> None:
    with serving(tmp_path_factory.mktemp("home")) as stopped:
        stopped.create("endless", endless_gguf)
        with open_stream(stopped) as response:
            assert stopped.stop() == 0
            name, data = response.read().decode().rstrip("\n").rpartition("\n\n")[2].split("\n")
    error = json.loads(data.removeprefix("data: "))
    assert (name, error["type"]) == ("event: error", "error")
    assert error["error"] == {"type": "overloaded_error", "message": "the server is shutting down"}
