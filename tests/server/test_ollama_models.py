"""Ollama's routes around the models: status, accounts, sources in names, show as asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_json import containers, scalars
from reranker_maker import make_reranker
from serving import Serving

USER = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def cross(server: Serving, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A reranker on the same server."""
    server.create("cross", make_reranker(tmp_path_factory.mktemp("models") / "cross.gguf"))


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"model": "nope"}, 404, "model 'nope:latest' not found"),
        ({"model": "nope", "stream": False}, 404, "model 'nope:latest' not found"),
        ({}, 400, "model is required"),
        ({"model": "a b"}, 400, "invalid model name"),
        ({"model": 5}, 400, "$.model"),
        ({"model": "http://host/me/chat"}, 400, "insecure protocol http"),
    ],
)
def test_a_push_of_nothing_is_refused_before_it_begins(
    server: Serving, body: Any, status: int, words: str
) -> None:
    answer = server.post("/api/push", body)
    assert (answer.status, words in answer.json["error"]) == (status, True), answer.body


def test_there_is_no_cloud_and_there_are_no_accounts(server: Serving) -> None:
    assert server.get("/api/status").json == {"cloud": {"disabled": True, "source": "config"}}
    for path in ("/api/me", "/api/signout"):
        bodies: tuple[Any, ...] = (None, {}, b"x" * 100_000)
        for body in bodies:
            answer = server.post(path, body)
            assert (answer.status, answer.json["error"]) == (
                403,
                "there are no accounts here: nothing leaves your machines",
            )


@pytest.mark.parametrize(
    "path", ["/", "/api/tags", "/api/version", "/api/ps", "/api/status", "/v1/models"]
)
def test_what_can_be_got_can_be_asked_for_its_head(server: Serving, path: str) -> None:
    head, whole = server.request("HEAD", path), server.get(path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]


@pytest.mark.parametrize("name", ["chat:local", "chat:LOCAL", "chat:latest:local", "Chat:Local"])
def test_a_name_may_say_that_the_model_is_here(server: Serving, name: str) -> None:
    options = {"num_predict": 1}
    body = {"model": name, "messages": USER, "stream": False, "options": options}
    assert server.post("/api/chat", body).json["model"] == name
    assert server.post("/api/show", {"model": name}).json["details"]["family"] == "llama"
    reply = server.post("/v1/chat/completions", {"model": name, "messages": USER, "max_tokens": 1})
    assert reply.status == 200


@pytest.mark.parametrize("name", ["chat:cloud", "gpt-oss:120b-cloud", "x:8b:CLOUD", "u/x:cloud"])
def test_a_model_in_a_cloud_is_refused(server: Serving, name: str) -> None:
    for path, body in (
        ("/api/generate", {"prompt": "a"}),
        ("/api/chat", {"messages": USER}),
        ("/api/embed", {"input": "a"}),
        ("/api/show", {}),
        ("/api/tokenize", {"content": "a"}),
    ):
        answer = server.post(path, {"model": name, **body})
        assert answer.status == 403, path
        assert "nothing leaves your machines" in answer.json["error"]
    theirs = server.post("/v1/chat/completions", {"model": name, "messages": USER})
    assert (theirs.status, theirs.json["error"]["type"]) == (403, "permission_error")


def test_a_model_is_made_of_one_that_has_to_be_pulled(server: Serving) -> None:
    assert server.request("DELETE", "/api/delete", {"model": "mini"}).status == 200
    lines = server.post(
        "/api/create", {"model": "kind", "from": "mini", "system": "Be kind."}
    ).lines
    statuses = [line["status"] for line in lines]
    assert statuses[0] == "pulling manifest"
    assert statuses.count("success") == 1
    assert statuses[-1] == "success"
    assert server.post("/api/show", {"model": "kind"}).json["system"] == "Be kind."
    gone = server.post("/api/create", {"model": "kind", "from": "127.0.0.1:9/a/b", "stream": False})
    assert gone.status == 403
    assert "127.0.0.1" in gone.json["error"]
    wrong = {"model": "kind", "from": "127.0.0.1:9/a/b", "requires": "new"}
    assert "semver" in server.post("/api/create", wrong).json["error"]


def test_a_model_that_is_really_named_so_comes_first(server: Serving) -> None:
    for name in ("mine:local", "mine:cloud"):
        assert server.post("/api/copy", {"source": "base", "destination": name}).status == 200
        body = {"model": name, "prompt": "a", "stream": False, "options": {"num_predict": 2}}
        assert server.post("/api/generate", body).json["response"] == "bc"


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("nope:local", 404, "model 'nope:local' not found"),
        ("nope:8b:local", 404, "model 'nope:8b:local' not found"),
        ("chat:cloud:local", 400, 'use either :local or :cloud, not both: "chat:cloud:local"'),
        ("chat:local:local", 404, "model 'chat:local:local' not found"),
        ("a b:local", 400, "invalid model name"),
        ("a:b:c", 400, "invalid model name"),
        (":local", 400, "invalid model name"),
    ],
)
def test_sources_of_names_that_are_none_are_told(
    server: Serving, name: str, status: int, words: str
) -> None:
    answer = server.post("/api/generate", {"model": name, "prompt": "a"})
    assert (answer.status, words in answer.json["error"]) == (status, True), answer.body


def test_show_takes_what_stands_in_for_the_models_own(server: Serving) -> None:
    options = {"temperature": 0.5, "stop": ["x", "y"], "seed": None}
    asked = {"system": "Be long.", "template": "{{ .Prompt }}!", "options": options}
    shown = server.post("/api/show", {"model": "chat", **asked}).json
    assert (shown["system"], shown["template"]) == ("Be long.", "{{ .Prompt }}!")
    assert shown["parameters"].split() == ["stop", '"x"', "stop", '"y"', "temperature", "0.5"]
    for line in ("TEMPLATE {{ .Prompt }}!", "SYSTEM Be long.", "PARAMETER temperature 0.5"):
        assert line in shown["modelfile"].splitlines()
    plain = server.post("/api/show", {"name": "chat"}).json
    assert not {"system", "template", "parameters", "tensors"} & set(plain)
    assert plain["model_info"]["tokenizer.ggml.tokens"] is None
    verbose = server.post("/api/show", {"model": "chat", "verbose": True}).json
    assert len(verbose["model_info"]["tokenizer.ggml.tokens"]) == 262
    assert {"name", "type", "shape"} == set(verbose["tensors"][0])


def test_copilot_is_told_the_name_that_it_asked_for(server: Serving) -> None:
    def base_name(agent: str) -> Any:
        headers = {"User-Agent": agent}
        shown = server.post("/api/show", {"model": "chat"}, headers=headers).json
        return shown["model_info"].get("general.basename")

    assert base_name("GitHubCopilotChat/0.31") == "chat"
    assert base_name("curl/8") is None


def test_loaded_models_are_listed_the_longest_lasting_first(server: Serving) -> None:
    for name, keep_alive in (("chat", "2m"), ("base", -1), ("tool", "5m")):
        server.post("/api/generate", {"model": name, "keep_alive": keep_alive})
    rows = server.get("/api/ps").json["models"]
    assert [row["name"] for row in rows] == ["base:latest", "tool:latest", "chat:latest"]
    assert list(rows[0]) == [
        *("name", "model", "size", "digest", "details", "expires_at", "size_vram"),
        "context_length",
    ]
    for name in ("chat", "base", "tool"):
        server.post("/api/generate", {"model": name, "keep_alive": 0})
    assert server.get("/api/ps").json == {"models": []}


FIELDS = st.sampled_from(
    (
        *("query", "documents", "top_n", "return_documents", "truncate", "content", "tokens"),
        *("add_special", "parse_special", "with_pieces", "stream", "insecure", "name"),
        *("prompt", "messages", "context", "raw", "suffix", "images", "_debug_render_only"),
    )
)
VALUES = st.recursive(
    scalars(infinite=False),
    lambda inner: containers(inner, st.sampled_from(("text", "role", "content"))),
    max_leaves=5,
)


@pytest.mark.usefixtures("cross")
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    path=st.sampled_from(
        (
            *("/api/rerank", "/v1/rerank", "/api/tokenize", "/api/detokenize", "/api/push"),
            *("/api/me", "/api/signout", "/api/generate", "/api/chat"),
        )
    ),
    model=st.sampled_from(("base", "chat", "cross")),
    fields=st.dictionaries(FIELDS, VALUES, max_size=5),
)
def test_whatever_is_sent_is_answered_or_refused(
    server: Serving, path: str, model: str, fields: Any
) -> None:
    usual = {"model": model, "query": "a", "documents": ["a"], "content": "a", "tokens": [5]}
    answer = server.post(path, json.dumps({"_debug_render_only": True} | usual | fields).encode())
    if answer.status == 200:
        assert answer.body.strip()
    else:
        assert 400 <= answer.status < 500 or answer.status in {501, 502}, (
            path,
            fields,
            answer.body,
        )
        assert answer.json["error"]


@pytest.mark.usefixtures("cross")
def test_after_all_that_the_models_answer(server: Serving) -> None:
    body = {"model": "cross", "query": "a", "documents": ["b", "a"]}
    assert server.post("/api/rerank", body).json["results"][0]["index"] == 1
    assert server.post("/api/tokenize", {"model": "chat", "content": "a"}).json["tokens"] == [97]
