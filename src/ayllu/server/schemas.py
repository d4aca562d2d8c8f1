"""JSON schemas of request fields that are read by hand, for the OpenAPI document.

The readers of each dialect take any JSON there and answer mistakes in the dialect's own words; what
they accept is written down here, and the structs of the requests wear it. `needed` marks a field
that must be there although its struct has a default, from which the reader tells that it is not.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from ayllu.chat.request import Think as Thought
from ayllu.models.modelfile import PARAMETER_KINDS
from ayllu.runner.options import LARGEST, LEAST
from ayllu.types import Json, Role

Schema = dict[str, Any]
"""A JSON schema, in the dialect of 2020-12."""

_TEXTS: Schema = {"type": "array", "items": {"type": "string"}}
_NUMBER: Schema = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
_OBJECT: Schema = {"type": "object"}
_OPTION: dict[str, Schema] = {
    "int": {**_NUMBER, "description": "Cut to a whole number."},
    "float": _NUMBER,
    "bool": {"type": "boolean"},
    "string": {"type": "string"},
    "list": _TEXTS,
}
_FUNCTION: Schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "description": {"type": ["string", "null"]},
        "parameters": {"type": ["object", "null"], "description": "A JSON schema."},
    },
    "required": ["name"],
}
_NAMED: Schema = {
    "type": "object",
    "properties": {
        "type": {"const": "function"},
        "function": {
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
        },
    },
    "required": ["function"],
}
EFFORTS: dict[str, Thought] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "max",
    "xhigh": "max",
    "ultra": "max",
}
"""OpenAI's words for how hard to think, and ours."""

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
"""OpenAI's words for who speaks, and ours."""

MAX_TOP_LOGPROBS = 20
TOKEN: Schema = {"type": "integer", "minimum": 0, "maximum": LARGEST}
"""A token's id; that it is in the vocabulary no schema can say."""

_TOKENS: Schema = {"type": "array", "items": TOKEN, "minItems": 1}


def said(schema: Schema) -> Meta:
    """What a field's annotation says besides its type."""
    return Meta(extra_json_schema=schema)


def one_of(*schemas: Schema, **more: Any) -> Meta:  # noqa: ANN401 - keywords of a schema
    """The same, of a field with several forms."""
    return said({"anyOf": list(schemas), **more})


def _option(name: str, kind: str) -> Schema:
    schema = _OPTION[kind]
    if name in LEAST:
        schema = {**schema, "minimum": LEAST[name]}
    if name == "seed":
        schema = {"type": "number", "minimum": 1 - 2**64, "maximum": 2**64 - 1}
    return {**schema, "type": [schema["type"], "null"]}


NEEDED = {"needed": True}

Name = Annotated[str, said({"minLength": 1, **NEEDED, "examples": ["mini"]})]
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
    Json, one_of({"enum": ["json", ""]}, {**_OBJECT, "description": "A JSON schema."})
]
Tool = Annotated[
    dict[str, Json],
    said(
        {
            "properties": {"type": {"enum": ["function", "", None]}, "function": _FUNCTION},
            "required": ["function"],
        }
    ),
]
"""A tool in OpenAI's form."""

ToolChoice = Annotated[Json, one_of({"enum": ["auto", "none", "required"]}, _NAMED)]
Limit = Annotated[
    Annotated[int, Meta(ge=-2, le=LARGEST)] | None,
    said({"not": {"const": 0}, "description": "Tokens; what is below 0 means no limit."}),
]
TopLogprobs = Annotated[int, said({"minimum": 0, "maximum": MAX_TOP_LOGPROBS})]
Token = Annotated[int, said(TOKEN)]
Texts = Annotated[Json, one_of({"type": "string"}, _TEXTS)]
"""A text, or several."""

Prompts = Annotated[
    Json,
    one_of(
        {"type": "string"},
        {**_TEXTS, "minItems": 1},
        _TOKENS,
        {"type": "array", "items": _TOKENS, "minItems": 1},
    ),
]
"""A text, several, or the token ids of one or several."""

Input = Annotated[Prompts, said(NEEDED)]
Arguments = Annotated[
    Json, one_of({"type": "string", "contentMediaType": "application/json"}, _OBJECT)
]
Effort = Annotated[str | None, said({"enum": [*EFFORTS, None]})]
"""How hard to think."""

Biases = Annotated[
    dict[str, Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]],
    said({"propertyNames": {"pattern": "^[0-9]{1,9}$"}}),
]
Refused = Annotated[Json, said({"type": "null"})]
"""A field of an older API."""

ResponseFormat = Annotated[
    Json,
    one_of(
        {
            "type": "object",
            "properties": {"type": {"enum": ["text", "json_object"]}},
            "required": ["type"],
        },
        {
            "type": "object",
            "properties": {
                "type": {"const": "json_schema"},
                "json_schema": {
                    "type": "object",
                    "properties": {"schema": _OBJECT},
                    "required": ["schema"],
                },
            },
            "required": ["type", "json_schema"],
        },
    ),
]
Speaker = Annotated[str, said({"enum": [*ROLES], **NEEDED})]
"""Who speaks."""


def _part(kind: str, value: Schema) -> Schema:
    """A part of a message, whose value stands under the name of its type."""
    return {
        "type": "object",
        "properties": {"type": {"const": kind}, kind: value},
        "required": ["type", kind],
    }


_IMAGE: Schema = {
    "type": "string",
    "pattern": "^data:(image/(jpeg|jpg|png|webp|gif))?;base64,([A-Za-z0-9+/]{4})+$",
    "description": "A data URL.",
}
_SOUND: Schema = {
    "type": "object",
    "properties": {"data": {"type": "string", "contentEncoding": "base64"}},
    "required": ["data"],
}
Content = Annotated[
    Json,
    one_of(
        {"type": "string"},
        {
            "type": "array",
            "items": {
                "anyOf": [
                    _part("text", {"type": "string"}),
                    _part("refusal", {"type": "string"}),
                    _part(
                        "image_url",
                        {"type": "object", "properties": {"url": _IMAGE}, "required": ["url"]},
                    ),
                    _part("input_audio", _SOUND),
                ]
            },
        },
    ),
]
"""What a message says: a text or parts."""


Documents = Annotated[
    Json,
    said(
        {
            "type": "array",
            "items": {
                "anyOf": [
                    {"type": "string"},
                    {
                        "type": "object",
                        "properties": {"text": {"type": "string"}},
                        "required": ["text"],
                    },
                ]
            },
        }
    ),
]
"""Texts, or objects with one."""


def _item(kind: str, **needed: Schema) -> Schema:
    """An item of a response, and its fields that must be there."""
    return {
        "type": "object",
        "properties": {"type": {"const": kind}, **needed},
        "required": ["type", *needed],
    }


_TEXT: Schema = {"type": "string"}
_PARTS: Schema = {
    "anyOf": [
        _TEXT,
        {
            "type": "array",
            "items": {
                "anyOf": [
                    *(_item(kind, text=_TEXT) for kind in ("input_text", "output_text")),
                    _item("refusal", refusal=_TEXT),
                    _item("input_image", image_url=_IMAGE),
                    _item("input_audio", input_audio=_SOUND),
                ]
            },
        },
    ]
}
_ROLE: Schema = {"enum": [name for name in ROLES if name != "tool"]}
Items = Annotated[
    Json,
    one_of(
        {**_TEXT, "minLength": 1},
        {
            "type": "array",
            "minItems": 1,
            "items": {
                "anyOf": [
                    _item("message", role=_ROLE, content=_PARTS),
                    _item("function_call", call_id=_TEXT, name=_TEXT),
                    _item("function_call_output", call_id=_TEXT, output=_PARTS),
                    _item("custom_tool_call", call_id=_TEXT, name=_TEXT, input=_TEXT),
                    _item("custom_tool_call_output", call_id=_TEXT, output=_PARTS),
                    _item("reasoning"),
                    _item("item_reference", id=_TEXT),
                ]
            },
        },
        **NEEDED,
    ),
]
"""A text, or the items of a conversation."""

ResponseTool = Annotated[
    dict[str, Json],
    one_of(
        _item("function", name={**_TEXT, "minLength": 1}),
        _item("custom", name={**_TEXT, "minLength": 1}),
        _item(
            "namespace",
            name={**_TEXT, "minLength": 1},
            tools={
                "type": "array",
                "items": _item("function", name={**_TEXT, "minLength": 1}),
            },
        ),
    ),
]
"""A tool of a response, whose name stands beside its type."""

_NAMED_TOOL: Schema = {
    "anyOf": [_item(kind, name=_TEXT) for kind in ("function", "custom")],
}
ResponseChoice = Annotated[
    Json,
    one_of(
        {"enum": ["auto", "none", "required"]},
        _NAMED_TOOL,
        _item(
            "allowed_tools",
            mode={"enum": ["auto", "required"]},
            tools={"type": "array", "items": _NAMED_TOOL},
        ),
    ),
]
TextFormat = Annotated[
    Json,
    one_of(_item("text"), _item("json_object"), _item("json_schema", schema=_OBJECT)),
]
