"""The OpenAPI document: valid, whole, and true, which Schemathesis asks a real server about."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from compat_page import documented
from serving import Serving, serving, wait_until

from ayllu.server.openapi import Endpoint, document
from ayllu.server.routes import ROUTES

FOLDER = Path(__file__).parent
DOCUMENT = document(ROUTES)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("home"), AYLLU_SERVE_REGISTRY="on") as running:
        yield running


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_route_says_what_it_does_takes_and_gives(route: Endpoint) -> None:
    docstring = route.endpoint.__doc__ or ""
    assert documented(route.path) in docstring.partition("\n")[0], "begin it: METHOD /path: ..."
    assert route.summary.endswith(".")
    assert route.method in {"GET", "HEAD", "DELETE"} or route.takes or not route.statuses
    assert route.gives or route.streams or route.path in EMPTY or not route.statuses


EMPTY = {"/api/copy", "/api/delete", "/api/blobs/{digest}"}
"""What Ollama answers with an empty body."""


def test_the_document_is_valid() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
        )


def test_every_route_is_in_it() -> None:
    operations = {
        (method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods
    }
    assert operations == {(route.method, route.path_format) for route in ROUTES}


def operation(method: str, path: str) -> Any:
    return DOCUMENT["paths"][path][method]


def schema(name: str) -> Any:
    return DOCUMENT["components"]["schemas"][name]


def test_streams_have_their_media_types() -> None:
    lines = operation("post", "/api/chat")["responses"]["200"]["content"]
    assert set(lines) == {"application/json", "application/x-ndjson"}
    events = operation("post", "/v1/messages")["responses"]["200"]["content"]
    assert set(events) == {"application/json", "text/event-stream"}


def test_errors_have_the_shape_of_their_dialect() -> None:
    for path, name in {
        "/api/chat": "OllamaErrorResponse",
        "/v1/embeddings": "OpenAIErrorResponse",
        "/v1/messages": "AnthropicErrorResponse",
    }.items():
        for status in ("4XX", "5XX"):
            content = operation("post", path)["responses"][status]["content"]
            assert content["application/json"]["schema"]["$ref"].endswith(f"/{name}")


def test_null_is_absent_and_what_is_needed_is_required() -> None:
    asked = schema("OpenAIChatRequest")
    assert asked["required"] == ["model", "messages"]
    assert {"type": "null"} in asked["properties"]["temperature"]["anyOf"]
    assert {"type": "null"} not in asked["properties"]["messages"].get("anyOf", ())
    assert schema("OllamaMessage")["properties"]["content"]["type"] == "string"
    assert {"type": "null"} in schema("OllamaMessageInput")["properties"]["content"]["anyOf"]


def test_fields_that_are_read_by_hand_have_a_schema() -> None:
    """A field without a type says nothing; what is free in its form says so."""
    for name, component in DOCUMENT["components"]["schemas"].items():
        for field, said in component.get("properties", {}).items():
            assert set(said) - {"default", "description", "title"}, f"{name}.{field} is any JSON"


def test_the_document_is_served_like_everything_else(server: Serving) -> None:
    answer = server.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == json.loads(json.dumps(DOCUMENT))
    assert server.get("/openapi.json", headers={"Host": "evil.example"}).status == 403
    assert server.get("/openapi.json", headers={"Origin": "https://evil.example"}).status == 403


LEFT_OUT = {
    "/v1/messages/count_tokens": "it reads the requests of the route beside it",
    "/v1/responses/input_tokens": "the same",
    "/api/perplexity": "each request that fits measures for seconds; test_quantize.py has the rest",
    "/api/quantizations": "the same: 35 runs of the engine's",
    "/api/tune": "each request that fits begins a job; test_tune.py has what may be wrong",
    "/api/tune/evaluate": "each that fits computes for seconds; test_tune_evaluate.py has the rest",
    "/api/push": "it asks registries; test_push.py has what may be wrong",
    "/api/cluster/measure": "each request measures for seconds; test_cluster.py has the rest",
    "/api/cluster/contribute": "null is an empty object to it; test_contribute.py has mistakes",
    "/api/cluster/deployments": "what fits depends on the ayllu; test_deploying.py has mistakes",
    "/api/cluster/deployments/{deployment}": "the same",
    "/api/cluster/events": "it has no end; test_cluster.py reads its beginning",
    **{
        f"/api/cluster/{name}": "what fits depends on the ayllu; test_joining.py has mistakes"
        for name in ("up", "invite", "join", "pair", "pair/confirm", "revoke", "leave")
    },
    "/api/blobs/{digest}": "almost a digest takes long to draw; test_bad_models.py has some",
}


def test_the_server_does_what_its_document_says(server: Serving, tmp_path: Path) -> None:
    """Every field with what fits and what does not; every answer is held to its schema."""
    for name in ("schemathesis.toml", "schemathesis_hooks.py"):
        shutil.copy(FOLDER / name, tmp_path)
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
    command += [f"--exclude-path={path}" for path in LEFT_OUT]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    tried = [route for route in ROUTES if route.path_format not in {*LEFT_OUT, "/openapi.json"}]
    assert f"Tested: {len(tried)}" in done.stdout
    assert "Traceback" not in server.log.read_text("utf-8")
    wait_until(lambda: server.busy_slots() == 0, what="every slot coming free")
    body = {"model": "mini", "prompt": "What colour is snow?", "stream": False}
    assert "white" in server.post("/api/generate", body).json["response"].lower()
