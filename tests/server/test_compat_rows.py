"""What docs/compat.md calls ignored changes nothing; what it calls refused gets that sentence."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from compat_page import read_page
from serving import Serving, serving

from ayllu.server.openai_messages import read_messages
from ayllu.server.wire_openai import ChatMessage

PAGE = read_page()


def rows(status: str) -> list[tuple[str, str]]:
    return [
        (where, key)
        for where, section in PAGE.items()
        for key, row in section.request.items()
        if row.status == status
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("home")) as running:
        yield running


FUNCTION = {"name": "add", "parameters": {"type": "object", "properties": {}}}
SCHEMA = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
GENERATE = {
    "model": "mini",
    "prompt": "Hello!",
    "options": {"num_predict": 2, "temperature": 0},
    "stream": False,
}
CHAT: dict[str, Any] = {
    "model": "mini",
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello!"}]}],
    "max_tokens": 2,
    "temperature": 0,
}
MESSAGES: dict[str, Any] = {
    "model": "mini",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hello!"}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm."}]},
        {
            "role": "user",
            "content": [
                {
                    "type": "document",
                    "source": {"type": "content", "content": [{"type": "text", "text": "Hi!"}]},
                }
            ],
        },
    ],
    "max_tokens": 2,
    "temperature": 0,
}
SAID = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello!"}]}
RESPONSES: dict[str, Any] = {
    "model": "mini",
    "input": [SAID],
    "max_output_tokens": 2,
    "temperature": 0,
    "store": False,
}
TOOL = {"name": "add", "input_schema": {"type": "object"}}

SAMPLES: dict[str, tuple[str, Any, str]] = {
    "post-apigenerate": ("/api/generate", GENERATE, ""),
    "options": ("/api/generate", GENERATE, "options"),
    "post-apishow": ("/api/show", {"model": "mini"}, ""),
    "post-apicreate": ("/api/create", {"model": "new", "from": "mini", "stream": False}, ""),
    "post-apipull": ("/api/pull", {"model": "mini", "stream": False}, ""),
    "post-v1chatcompletions": (
        "/v1/chat/completions",
        CHAT | {"stream_options": {}, "response_format": SCHEMA},
        "",
    ),
    "openais-messages": ("/v1/chat/completions", CHAT, "messages.0"),
    "post-v1completions": (
        "/v1/completions",
        {"model": "mini", "prompt": "Hello!", "max_tokens": 2, "temperature": 0},
        "",
    ),
    "post-v1embeddings": ("/v1/embeddings", {"model": "mini", "input": "Hello!"}, ""),
    "post-v1responses": (
        "/v1/responses",
        RESPONSES | {"reasoning": {}, "text": {"format": {"type": "json_schema", "schema": {}}}},
        "",
    ),
    "items-of-a-response": ("/v1/responses", RESPONSES, "input.0"),
    "parts-of-an-item": ("/v1/responses", RESPONSES, "input.0.content.0"),
    "tools-of-a-response": (
        "/v1/responses",
        RESPONSES | {"tools": [{"type": "function", "name": "add"}]},
        "tools.0",
    ),
    "post-v1responsesinput_tokens": ("/v1/responses/input_tokens", RESPONSES, ""),
    "post-v1messages": (
        "/v1/messages",
        MESSAGES | {"tools": [TOOL], "thinking": {"type": "disabled"}, "output_config": {}},
        "",
    ),
    "anthropics-blocks": ("/v1/messages", MESSAGES, "messages.2.content.0"),
}
"""For each table a route, a request, and where in it the table's fields are."""

PLACES = {
    "signature": "messages.1.content.0",
    "anthropics-blocks []": "messages.1.content",
    "items-of-a-response []": "input",
    "tools-of-a-response []": "tools",
}
"""Where else in it some are, and where blocks, items and tools are that are ignored as a whole."""

ODD = {"type": "odd", "of": ["any", 1.5, None, {"form": True}]}
VALUES = {"insecure": True, "signature": "c2ln", "text.verbosity": "low"}
"""The values of those that are ignored, but read."""

NEED_SENSES = [
    ("openais-messages", "content.image_url.detail"),
    ("openais-messages", "content.input_audio.format"),
]


def with_field(body: Any, path: str, value: Any) -> Any:
    """The request with one field more, or one block more where the path ends in a tag."""
    body = copy.deepcopy(body)
    spot, parts = body, path.split(".")
    for part, following in itertools.pairwise(parts):
        spot = spot[int(part) if part.isdigit() else part]
        if isinstance(spot, list) and not (following.isdigit() or following.startswith("[")):
            spot = spot[0]
    if isinstance(spot, list):
        spot.append(value | {"type": parts[-1].strip("[]")})
    else:
        assert parts[-1] not in spot
        spot[parts[-1]] = value
    return body


VOLATILE = re.compile("id|created|.*_at|.*_duration|.*cached_tokens")


def told(value: Any) -> Any:
    """What an answer says, without what is never the same twice."""
    if isinstance(value, list):
        return [told(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("object") == "response":
        value = {name: value[name] for name in ("status", "output", "usage")}
    if "cache_read_input_tokens" in value:
        value = {"prompt": value["input_tokens"] + value["cache_read_input_tokens"]}
    return {key: told(item) for key, item in value.items() if not VOLATILE.fullmatch(key)}


@pytest.mark.parametrize(
    ("where", "key"),
    [row for row in rows("ignored") if row not in NEED_SENSES and not row[0].startswith("get-")],
)
def test_what_is_ignored_changes_nothing(server: Serving, where: str, key: str) -> None:
    path, body, place = SAMPLES[where]
    of_its_kind = PLACES.get(f"{where} []") if key.startswith("[") else None
    place = of_its_kind or PLACES.get(key, place)
    whole = f"{place}.{key}" if place else key
    more = with_field(body, whole, VALUES.get(key, ODD))
    assert more != body
    first, second = server.post(path, body), server.post(path, more)
    assert (first.status, second.status) == (200, 200), (first.body, second.body)
    assert told(second.json) == told(first.json)


@pytest.mark.parametrize(
    ("kind", "value", "more"),
    [
        ("image_url", {"url": "data:image/png;base64,AAAA"}, {"detail": ODD}),
        ("input_audio", {"data": "UklGRiQAAABXQVZF"}, {"format": ODD}),
    ],
)
def test_what_is_said_of_images_and_sounds_is_ignored(kind: str, value: Any, more: Any) -> None:
    plain, told_of = (
        read_messages([ChatMessage(role="user", content=[{"type": kind, kind: given}])])
        for given in (value, value | more)
    )
    assert plain == told_of


def test_what_is_ignored_in_a_query_changes_nothing(server: Serving) -> None:
    ident = server.post("/v1/responses", RESPONSES | {"store": True}).json["id"]
    for where, end in {
        "get-v1responsesresponse": "",
        "get-v1responsesresponseinput_items": "/input_items",
    }.items():
        path = f"/v1/responses/{ident}{end}"
        queries = [f"?{key}=odd" for place, key in rows("ignored") if place == where]
        assert queries
        answers = [server.get(path + query) for query in ("", *queries)]
        assert [answer.status for answer in answers] == [200] * len(answers)
        assert {answer.body for answer in answers} == {answers[0].body}


def chat(**fields: Any) -> tuple[str, Any]:
    return "/v1/chat/completions", CHAT | fields


def says(*messages: Any) -> tuple[str, Any]:
    return chat(messages=[*messages, {"role": "user", "content": "Hello!"}])


def user(**block: Any) -> tuple[str, Any]:
    turn = {"role": "user", "content": [block]}
    return "/v1/messages", MESSAGES | {"messages": [turn]}


def response(**fields: Any) -> tuple[str, Any]:
    return "/v1/responses", RESPONSES | fields


def part(**fields: Any) -> tuple[str, Any]:
    return response(input=[{"role": "user", "content": [fields]}])


REFUSED: dict[tuple[str, str], list[tuple[str, Any]]] = {
    ("post-apicreate", "remote_host"): [
        ("/api/create", {"model": "new", "from": "mini", "remote_host": "http://there"})
    ],
    ("post-v1chatcompletions", "tools[custom]"): [
        chat(tools=[{"type": "custom", "custom": {"name": "add"}}])
    ],
    ("post-v1chatcompletions", "tool_choice[allowed_tools]"): [
        chat(
            tools=[{"type": "function", "function": FUNCTION}],
            tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
        )
    ],
    ("post-v1chatcompletions", "tool_choice[custom]"): [
        chat(
            tools=[{"type": "function", "function": FUNCTION}],
            tool_choice={"type": "custom", "custom": {"name": "add"}},
        )
    ],
    ("post-v1chatcompletions", "functions"): [chat(functions=[FUNCTION])],
    ("post-v1chatcompletions", "function_call"): [chat(function_call={"name": "add"})],
    ("openais-messages", "content[file]"): [
        says({"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]})
    ],
    ("openais-messages", "tool_calls[custom]"): [
        says({"role": "assistant", "tool_calls": [{"type": "custom", "custom": {"name": "add"}}]})
    ],
    ("post-v1completions", "best_of"): [
        ("/v1/completions", {"model": "mini", "prompt": "Hello!", "n": 1, "best_of": 2})
    ],
    ("post-v1responses", "tool_choice[*]"): [
        response(tools=[{"type": "function", "name": "add"}], tool_choice={"type": kind})
        for kind in ("web_search_preview", "mcp", "whatever")
    ],
    ("post-v1responses", "background"): [response(background=True)],
    ("post-v1responses", "conversation"): [response(conversation="c")],
    ("post-v1responses", "prompt"): [response(prompt={"id": "p"})],
    ("post-v1responses", "moderation"): [response(moderation={"model": "m"})],
    ("items-of-a-response", "[*]"): [
        response(input=[SAID, {"type": kind}]) for kind in ("compaction", "shell_call", "whatever")
    ],
    ("parts-of-an-item", "file_id"): [part(type="input_image", file_id="f")],
    ("parts-of-an-item", "[input_file]"): [part(type="input_file", file_id="f")],
    ("tools-of-a-response", "[*]"): [
        response(tools=[{"type": "mcp"}]),
        response(tools=[{"type": "code_interpreter"}]),
        response(tools=[{"type": {}, "name": "add"}]),
    ],
    ("get-v1responsesresponse", "stream"): [("/v1/responses/resp_1?stream=true", None)],
    ("post-v1messages", "tools[*]"): [
        ("/v1/messages", MESSAGES | {"tools": [{"type": kind, "name": "x"}]})
        for kind in ("bash_20250124", "web_search_20250305", "whatever")
    ],
    ("post-v1messages", "thinking[between_tools]"): [
        ("/v1/messages", MESSAGES | {"thinking": {"type": "between_tools"}})
    ],
    ("anthropics-blocks", "[*]"): [
        user(type="container_upload", file_id="f"),
        user(type="web_fetch_tool_result", tool_use_id="t", content={}),
        user(type="whatever"),
    ],
    ("anthropics-blocks", "source[url]"): [
        user(type="image", source={"type": "url", "url": "http://there"}),
        user(type="document", source={"type": "url", "url": "http://there"}),
    ],
    ("anthropics-blocks", "source[file]"): [
        user(type="image", source={"type": "file", "file_id": "f"}),
        user(type="document", source={"type": "file", "file_id": "f"}),
    ],
    ("anthropics-blocks", "source.content[image]"): [
        user(type="document", source={"type": "content", "content": [{"type": "image"}]})
    ],
}
"""Requests that are refused for what a row of the page names."""


def test_every_refusal_on_the_page_is_tried() -> None:
    assert set(rows("refused")) == set(REFUSED)


@pytest.mark.parametrize(
    ("where", "key", "path", "body"),
    [(*row, *request) for row, requests in REFUSED.items() for request in requests],
)
def test_what_is_refused_gets_the_sentence_on_the_page(
    server: Serving, where: str, key: str, path: str, body: Any
) -> None:
    answer = server.post(path, body) if body else server.get(path)
    error = answer.json["error"]
    sentence = error if isinstance(error, str) else error["message"]
    quoted = re.findall(r'"([^"]+)"', PAGE[where].request[key].text)
    assert answer.status == 400, answer.body
    assert any(words in sentence for words in quoted), (quoted, sentence)
