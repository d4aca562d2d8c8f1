"""Bodies that are no requests, on every route; and arbitrary JSON in Ollama's requests.

Wrong types for each field are Schemathesis' business (test_openapi.py); what clients of OpenAI and
Anthropic get wrong stands in files of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hypothesis
import pytest
from gguf_maker import walk
from hypothesis import strategies as st
from random_json import containers, words
from serving import Answer, Serving, serving, wait_until

from ayllu.server.errors import dialect_of
from ayllu.server.openapi import Endpoint
from ayllu.server.routes import ROUTES

USER = [{"role": "user", "content": "hello"}]
READERS = [route for route in ROUTES if route.takes not in (None, bytes)]
"""The routes that read JSON."""

MEASURE = "/api/cluster/measure"
"""What it reads is no matter: each request keeps all cores busy for seconds."""

SHAPES = {"Ollama": {"error"}, "OpenAI": {"error"}, "Anthropic": {"type", "error", "request_id"}}
DEEP = 10_000
BODIES = {
    "nothing": b"",
    "spaces": b" \n",
    "half of an object": b"{",
    "a list": b"[]",
    "a number": b"5",
    "a text": b'"model"',
    "no UTF-8": b'{"model": "\xff"}',
    "UTF-16": '{"model": "mini"}'.encode("utf-16"),
    "half of a character": b'{"model": "\\ud800", "stream": \xed\xa0\x80}',
    "NaN": b'{"model": NaN}',
    "Infinity": b'{"options": {"temperature": -Infinity}}',
    "a number of no size": b'{"options": {"temperature": 1e999}}',
    "a number of many digits": b'{"model": ' + b"9" * 10_000 + b"}",
    "deep lists": b'{"messages": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep objects": b'{"options": ' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "deep in what is ignored": b'{"whatever": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "two objects": b"{}{}",
    "a form": b"model=mini&prompt=hi",
}


def sentence(answer: Answer, path: str) -> str:
    """The one sentence of an error, in its dialect's shape."""
    body = answer.json
    assert set(body) == SHAPES[dialect_of(path).name], answer.body
    error = body["error"]
    text = error if isinstance(error, str) else error["message"]
    assert isinstance(text, str)
    assert text
    assert "\n" not in text
    assert "internal error" not in text
    return text


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("route", READERS, ids=lambda route: route.path)
def test_what_is_no_request_is_a_400_in_one_sentence(
    server: Serving, route: Endpoint, kind: str
) -> None:
    answer = server.request(route.method, route.path, BODIES[kind])
    assert answer.status == 400, answer.body
    sentence(answer, route.path)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("home"), AYLLU_MAX_BODY="1M") as running:
        yield running


@pytest.mark.parametrize("route", READERS, ids=lambda route: route.path)
def test_a_huge_body_is_a_413(small: Serving, route: Endpoint) -> None:
    answer = small.request(route.method, route.path, {"model": "x" * (1 << 20)})
    assert answer.status == 413
    assert sentence(answer, route.path) == f"the request is larger than {1 << 20} bytes"


KNOWN = st.sampled_from(("user", "tool", "json", "high", "0", "5m", "{{ .Prompt }}", "AAAA"))
SIMPLE = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False)
KEYS = st.sampled_from(("role", "content", "type", "function", "name", "parameters", "images", "x"))
JUNK = st.recursive(
    SIMPLE | KNOWN | words(5),
    lambda inner: containers(inner, KEYS),
    max_leaves=8,
)
OPTIONS = st.dictionaries(
    st.sampled_from(("seed", "top_k", "top_p", "stop", "temperature", "num_keep", "repeat_last_n")),
    JUNK,
    max_size=3,
)
TURN = st.dictionaries(st.sampled_from(("role", "content", "thinking", "tool_calls", "x")), JUNK)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "messages": st.lists(TURN | st.just({"role": "user", "content": "hi"}), max_size=3) | JUNK,
    "options": OPTIONS | JUNK,
    **dict.fromkeys(
        ("prompt", "suffix", "system", "template", "raw", "images", "context", "format", "think"),
        JUNK,
    ),
    **dict.fromkeys(
        ("tools", "tool_choice", "stream", "truncate", "shift", "logprobs", "top_logprobs"), JUNK
    ),
    **dict.fromkeys(("input", "dimensions", "verbose", "name", "source", "destination"), JUNK),
    **dict.fromkeys(("files", "adapters", "parameters", "license", "quantize", "requires"), JUNK),
}
PATHS = [
    route for route in READERS if dialect_of(route.path).name == "Ollama" and route.path != MEASURE
]


@hypothesis.settings(deadline=None, max_examples=250)
@hypothesis.given(
    route=st.sampled_from(PATHS),
    model=st.sampled_from(("chat", "base", "tool")),
    fields=st.lists(st.sampled_from(sorted(FIELDS)), max_size=4).flatmap(
        lambda names: st.fixed_dictionaries({name: FIELDS[name] for name in names})
    ),
)
def test_arbitrary_json_is_answered_or_refused(
    server: Serving, route: Endpoint, model: str, fields: dict[str, Any]
) -> None:
    changes = route.path in {"/api/delete", "/api/create", "/api/pull"}
    usual: dict[str, Any] = {
        "model": "nobodys" if changes else model,
        "messages": USER,
        "prompt": "a",
        "input": "a",
        "options": {},
        "from": model,
        "source": model,
        "destination": "nobodys",
    }
    body = usual | fields
    if isinstance(body.get("options"), dict):
        body["options"] = {"num_predict": 2} | body["options"]
    data = json.dumps(body).encode("utf-8", "surrogatepass")
    answer = server.request(route.method, route.path, data)
    expected = {200, 400, 404} | ({403, 502} if route.path == "/api/pull" else set())
    assert answer.status in expected, (answer.body, body)
    if answer.status != 200:
        sentence(answer, route.path)
    elif answer.headers.get("content-type") == "application/x-ndjson":
        assert answer.lines[-1].keys() & {"done", "status", "error"}, answer.lines


def test_after_all_that_every_slot_is_free(server: Serving) -> None:
    wait_until(lambda: server.busy_slots() == 0, what="every slot coming free")
    body = {"model": "chat", "messages": USER, "stream": False}
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: server.post("/api/chat", body).json, range(5)))
    assert [answer["message"]["content"] for answer in answers] == [walk(26)] * 5
    assert "Traceback" not in server.log.read_text("utf-8")
