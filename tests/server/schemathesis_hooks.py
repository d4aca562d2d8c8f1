"""What Schemathesis is told about this API: how to ask for little, and what no schema can say.

Loaded by Schemathesis' own process; test_openapi.py starts it.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema_rs
import schemathesis
from schemathesis import APIOperation, Case, CheckContext, GenerationMode, HookContext, Response

NDJSON = "application/x-ndjson"
MODEL = "mini"
NOBODYS = "nobodys"
"""A model that may be made, copied over and removed."""

SMALL: dict[str, Any] = {
    "num_predict": 2,
    "max_tokens": 2,
    "max_completion_tokens": 2,
    "keep_alive": 300,
    "num_ctx": 512,
    "num_batch": 64,
    "num_gpu": 0,
    "num_thread": 1,
    "main_gpu": 0,
    "use_mmap": True,
    "draft_num_predict": 0,
    "adapter_scale": [],
    "n": 2,
}
"""In place of other numbers, so that a model is loaded once and says little."""

UNSAYABLE = (
    "not found",
    "does not support",
    "invalid model name",
    "no repository",
    "digest mismatch",
    "the vocabulary's size",
    "empty text",
    "is no image",
    "is no WAV",
    "tool_choice",
    "best_of",
    "top_logprobs needs logprobs",
    "logprobs of an echoed prompt",
    "input is required",
    "message may have such a block",
    "Cannot continue an assistant message",
    "only documents of text",
    "the text is empty",
    "the text is too short",
    "that the model was made for",
)
"""What may be wrong with a request that fits its schema."""


def fits(case: Case[Any]) -> bool:
    """Whether the schema was followed, and not broken on purpose."""
    return case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE


@schemathesis.hook
def before_load_schema(_: HookContext, document: dict[str, Any]) -> None:
    """The options, of which there are many, are read by the same code everywhere: try them once."""
    for name, component in document["components"]["schemas"].items():
        if "options" in component["properties"] and name != "OllamaGenerateRequest":
            component["properties"]["options"] = {"type": ["object", "null"]}


@schemathesis.hook
def before_call(_: HookContext, case: Case[Any], __: dict[str, Any]) -> None:
    """Ask for a model that is there, and for little of it."""
    if isinstance(case.body, dict):
        name_models(case.body, case.operation.path)
        if fits(case):
            say_little(case.body, case.operation.path)


def name_models(body: dict[str, Any], path: str) -> None:
    changes_models = path in {"/api/delete", "/api/create"}
    names = {"model": NOBODYS if changes_models else MODEL, "source": MODEL, "destination": NOBODYS}
    for field, name in names.items():
        if body.get(field) and isinstance(body[field], str):
            body[field] = name
    if path == "/api/create":
        body.setdefault("from", MODEL)
    if path == "/api/chat" and not body.get("messages"):
        body["messages"] = [{"role": "user", "content": "hi"}]


def say_little(body: dict[str, Any], path: str) -> None:
    if path in {"/api/generate", "/v1/completions"}:
        body["prompt"] = body.get("prompt") or "hi"
    if path in {"/api/chat", "/api/generate"}:
        body["options"] = {"num_predict": 2} | (body.get("options") or {})
    if path.endswith("/completions"):
        body["max_tokens"] = body.get("max_tokens") or 2
    if path == "/v1/responses":
        body["max_output_tokens"] = 2
    if path == "/api/perplexity":
        body["chunks"] = 1
    for place in (body, body.get("options") or {}):
        place |= {name: value for name, value in SMALL.items() if place.get(name) is not None}


@schemathesis.check
def every_line_fits(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """Schemathesis itself does not look into streams of lines."""
    if response.headers.get("content-type") == [NDJSON]:
        for line in response.content.splitlines():
            line_validator(case.operation).validate(json.loads(line))


@cache
def line_validator(operation: APIOperation[Any, Any, Any, Any]) -> jsonschema_rs.Validator:
    document = operation.schema.raw_schema
    content = document["paths"][operation.path][operation.method]["responses"]["200"]["content"]
    schema = {**content[NDJSON]["schema"], "components": document["components"]}
    return jsonschema_rs.validator_for(schema)


@schemathesis.check
def refused_for_what_no_schema_says(_: CheckContext, response: Response, case: Case[Any]) -> None:
    """A request that fits its schema is refused only for what no schema can say."""
    if case.operation.path == "/api/create":
        return  # most of its texts are in languages of their own: templates, digests, versions
    refused = fits(case) and response.status_code == 400
    assert not refused or any(words in response.text for words in UNSAYABLE), response.text
