"""What Anthropic's clients may get wrong: one sentence in Anthropic's shape, never a 500."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hypothesis
import pytest
from gguf_maker import walk
from hypothesis import strategies as st
from random_json import containers, words
from serving import Serving

USER = [{"role": "user", "content": "hello"}]
ADD = {"name": "add", "input_schema": {"type": "object"}}


def user(*blocks: Any) -> list[Any]:
    return [{"role": "user", "content": list(blocks)}]


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
CALL = {"type": "tool_use", "id": "t", "name": "f", "input": {}}


@pytest.mark.parametrize(
    ("fields", "status", "kind", "words"),
    [
        ({"model": None}, 400, "invalid_request_error", "model is required"),
        ({"model": "nope"}, 404, "not_found_error", "model 'nope' not found"),
        ({"model": "../x"}, 400, "invalid_request_error", "invalid model name"),
        ({"max_tokens": None}, 400, "invalid_request_error", "max_tokens is required"),
        ({"max_tokens": 0}, 400, "invalid_request_error", "max_tokens is required"),
        ({"max_tokens": -1}, 400, "invalid_request_error", "$.max_tokens"),
        ({"messages": []}, 400, "invalid_request_error", "messages is required"),
        ({"messages": "hi"}, 400, "invalid_request_error", "$.messages"),
        ({"messages": [{"role": "robot", "content": ""}]}, 400, "invalid_request_error", "robot"),
        ({"messages": user({"type": "video"})}, 400, "invalid_request_error", "video"),
        ({"messages": user({"text": "x"})}, 400, "invalid_request_error", "type"),
        ({"messages": user(CALL)}, 400, "invalid_request_error", "only an assistant's"),
        ({"messages": user(IMAGE)}, 400, "invalid_request_error", "does not support vision"),
        (
            {"messages": user(IMAGE | {"source": {"type": "url", "url": "http://x"}})},
            400,
            "invalid_request_error",
            "images come as base64 here, not as url",
        ),
        (
            {"messages": user({"type": "document", "source": {"type": "base64", "data": "AA"}})},
            400,
            "invalid_request_error",
            "only documents of text",
        ),
        (
            {"messages": [{"role": "assistant", "content": [IMAGE]}]},
            400,
            "invalid_request_error",
            "only a user's",
        ),
        ({"tools": [ADD]}, 400, "invalid_request_error", "does not support tools"),
        ({"tools": [{"name": ""}]}, 400, "invalid_request_error", "$.tools[0].name"),
        ({"tools": [{"name": "s", "type": "web_search_20250305"}]}, 400, "invalid_", "web_search"),
        ({"tool_choice": {"type": "any"}}, 400, "invalid_request_error", "tool_choice asks"),
        ({"tool_choice": {"type": "maybe"}}, 400, "invalid_request_error", "maybe"),
        ({"thinking": {"type": "hard"}}, 400, "invalid_request_error", "hard"),
        ({"temperature": 2.5}, 400, "invalid_request_error", "$.temperature"),
        ({"top_p": -1}, 400, "invalid_request_error", "$.top_p"),
        ({"top_k": 1 << 31}, 400, "invalid_request_error", "$.top_k"),
        ({"stop_sequences": [""]}, 400, "invalid_request_error", "$.stop_sequences"),
        ({"messages": user({"type": "text", "text": "x" * 600})}, 400, "invalid_", "context holds"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_mistakes_are_told_in_anthropics_shape(
    server: Serving, fields: Any, status: int, kind: str, words: str, streaming: bool
) -> None:
    body = {"model": "chat", "messages": USER, "max_tokens": 9, "stream": streaming, **fields}
    answer = server.post("/v1/messages", body)
    assert answer.status == status, answer.body
    assert answer.json["type"] == "error"
    assert answer.json["error"]["type"].startswith(kind)
    assert words in answer.json["error"]["message"]
    assert answer.json["request_id"].startswith("req_")


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/messages", 405, "invalid_request_error"),
        ("GET", "/v1/messages/batches", 404, "not_found_error"),
    ],
)
def test_unknown_paths_and_methods_too(
    server: Serving, method: str, path: str, status: int, kind: str
) -> None:
    answer = server.request(method, path)
    assert (answer.status, answer.json["error"]["type"]) == (status, kind)


def test_what_the_guard_refuses_is_told_in_the_same_shape(server: Serving) -> None:
    answer = server.post("/v1/messages", {}, headers={"Host": "evil.example"})
    assert (answer.status, answer.json["error"]["type"]) == (403, "permission_error")


def junk() -> st.SearchStrategy[Any]:
    simple = st.none() | st.booleans() | st.integers() | st.floats() | words(5)
    keys = st.sampled_from(
        ["type", "text", "role", "content", "name", "input_schema", "source", "id", "input", "x"]
    )
    kinds = st.sampled_from(["text", "image", "tool_use", "tool_result", "user", "assistant"])
    return st.recursive(
        simple | kinds,
        lambda inner: containers(inner, keys, 4),
        max_leaves=8,
    )


FIELDS = [
    *("messages", "system", "tools", "tool_choice", "thinking", "output_config", "stream"),
    *("temperature", "top_p", "top_k", "stop_sequences", "metadata", "max_tokens", "model"),
]
BLOCKS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["text", "thinking", "tool_use", "tool_result", "document"])},
        optional={
            "text": words(9),
            "thinking": words(9),
            "id": words(3),
            "name": words(3),
            "input": st.dictionaries(words(3), junk(), max_size=2),
            "tool_use_id": words(3),
            "content": junk(),
            "is_error": st.booleans(),
            "source": junk(),
        },
    ),
    max_size=3,
)
TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system"]), "content": BLOCKS | words(9)}
    ),
    max_size=4,
)
TOOLS = st.lists(
    st.fixed_dictionaries(
        {"name": words(5).map(lambda text: "n" + text)},
        optional={"description": words(5), "input_schema": junk()},
    ),
    max_size=2,
)
BODIES = st.fixed_dictionaries(
    {"model": st.sampled_from(["chat", "tool"]), "max_tokens": st.integers(1, 4)},
    optional={"messages": TURNS, "tools": TOOLS, "stream": st.booleans()},
)


@hypothesis.settings(deadline=None, max_examples=150)
@hypothesis.given(
    body=BODIES,
    odd=st.dictionaries(st.sampled_from(FIELDS), junk(), max_size=2),
    count=st.booleans(),
)
def test_no_request_breaks_the_server(
    server: Serving, body: dict[str, Any], odd: dict[str, Any], count: bool
) -> None:
    path = "/v1/messages/count_tokens" if count else "/v1/messages"
    body = {"messages": USER} | body | odd
    answer = server.post(path, json.dumps(body, allow_nan=True).encode("utf-8", "surrogatepass"))
    assert answer.status in {200, 400, 404}, (answer.body, body)
    if answer.status != 200:
        assert answer.json["type"] == "error"
    elif answer.headers["content-type"].startswith("text/event-stream"):
        last = answer.body.decode().rstrip().rpartition("\n")[2]
        assert last == 'data: {"type":"message_stop"}', answer.body


def test_after_all_that_every_slot_is_free(server: Serving) -> None:
    """As many answers at once as there are slots, and one more."""
    with ThreadPoolExecutor(5) as pool:
        body = {"model": "chat", "messages": USER, "max_tokens": 200}
        answers = list(pool.map(lambda _: server.post("/v1/messages", body).json, range(5)))
    assert [answer["content"][0]["text"] for answer in answers] == [walk(26)] * 5
