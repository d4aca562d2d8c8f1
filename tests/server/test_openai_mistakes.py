"""Mistakes under /v1: an error in OpenAI's shape and a fitting status, whatever a client sends."""

from __future__ import annotations

import base64
import json
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from gguf_maker import walk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_json import containers, scalars
from serving import Answer, Serving, serving

USER = [{"role": "user", "content": "hello"}]
ADD = {"type": "function", "function": {"name": "add"}}
GIF = base64.b64encode(b"GIF89a").decode()
CHAT: dict[str, Any] = {"model": "chat", "messages": USER, "max_tokens": 3}


def error(answer: Answer) -> Any:
    """The error of an answer, whose shape is what clients read."""
    body = answer.json
    assert set(body) == {"error"}, answer.body
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"]
    return body["error"]


def part(**fields: Any) -> Any:
    return [{"role": "user", "content": [fields]}]


def image(url: Any) -> Any:
    return part(type="image_url", image_url={"url": url})


def called(arguments: Any) -> Any:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return [*USER, {"role": "assistant", "tool_calls": [call]}, *USER]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("chat/completions", {}, 400, "model is required"),
        ("completions", {}, 400, "model is required"),
        ("embeddings", {}, 400, "model is required"),
        ("chat/completions", CHAT | {"model": "nope"}, 404, "model 'nope' not found"),
        ("chat/completions", CHAT | {"model": "a b"}, 400, "invalid model name"),
        ("chat/completions", {"model": "chat"}, 400, "[] is too short - 'messages'"),
        ("chat/completions", CHAT | {"messages": "hello"}, 400, "$.messages"),
        ("chat/completions", CHAT | {"messages": [{"role": "judge"}]}, 400, "unknown role 'judge'"),
        ("chat/completions", CHAT | {"messages": [{"role": "user", "content": 5}]}, 400, "neither"),
        ("chat/completions", CHAT | {"messages": part(type="text")}, 400, "no part of type"),
        ("chat/completions", CHAT | {"messages": part(type="input_audio")}, 400, "has no data"),
        ("chat/completions", CHAT | {"messages": part(type={})}, 400, "no part of type"),
        ("chat/completions", CHAT | {"messages": part(type="file")}, 400, "not supported"),
        (
            "chat/completions",
            CHAT | {"messages": image("https://example.com/cat.png")},
            400,
            "image URLs are not currently supported, please use base64 encoded data instead",
        ),
        ("chat/completions", CHAT | {"messages": image(5)}, 400, "has no url"),
        ("chat/completions", CHAT | {"messages": image("cat.png")}, 400, "not a data URL"),
        (
            "chat/completions",
            CHAT | {"messages": image(f"data:image/bmp;base64,{GIF}")},
            400,
            "not a data URL of a JPEG, PNG, WebP or GIF",
        ),
        ("chat/completions", CHAT | {"messages": image("data:;base64,")}, 400, "is empty"),
        (
            "chat/completions",
            CHAT | {"messages": image(f"data:image/png;base64,{GIF}")},
            400,
            "does not support vision",
        ),
        ("chat/completions", CHAT | {"messages": called("{")}, 400, "not a JSON object"),
        ("chat/completions", CHAT | {"messages": called("[1]")}, 400, "not a JSON object"),
        ("chat/completions", CHAT | {"temperature": "warm"}, 400, "$.temperature"),
        ("chat/completions", CHAT | {"temperature": 1e300}, 400, "$.temperature"),
        ("chat/completions", CHAT | {"max_tokens": 0}, 400, "at least one token"),
        ("chat/completions", CHAT | {"n": 0}, 400, "$.n"),
        ("chat/completions", CHAT | {"n": 129}, 400, "$.n"),
        ("chat/completions", CHAT | {"stop": [5]}, 400, "stop is neither"),
        ("chat/completions", CHAT | {"logit_bias": {"a": 1}}, 400, "'a', which is no token id"),
        ("chat/completions", CHAT | {"logit_bias": {"9" * 9 + "9": 1}}, 400, "no token id"),
        ("chat/completions", CHAT | {"top_logprobs": 3}, 400, "top_logprobs needs logprobs"),
        ("chat/completions", CHAT | {"logprobs": True, "top_logprobs": 21}, 400, "top_logprobs"),
        ("chat/completions", CHAT | {"response_format": "json"}, 400, "response_format has no"),
        (
            "chat/completions",
            CHAT | {"response_format": {"type": "json_schema"}},
            400,
            "has no schema",
        ),
        ("chat/completions", CHAT | {"reasoning_effort": "some"}, 400, "'some' is none of"),
        ("chat/completions", CHAT | {"reasoning_effort": "low"}, 400, "support thinking"),
        ("chat/completions", CHAT | {"functions": []}, 400, "use tools"),
        ("chat/completions", CHAT | {"modalities": ["audio"]}, 400, "audio"),
        ("chat/completions", CHAT | {"tools": [ADD]}, 400, "does not support tools"),
        (
            "chat/completions",
            CHAT | {"model": "tool", "tools": [ADD], "logprobs": True},
            400,
            "cannot give logprobs",
        ),
        (
            "chat/completions",
            CHAT | {"model": "tool", "tools": [ADD], "tool_choice": {"function": {"name": "x"}}},
            400,
            "names 'x'",
        ),
        ("chat/completions", CHAT | {"tool_choice": "required"}, 400, "needs tools"),
        ("chat/completions", CHAT | {"grammar": "root ::= ("}, 400, "grammar"),
        ("chat/completions", CHAT | {"keep_alive": []}, 400, "Unsupported type"),
        ("chat/completions", CHAT | {"options": {"num_ctx": "many"}}, 400, "num_ctx"),
        (
            "chat/completions",
            CHAT | {"messages": [{"role": "user", "content": "x" * 600}]},
            400,
            "shorten the prompt",
        ),
        ("completions", {"model": "base", "prompt": {}}, 400, "prompt is neither"),
        ("completions", {"model": "base", "prompt": [[]]}, 400, "prompt is neither"),
        ("completions", {"model": "base", "prompt": [True]}, 400, "prompt is neither"),
        ("completions", {"model": "base", "prompt": [10**6]}, 400, "the vocabulary's size"),
        ("completions", {"model": "base", "prompt": [1], "echo": True}, 400, "a prompt of text"),
        ("completions", {"model": "base", "prompt": ["a"] * 9, "n": 20}, 400, "more than 128"),
        ("completions", {"model": "base", "best_of": 3}, 400, "best_of is not supported"),
        ("completions", {"model": "base", "echo": True, "logprobs": 1}, 400, "echoed prompt"),
        ("completions", {"model": "base", "suffix": "x"}, 400, "does not support insert"),
        ("embeddings", {"model": "base"}, 400, "invalid input"),
        ("embeddings", {"model": "base", "input": []}, 400, "invalid input"),
        ("embeddings", {"model": "base", "input": 5}, 400, "input is neither"),
        ("embeddings", {"model": "base", "input": [[999_999]]}, 400, "the vocabulary's size"),
        ("embeddings", {"model": "base", "input": "a", "dimensions": 0}, 400, "$.dimensions"),
        (
            "embeddings",
            {"model": "base", "input": "a", "encoding_format": "hex"},
            400,
            "$.encoding_format",
        ),
        ("embeddings", {"model": "nope", "input": "a"}, 404, "model 'nope' not found"),
        ("audio/speech", b"x" * 100_000, 501, "is not supported"),
        ("images/generations", {}, 501, "is not supported"),
        ("nowhere", {}, 404, "404 page not found"),
    ],
)
def test_mistakes_are_told_in_openais_shape(
    server: Serving, path: str, body: Any, status: int, words: str
) -> None:
    answer = server.post(f"/v1/{path}", body)
    assert (answer.status, words in error(answer)["message"]) == (status, True), answer.body


def test_errors_have_openais_types_and_codes(server: Serving) -> None:
    missing = error(server.get("/v1/models/nope"))
    assert (missing["type"], missing["code"]) == ("not_found_error", "not_found")
    wrong = error(server.post("/v1/chat/completions", {}))
    assert (wrong["type"], wrong["code"]) == ("invalid_request_error", None)
    long = CHAT | {"messages": [{"role": "user", "content": "x" * 600}]}
    assert error(server.post("/v1/chat/completions", long))["code"] == "context_length_exceeded"
    method = server.get("/v1/chat/completions")
    assert (method.status, error(method)["type"]) == (405, "invalid_request_error")
    elsewhere = server.get("/v1/models", headers={"Origin": "https://example.com"})
    assert (elsewhere.status, error(elsewhere)["type"]) == (403, "permission_error")


def test_a_stream_that_cannot_begin_has_a_status(server: Serving) -> None:
    for n in (1, 3):
        long = CHAT | {"messages": [{"role": "user", "content": "x" * 600}], "n": n}
        answer = server.post("/v1/chat/completions", long | {"stream": True})
        assert answer.status == 400
        error(answer)


def test_a_body_over_the_limit_and_a_stream_that_breaks_end_in_an_error(
    tmp_path_factory: pytest.TempPathFactory, endless_gguf: Path
) -> None:
    with serving(tmp_path_factory.mktemp("home"), AYLLU_MAX_BODY="8M") as ending:
        ending.create("endless", endless_gguf)
        huge = ending.post("/v1/chat/completions", b'"' + b"x" * (8 << 20) + b'"')
        assert (huge.status, error(huge)["code"]) == (413, "request_too_large")
        body = json.dumps({"model": "endless", "messages": USER, "stream": True}).encode()
        request = urllib.request.Request(ending.url + "/v1/chat/completions", body)  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 - our own server
            assert response.readline().startswith(b'data: {"id":"chatcmpl-')
            ending.process.send_signal(signal.SIGTERM)
            frames = response.read().decode().strip().split("\n\n")
        last = json.loads(frames[-1].removeprefix("data: "))
        assert last["error"]["type"] == "api_error"
        assert "shutting down" in last["error"]["message"]


NAMES = st.sampled_from(
    (
        *("messages", "prompt", "input", "n", "stop", "seed", "temperature", "top_p", "logprobs"),
        *("top_logprobs", "logit_bias", "tools", "tool_choice", "response_format", "stream"),
        *("stream_options", "reasoning_effort", "options", "keep_alive", "suffix", "echo"),
        *("dimensions", "encoding_format", "max_completion_tokens", "grammar", "modalities"),
    )
)
SCALARS = scalars("user", "text", "json_object", "auto", "required", "json_schema", "a")
KEYS = st.sampled_from(("role", "content", "type", "function", "name", "text", "schema", "97"))
INNER = SCALARS | containers(SCALARS, KEYS)
VALUES = INNER | containers(INNER, KEYS)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    path=st.sampled_from(("chat/completions", "completions", "embeddings")),
    model=st.sampled_from(("base", "chat", "tool")),
    fields=st.dictionaries(NAMES, VALUES, max_size=4),
)
def test_whatever_is_sent_is_answered_or_refused(
    server: Serving, path: str, model: str, fields: Any
) -> None:
    usual = {"model": model, "messages": USER, "prompt": "a", "input": "a", "max_tokens": 2}
    if "options" in fields or "keep_alive" in fields:
        usual["model"] = "nope"  # loading a model again for every example would take minutes
    body = usual | fields
    body["n"] = body.get("n", 1) if body.get("n", 1) in (1, 2) else 0
    answer = server.post(f"/v1/{path}", json.dumps(body).encode())
    if answer.status != 200:
        assert 400 <= answer.status < 500, (body, answer.body)
        error(answer)
    elif answer.headers["content-type"].startswith("text/event-stream"):
        assert answer.body.endswith(b"data: [DONE]\n\n"), (body, answer.body)


def test_after_all_that_no_slot_is_stuck(server: Serving) -> None:
    body = {"model": "chat", "messages": USER, "n": 8}
    choices = server.post("/v1/chat/completions", body).json["choices"]
    assert {choice["message"]["content"] for choice in choices} == {walk(26)}
