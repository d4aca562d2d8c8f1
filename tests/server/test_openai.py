"""OpenAI's API on a real server with real engines; what the models answer is known beforehand."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from gguf_maker import walk
from serving import Answer, Serving

USER = [{"role": "user", "content": "hello"}]
NUMBERS = {"a": {"type": "number"}, "b": {"type": "number"}}
ADD = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": NUMBERS}},
}
OTHER = {"type": "function", "function": {"name": "other"}}
GO_TOOLS = (
    "{{ .Tools }}{{ range .Messages }}{{ if .ToolCalls }}<tool_call>{{ range .ToolCalls }}"
    '{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}{{ end }}</tool_call>'
    "{{ end }}{{ .Content }}\n{{ end }}"
)


def ask(server: Serving, **fields: Any) -> Answer:
    return server.post("/v1/chat/completions", {"messages": USER, **fields})


def text(server: Serving, **fields: Any) -> str:
    answer = ask(server, **fields)
    assert answer.status == 200, answer.body
    content = answer.json["choices"][0]["message"]["content"]
    assert isinstance(content, str)
    return content


def chunks(answer: Answer) -> list[Any]:
    """The chunks of a stream that ended well."""
    assert answer.headers["content-type"].startswith("text/event-stream")
    frames = answer.body.decode().split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    return [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]


def test_a_chat_is_answered_in_openais_form(server: Serving) -> None:
    reply = ask(server, model="chat").json
    assert reply["id"].startswith("chatcmpl-")
    assert (reply["object"], reply["model"]) == ("chat.completion", "chat")
    assert reply["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": walk(26)},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    tokens = len("user\nhello\nassistant\n") + 3
    usage = reply["usage"]
    assert (usage["prompt_tokens"], usage["total_tokens"]) == (tokens, tokens + 27)


def test_the_cache_is_told_in_the_usage(server: Serving) -> None:
    messages = [{"role": "user", "content": "a question of some length"}]
    first = ask(server, model="chat", messages=messages).json["usage"]
    again = ask(server, model="chat", messages=messages).json["usage"]
    cached = again["prompt_tokens_details"]["cached_tokens"]
    assert first["prompt_tokens_details"]["cached_tokens"] < cached == again["prompt_tokens"] - 1


def test_a_stream_begins_with_the_role_and_ends_with_the_reason(server: Serving) -> None:
    parts = chunks(ask(server, model="chat", stream=True, max_tokens=3))
    assert {part["id"] for part in parts} == {parts[0]["id"]}
    assert {part["created"] for part in parts} == {parts[0]["created"]}
    assert [part["choices"][0]["delta"] for part in parts] == [
        {"role": "assistant", "content": ""},
        {"content": "a"},
        {"content": "b"},
        {"content": "c"},
        {},
    ]
    reasons = [part["choices"][0]["finish_reason"] for part in parts]
    assert reasons == [None] * 4 + ["length"]
    assert not any("usage" in part for part in parts)


def test_the_usage_is_the_last_chunk_where_it_is_wanted(server: Serving) -> None:
    parts = chunks(
        ask(server, model="chat", stream=True, n=2, stream_options={"include_usage": True})
    )
    *pieces, last = parts
    assert {part["usage"] for part in pieces} == {None}
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 2 * 27


def test_several_choices_are_answered_at_once(server: Serving) -> None:
    reply = ask(server, model="chat", n=6).json
    assert [choice["index"] for choice in reply["choices"]] == list(range(6))
    assert {choice["message"]["content"] for choice in reply["choices"]} == {walk(26)}
    assert (
        reply["usage"]["prompt_tokens"] == ask(server, model="chat").json["usage"]["prompt_tokens"]
    )
    texts = dict.fromkeys(range(3), "")
    for part in chunks(ask(server, model="chat", n=3, stream=True)):
        choice = part["choices"][0]
        texts[choice["index"]] += choice["delta"].get("content", "")
    assert set(texts.values()) == {walk(26)}


@pytest.mark.parametrize(
    ("fields", "content"),
    [
        ({"max_tokens": 3}, "abc"),
        ({"max_completion_tokens": 2, "max_tokens": 9}, "ab"),
        ({"max_tokens": -1}, walk(26)),
        ({"stop": "d"}, "abc"),
        ({"stop": ["x", "cd", ""]}, "ab"),
        ({"options": {"num_predict": 4}}, "abcd"),
        ({"options": {"num_predict": 4}, "max_tokens": 5}, "abcde"),
        ({"grammar": 'root ::= "xyz"'}, "xyz"),
        ({"options": {"grammar": 'root ::= "xyz"'}}, "xyz"),
        ({"messages": [{"role": "developer", "content": "d"}, *USER], "max_tokens": 1}, "a"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]}, walk(26)),
        ({"response_format": {"type": "text"}}, walk(26)),
        ({"MAX_TOKENS": 1, "Temperature": None, "user": "me", "store": True}, "a"),
    ],
)
def test_fields_are_honoured(server: Serving, fields: Any, content: str) -> None:
    assert text(server, model="chat", **fields) == content


@pytest.mark.parametrize(("stop", "content"), [("z", "abcde"), ([], "abcde"), ("c", "ab")])
def test_stop_words_come_beside_the_models_own(server: Serving, stop: Any, content: str) -> None:
    server.make("stops", **{"from": "chat", "parameters": {"stop": ["f"]}})
    assert text(server, model="stops", stop=stop) == content


def test_a_bias_bans_a_token(server: Serving) -> None:
    assert text(server, model="base", max_tokens=1).startswith("p")  # after "hello" comes "p"
    banned = text(server, model="base", max_tokens=1, logit_bias={str(ord("p")): -100})
    assert not banned.startswith("p")
    wanted = text(server, model="base", max_tokens=1, logit_bias={str(ord("q")): 100})
    assert wanted == "q"


def test_the_models_own_parameters_come_before_openais_defaults(server: Serving) -> None:
    parameters = {"temperature": 0, "num_predict": 2, "grammar": 'root ::= "qrs"'}
    create = {"model": "own", "from": "chat", "parameters": parameters, "stream": False}
    assert server.post("/api/create", create).json["status"] == "success"
    assert text(server, model="own") == "qr"
    assert text(server, model="own", max_tokens=9) == "qrs"
    # A format of the request comes before the model's grammar.
    shape = {"type": "json_object"}
    assert text(server, model="own", response_format=shape, max_tokens=60).startswith("{")


@pytest.mark.parametrize("strict", [True, False])
def test_a_schema_is_forced(server: Serving, strict: bool) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "boolean"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    wrapped = {"name": "answer", "strict": strict, "schema": schema}
    shape = {"type": "json_schema", "json_schema": wrapped}
    content = text(server, model="chat", response_format=shape, max_tokens=200)
    assert set(json.loads(content)) == {"n"}
    anything = text(server, model="chat", response_format={"type": "json_object"}, max_tokens=60)
    assert anything.lstrip().startswith("{")


def test_probabilities_come_with_the_tokens(server: Serving) -> None:
    fields = {"model": "chat", "logprobs": True, "top_logprobs": 2, "max_tokens": 2}
    (choice,) = ask(server, **fields).json["choices"]
    first, second = choice["logprobs"]["content"]
    assert (first["token"], first["bytes"], second["token"]) == ("a", [97], "b")
    assert next(item["token"] for item in first["top_logprobs"]) == "a"
    assert len(first["top_logprobs"]) == 2
    parts = chunks(ask(server, **fields, stream=True))
    told = [part["choices"][0]["logprobs"] for part in parts]
    assert [item["content"][0]["token"] for item in told if item] == ["a", "b"]


def test_thinking_and_tool_calls_come_apart(server: Serving) -> None:
    (choice,) = ask(server, model="tool", tools=[ADD]).json["choices"]
    message = choice["message"]
    assert choice["finish_reason"] == "tool_calls"
    assert message["reasoning"].strip() == "Let me see."
    assert message["content"] is None
    (call,) = message["tool_calls"]
    assert call["type"] == "function"
    assert json.loads(call["function"]["arguments"]) == {"a": 1, "b": 2}
    parts = chunks(ask(server, model="tool", tools=[ADD], stream=True))
    deltas = [part["choices"][0]["delta"] for part in parts]
    assert "".join(delta.get("reasoning", "") for delta in deltas).strip() == "Let me see."
    (streamed,) = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert (streamed["index"], streamed["function"]) == (0, call["function"])
    assert parts[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_call_that_is_cut_short_is_none(server: Serving) -> None:
    whole = ask(server, model="tool", tools=[ADD]).json["usage"]["completion_tokens"]
    (choice,) = ask(server, model="tool", tools=[ADD], max_tokens=whole - 5).json["choices"]
    assert choice["finish_reason"] == "length"
    assert "tool_calls" not in choice["message"]


@pytest.fixture(scope="module")
def go_tool(server: Serving) -> str:
    """The model `tool` with a Go template, which is rendered here and not by the engine."""
    create = {"model": "gotool", "from": "tool", "template": GO_TOOLS, "stream": False}
    assert server.post("/api/create", create).json["status"] == "success"
    return "gotool"


@pytest.mark.parametrize("model", ["tool", "gotool"])
def test_tool_choice_decides_what_is_called(server: Serving, go_tool: str, model: str) -> None:
    assert go_tool
    named = {"type": "function", "function": {"name": "other"}}
    fields: dict[str, Any] = {"model": model, "tools": [ADD, OTHER], "max_tokens": 200}
    fields["seed"] = 1  # a call that the model did not choose has random arguments
    (choice,) = ask(server, **fields, tool_choice=named).json["choices"]
    assert {call["function"]["name"] for call in choice["message"]["tool_calls"]} == {"other"}
    (choice,) = ask(server, **fields, tool_choice=named, parallel_tool_calls=False).json["choices"]
    assert len(choice["message"]["tool_calls"]) == 1
    fields["tools"] = [ADD]
    (choice,) = ask(server, **fields, tool_choice="none").json["choices"]
    assert "tool_calls" not in choice["message"]
    (choice,) = ask(server, **fields, tool_choice="auto").json["choices"]
    assert choice["finish_reason"] == "tool_calls"
    parts = chunks(ask(server, **fields, tool_choice="required", stream=True))
    assert parts[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_ollamas_chat_takes_tool_choice_too(server: Serving, go_tool: str) -> None:
    for model in ("tool", go_tool):
        body: dict[str, Any] = {"model": model, "messages": USER, "tools": [ADD]}
        body["stream"] = False
        body["options"] = {"seed": 1}
        none = server.post("/api/chat", body | {"tool_choice": "none"}).json
        assert "tool_calls" not in none["message"]
        must = server.post("/api/chat", body | {"tool_choice": "required"}).json
        assert [call["function"]["name"] for call in must["message"]["tool_calls"]] == ["add"]


def test_old_calls_and_their_results_are_part_of_the_prompt(server: Serving) -> None:
    function = {"name": "add", "arguments": '{"a": 1, "b": 2}'}
    call = {"id": "c1", "type": "function", "function": function}
    messages = [
        *USER,
        {"role": "assistant", "content": None, "reasoning": "Hm.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
    ]
    long = ask(server, model="tool", messages=messages, max_tokens=1).json["usage"]
    short = ask(server, model="tool", max_tokens=1).json["usage"]
    more = '<think>\nHm.\n</think>\n\n<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}'
    assert long["prompt_tokens"] > short["prompt_tokens"] + len(more) // 2


def test_reasoning_effort_is_how_hard_to_think(server: Serving) -> None:
    on = ask(server, model="tool", reasoning_effort="high", max_tokens=1).json["usage"]
    off = ask(server, model="tool", reasoning_effort="none", max_tokens=1).json["usage"]
    also = ask(server, model="tool", reasoning={"effort": "none"}, max_tokens=1).json["usage"]
    assert off["prompt_tokens"] == also["prompt_tokens"] > on["prompt_tokens"]
    assert ask(server, model="chat", reasoning_effort="none", max_tokens=1).status == 200


def test_texts_are_completed(server: Serving) -> None:
    body = {"model": "base", "prompt": ["abc", "x"], "n": 2, "max_tokens": 2}
    reply = server.post("/v1/completions", body).json
    assert (reply["object"], reply["id"][:5]) == ("text_completion", "cmpl-")
    assert [choice["text"] for choice in reply["choices"]] == ["de", "de", "yz", "yz"]
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2, 3]
    usage = reply["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (4, 8)


def test_token_ids_are_completed_as_they_are(server: Serving) -> None:
    for prompt in ([97, 98], [[97, 98]]):
        body = {"model": "chat", "prompt": prompt, "max_tokens": 2}
        assert server.post("/v1/completions", body).json["choices"][0]["text"] == "cd"


def test_a_prompt_goes_through_the_chat_template_unless_raw(server: Serving) -> None:
    body = {"model": "chat", "prompt": "x", "max_tokens": 2}
    assert server.post("/v1/completions", body).json["choices"][0]["text"] == "ab"
    raw = server.post("/v1/completions", body | {"raw": True}).json
    assert raw["choices"][0]["text"] == "yz"


def test_completions_stream_with_echo_and_probabilities(server: Serving) -> None:
    body = {"model": "base", "prompt": ["ab", "x"], "max_tokens": 2, "stream": True}
    texts = ["", ""]
    for part in chunks(server.post("/v1/completions", body | {"echo": True})):
        texts[part["choices"][0]["index"]] += part["choices"][0]["text"]
    assert texts == ["abcd", "xyz"]
    told = server.post("/v1/completions", body | {"stream": False, "logprobs": 2}).json
    logprobs = told["choices"][0]["logprobs"]
    assert (logprobs["tokens"], logprobs["text_offset"]) == (["c", "d"], [0, 1])
    assert logprobs["token_logprobs"][0] == pytest.approx(0, abs=1e-3)
    assert [max(top, key=lambda token: top[token]) for top in logprobs["top_logprobs"]] == [
        "c",
        "d",
    ]
    bare = server.post("/v1/completions", body | {"stream": False, "logprobs": 0}).json
    assert bare["choices"][0]["logprobs"]["top_logprobs"] is None


def test_inputs_become_vectors(server: Serving) -> None:
    reply = server.post("/v1/embeddings", {"model": "base", "input": ["ab", "zzz"]}).json
    assert [row["index"] for row in reply["data"]] == [0, 1]
    assert reply["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    vector = reply["data"][0]["embedding"]
    assert sum(x * x for x in vector) == pytest.approx(1.0)
    for same in ("ab", [97, 98], [[97, 98]]):
        again = server.post("/v1/embeddings", {"model": "base", "input": same}).json
        assert again["data"][0]["embedding"] == pytest.approx(vector)
    body = {"model": "base", "input": "a\3", "dimensions": 7, "encoding_format": "base64"}
    coded = server.post("/v1/embeddings", body).json["data"][0]["embedding"]
    numbers = struct.unpack("<7f", base64.b64decode(coded))
    assert numbers == pytest.approx([0, 0, 0, 1, 0, 0, 0], abs=1e-6)


def test_models_are_listed(server: Serving) -> None:
    listed = server.get("/v1/models").json
    assert listed["object"] == "list"
    rows = {row["id"]: row for row in listed["data"]}
    assert rows["chat:latest"]["owned_by"] == "library"
    one = server.get("/v1/models/chat").json
    assert one == rows["chat:latest"] | {"id": "chat"}
    copy = {"source": "chat", "destination": "some/chat:x"}
    assert server.post("/api/copy", copy).status == 200
    assert server.get("/v1/models/some/chat:x").json["owned_by"] == "some"
