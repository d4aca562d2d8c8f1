"""JSON schemas of request fields that are read by hand, for the OpenAPI document.

The readers of each dialect take any JSON there and answer mistakes in the dialect's own words; what
they accept is written down here and in `schemas_openai`, and the structs of the requests wear it.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from ayllu.models.modelfile import LARGEST_SCALE, PARAMETER_KINDS
from ayllu.runner.options import LARGEST, LEAST
from ayllu.types import Json

Schema = dict[str, Any]
"""A JSON schema, in the dialect of 2020-12."""

TEXT: Schema = {"type": "string"}
NAME: Schema = {**TEXT, "minLength": 1}
OBJECT: Schema = {"type": "object"}
TOKEN: Schema = {"type": "integer", "minimum": 0, "maximum": LARGEST}
"""A token's id; that it is in the vocabulary no schema can say."""

NEEDED = {"needed": True}
"""Of a field that must be there, although its struct has a default by which a reader misses it."""

MAX_TOP_LOGPROBS = 20


def said(schema: Schema) -> Meta:
    """What a field's annotation says besides its type."""
    return Meta(extra_json_schema=schema)


def one_of(*schemas: Schema, **more: Any) -> Meta:  # noqa: ANN401 - keywords of a schema
    """The same, of a field with several forms."""
    return said({"anyOf": list(schemas), **more})


def list_of(items: Schema, **more: Any) -> Schema:  # noqa: ANN401 - the same
    """A list's schema."""
    return {"type": "array", "items": items, **more}


def record(needed: Schema, more: Schema | None = None) -> Schema:
    """An object's schema: fields that must be there, and those that may."""
    return {"type": "object", "properties": {**needed, **(more or {})}, "required": [*needed]}


_NUMBER: Schema = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
_OPTIONS: dict[str, Schema] = {
    "int": {**_NUMBER, "description": "Cut to a whole number."},
    "float": _NUMBER,
    "bool": {"type": "boolean"},
    "string": TEXT,
    "list": list_of(TEXT),
    "floats": list_of({"type": "number", "minimum": -LARGEST_SCALE, "maximum": LARGEST_SCALE}),
}


def _option(name: str, kind: str) -> Schema:
    schema = _OPTIONS[kind]
    if name in LEAST:
        schema = {**schema, "minimum": LEAST[name]}
    if name == "seed":
        schema = {"type": "number", "minimum": 1 - 2**64, "maximum": 2**64 - 1}
    return {**schema, "type": [schema["type"], "null"]}


Name = Annotated[str, said({**NAME, **NEEDED, "examples": ["mini"]})]
"""A model's name."""

OldName = Annotated[str, said({"deprecated": True, "description": "Read where `model` is empty."})]
KeepAlive = Annotated[
    Json,
    one_of(
        {"type": "number"},
        {
            "type": "string",
            "pattern": r"^[+-]?([0-9]{1,9}(\.[0-9]{1,3})?|([0-9]{1,9}(\.[0-9]{1,3})?(ms|s|m|h))+)$",
        },
        description="Seconds, or a duration as Go writes it; what is below 0 is for ever.",
    ),
]
Options = Annotated[
    dict[str, Json],
    said(
        {
            "properties": {name: _option(name, kind) for name, kind in PARAMETER_KINDS.items()},
            "description": "What is named otherwise is ignored.",
        }
    ),
]
Think = Annotated[Json, one_of({"type": "boolean"}, {"enum": ["low", "medium", "high", "max"]})]
Format = Annotated[
    Json, one_of({"enum": ["json", ""]}, {**OBJECT, "description": "A JSON schema."})
]
_FUNCTION = record(
    {"name": NAME},
    {
        "description": {"type": ["string", "null"]},
        "parameters": {"type": ["object", "null"], "description": "A JSON schema."},
    },
)
Tool = Annotated[
    dict[str, Json],
    said(record({"function": _FUNCTION}, {"type": {"enum": ["function", "", None]}})),
]
"""A tool in OpenAI's form."""

ToolChoice = Annotated[
    Json,
    one_of(
        {"enum": ["auto", "none", "required"]},
        record({"function": record({"name": TEXT})}, {"type": {"const": "function"}}),
    ),
]
TopLogprobs = Annotated[int, said({"minimum": 0, "maximum": MAX_TOP_LOGPROBS})]
Token = Annotated[int, said(TOKEN)]
Texts = Annotated[Json, one_of(TEXT, list_of(TEXT))]
"""A text, or several."""

Documents = Annotated[Json, said(list_of({"anyOf": [TEXT, record({"text": TEXT})]}))]
"""Texts, or objects with one."""
