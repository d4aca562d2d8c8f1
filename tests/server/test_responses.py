"""/v1/responses on a real server: what it refuses, what it keeps, and what it survives."""

from __future__ import annotations

import gzip
import json
import signal
import stat
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gguf_maker import walk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_json import containers, scalars
from serving import Answer, Serving, serving

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ASK: dict[str, Any] = {"model": "chat", "input": "hello", "max_output_tokens": 3}
ADD = {"type": "function", "name": "add"}


def ask(server: Serving, **fields: Any) -> Answer:
    return server.post("/v1/responses", ASK | fields)


def error(answer: Answer) -> Any:
    """The error of an answer, whose shape is what clients read."""
    assert set(answer.json) == {"error"}, answer.body
    assert set(answer.json["error"]) == {"message", "type", "param", "code"}
    return answer.json["error"]


def frames(body: bytes) -> list[Any]:
    """The events of a stream, each with a name and a number."""
    found = []
    for number, frame in enumerate(body.decode().strip().split("\n\n")):
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        found.append(event)
    return found


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"model": ""}, 400, "model is required"),
        ({"model": "nope"}, 404, "model 'nope' not found"),
        ({"model": "a b"}, 400, "invalid model name"),
        ({"input": None}, 400, "input is required"),
        ({"input": []}, 400, "input is required"),
        ({"input": [{"type": "web_search_call"}], "instructions": "x"}, 400, "input is required"),
        ({"input": 5}, 400, "neither a text nor a list"),
        ({"input": [{"id": "msg_1"}]}, 400, "Item with id 'msg_1' not found"),
        ({"input": "x" * 600}, 400, "shorten the prompt"),
        ({"previous_response_id": "resp_1"}, 400, "Previous response with id 'resp_1' not found"),
        ({"background": True}, 400, "background is not supported"),
        ({"conversation": "conv_1"}, 400, "use previous_response_id"),
        ({"prompt": {"id": "p"}}, 400, "prompt templates are not kept"),
        ({"moderation": {"model": "m"}}, 400, "nothing here moderates"),
        ({"tools": [ADD]}, 400, "does not support tools"),
        ({"tools": [{"type": "mcp"}]}, 400, "Ayllu runs no tools itself"),
        ({"tool_choice": "required"}, 400, "needs tools"),
        ({"tool_choice": {"type": "file_search"}}, 400, "neither a function nor custom"),
        ({"tool_choice": 5}, 400, "tool_choice must be"),
        ({"model": "tool", "tools": [ADD], "top_logprobs": 1}, 400, "cannot give logprobs"),
        ({"reasoning": {"effort": "some"}}, 400, "the reasoning effort 'some' is none of"),
        ({"reasoning": {"effort": "low"}}, 400, "does not support thinking"),
        ({"text": {"format": {"type": "xml"}}}, 400, "text.format has no type"),
        ({"text": {"format": {"type": "json_schema"}}}, 400, "text.format is a json_schema that"),
        ({"truncation": "some"}, 400, "$.truncation"),
        ({"max_output_tokens": 0}, 400, "$.max_output_tokens"),
        ({"top_logprobs": 21}, 400, "$.top_logprobs"),
        ({"temperature": 1e300}, 400, "$.temperature"),
        ({"metadata": {"a": 5}}, 400, "$.metadata"),
        ({"keep_alive": []}, 400, "Unsupported type"),
        ({"options": {"num_ctx": "many"}}, 400, "num_ctx"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_mistakes_are_told_in_openais_shape(
    server: Serving, fields: Any, status: int, words: str, stream: bool
) -> None:
    answer = ask(server, **fields, stream=stream)
    assert (answer.status, words in error(answer)["message"]) == (status, True), answer.body


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "", 405, "405 method not allowed"),
        ("GET", "/resp_1", 404, "'resp_1' not found"),
        ("DELETE", "/resp_1", 404, "'resp_1' not found"),
        ("GET", "/resp_1/input_items", 404, "'resp_1' not found"),
        ("POST", "/resp_1/cancel", 404, "'resp_1' not found"),
        ("GET", "/resp_1?stream=true", 400, "none is here"),
        ("GET", "/resp_1/input_items?limit=0", 400, "$.limit"),
        ("GET", "/resp_1/input_items?limit=many", 400, "$.limit"),
        ("GET", "/resp_1/input_items?order=up", 400, "$.order"),
        ("POST", "/compact", 405, "405 method not allowed"),
        ("GET", "/resp_1/else", 404, "404 page not found"),
    ],
)
def test_stored_answers_that_are_not_there(
    server: Serving, method: str, path: str, status: int, words: str
) -> None:
    answer = server.request(method, f"/v1/responses{path}")
    assert (answer.status, words in error(answer)["message"]) == (status, True), answer.body


def test_an_answer_is_kept_until_it_is_deleted(server: Serving) -> None:
    made = ask(server, metadata={"k": "<v>"}).json
    path = f"/v1/responses/{made['id']}"
    assert server.get(path).json == made
    assert server.get(f"{path}?stream=false").json == made
    after = server.get(f"{path}/input_items?after=msg_1")
    assert "no item of this response" in error(after)["message"]
    assert server.request("DELETE", path).json == {
        "id": made["id"],
        "object": "response",
        "deleted": True,
    }
    assert server.get(path).status == 404


def test_pages_of_items_come_to_an_end_whatever_their_ids(server: Serving) -> None:
    twins = [{"role": "user", "content": str(number), "id": "twin"} for number in range(3)]
    path = f"/v1/responses/{ask(server, input=twins).json['id']}/input_items?order=asc&limit=2"
    first = server.get(path).json
    assert ([item["id"] for item in first["data"]], first["has_more"]) == (["twin"] * 2, True)
    rest = server.get(f"{path}&after={first['last_id']}").json
    assert (rest["data"], rest["first_id"], rest["has_more"]) == ([], None, False)


def test_ids_cannot_be_guessed(server: Serving) -> None:
    made = [ask(server).json for _ in range(3)]
    idents = {answer["id"] for answer in made} | {answer["output"][0]["id"] for answer in made}
    assert len(idents) == 6
    assert all(len(ident.partition("_")[2]) == 48 for ident in idents)


def test_old_messages_are_dropped_where_that_is_asked_for(server: Serving) -> None:
    long = [{"role": "user", "content": "x" * 600}, {"role": "assistant", "content": "y"}]
    asked = {"input": [*long, {"role": "user", "content": "hello"}]}
    assert error(ask(server, **asked))["code"] == "context_length_exceeded"
    assert ask(server, **asked, truncation="auto").json["status"] == "incomplete"


def test_tokens_are_counted(server: Serving) -> None:
    counted = server.post("/v1/responses/input_tokens", ASK).json
    assert counted["object"] == "response.input_tokens"
    assert counted["input_tokens"] == ask(server).json["usage"]["input_tokens"]


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_bodies_may_be_compressed(
    server: Serving, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    headers = {"Content-Encoding": encoding}
    body = pack(json.dumps(ASK).encode())
    assert server.post("/v1/responses", body, headers=headers).json["status"] == "incomplete"
    bomb = server.post("/v1/responses", pack(b" " * (161 << 20)), headers=headers)
    assert (bomb.status, error(bomb)["code"]) == (413, "request_too_large")
    other = server.post("/v1/responses", body, headers={"Content-Encoding": "br"})
    assert (other.status, error(other)["type"]) == (415, "invalid_request_error")


def test_nothing_is_written_where_nothing_is_to_be_kept(tmp_path: Path, chat_gguf: Path) -> None:
    with serving(tmp_path / "a") as running:
        running.create("chat", chat_gguf)
        assert ask(running, store=False).json["store"] is False
        assert list(running.home.glob("responses.db*")) == []
        assert ask(running).json["store"] is True
        files = list(running.home.glob("responses.db*"))
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    with serving(tmp_path / "b", AYLLU_RESPONSE_SPACE="0") as running:
        running.create("chat", chat_gguf)
        assert ask(running).json["store"] is False
        assert list(running.home.glob("responses.db*")) == []


def test_a_damaged_database_does_not_keep_the_model_from_answering(
    tmp_path: Path, chat_gguf: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "responses.db").write_bytes(b"no database" * 1000)
    with serving(home) as running:
        running.create("chat", chat_gguf)
        answered = ask(running)
        assert (answered.status, answered.json["store"]) == (200, False)
        last = frames(ask(running, stream=True).body)[-1]["response"]
        assert (last["status"], last["store"]) == ("incomplete", False)
        assert "an answer was not stored" in running.log.read_text("utf-8")
        refused = running.get(f"/v1/responses/{last['id']}")
        assert (refused.status, "move it away" in error(refused)["message"]) == (500, True)
        (home / "responses.db").unlink()
        assert ask(running).json["store"] is True


def test_a_stream_that_breaks_says_why(tmp_path: Path, endless_gguf: Path) -> None:
    with serving(tmp_path / "home") as ending:
        ending.create("endless", endless_gguf)
        body = json.dumps({"model": "endless", "input": "x", "stream": True}).encode()
        request = urllib.request.Request(ending.url + "/v1/responses", body)  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - our own server
            start = response.readline()
            assert start == b"event: response.created\n"
            ending.process.send_signal(signal.SIGTERM)
            last = frames(start + response.read())[-1]
        assert last["type"] == "response.failed"
        assert last["response"]["status"] == "failed"
        assert last["response"]["error"]["code"] == "server_error"
        assert "shutting down" in last["response"]["error"]["message"]


FIELDS = st.sampled_from(
    (
        *("input", "instructions", "previous_response_id", "conversation", "background", "store"),
        *("stream", "include", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text"),
        *("temperature", "top_p", "top_logprobs", "truncation", "metadata", "prompt", "user"),
        *("moderation", "service_tier", "max_tool_calls", "stream_options"),
    )
)
SCALARS = scalars(
    *("user", "assistant", "message", "function_call", "reasoning", "auto"),
    *("input_text", "function", "custom", "json_object", "item_reference"),
)
KEYS = st.sampled_from(
    (
        *("type", "role", "content", "id", "call_id", "name", "arguments", "output", "text"),
        *("summary", "effort", "format", "tools", "namespace", "input", "mode"),
        "encrypted_content",
    )
)
INNER = SCALARS | containers(SCALARS, KEYS, 4)
VALUES = INNER | containers(INNER, KEYS)
ITEMS = st.lists(st.dictionaries(KEYS, INNER, max_size=5), max_size=3)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    model=st.sampled_from(("base", "chat", "tool")),
    fields=st.dictionaries(FIELDS, VALUES, max_size=3),
    items=st.none() | ITEMS,
)
def test_whatever_is_sent_is_answered_or_refused(
    server: Serving, model: str, fields: Any, items: Any
) -> None:
    body = {**ASK, "model": model, **fields, **({} if items is None else {"input": items})}
    answer = server.post("/v1/responses", json.dumps(body).encode())
    if answer.status != 200:
        assert 400 <= answer.status < 500, (body, answer.body)
        error(answer)
    elif answer.headers["content-type"].startswith("text/event-stream"):
        last = frames(answer.body)[-1]["type"]
        assert last in ("response.completed", "response.incomplete"), (body, answer.body)


def test_after_all_that_no_slot_is_stuck(server: Serving) -> None:
    for _ in range(8):
        reply = ask(server, max_output_tokens=None).json
        assert reply["output"][0]["content"][0]["text"] == walk(26)
