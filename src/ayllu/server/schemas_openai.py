"""JSON schemas of OpenAI's request fields that are read by hand, and OpenAI's words for ours."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ayllu.chat.request import Think
from ayllu.runner.options import LARGEST
from ayllu.server.schemas import (
    NAME,
    NEEDED,
    OBJECT,
    TEXT,
    TOKEN,
    Schema,
    list_of,
    one_of,
    record,
    said,
)
from ayllu.types import Json, Role

EFFORTS: dict[str, Think] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "max": "max",
    "xhigh": "max",
    "ultra": "max",
}
"""How hard to think, and what that is here."""

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
"""Who speaks, and what that is here."""


def tagged(kind: str, needed: Schema | None = None, more: Schema | None = None) -> Schema:
    """An object's schema whose `type` says what it is."""
    return record({"type": {"const": kind}, **(needed or {})}, more)


_TOKENS = list_of(TOKEN, minItems=1)
_IMAGE: Schema = {
    **TEXT,
    "pattern": "^data:(image/(jpeg|jpg|png|webp|gif))?;base64,([A-Za-z0-9+/]{4})+$",
    "description": "A data URL.",
}
_SOUND = record({"data": {**TEXT, "pattern": "^([A-Za-z0-9+/]{4})+$"}})

Limit = Annotated[
    Annotated[int, Meta(ge=-2, le=LARGEST)] | None,
    said({"not": {"const": 0}, "description": "Tokens; what is below 0 means no limit."}),
]
Prompts = Annotated[
    Json, one_of(TEXT, list_of(TEXT, minItems=1), _TOKENS, list_of(_TOKENS, minItems=1))
]
"""A text, several, or the token ids of one or several."""

Input = Annotated[Prompts, said(NEEDED)]
Arguments = Annotated[Json, one_of({**TEXT, "contentMediaType": "application/json"}, OBJECT)]
Effort = Annotated[str | None, said({"enum": [*EFFORTS, None]})]
Speaker = Annotated[str, said({"enum": [*ROLES], **NEEDED})]
Biases = Annotated[
    dict[str, Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]],
    said({"propertyNames": {"pattern": "^[0-9]{1,9}$"}}),
]
Refused = Annotated[Json, said({"type": "null"})]
"""A field that must not be there."""

ResponseFormat = Annotated[
    Json,
    one_of(
        tagged("text"),
        tagged("json_object"),
        tagged("json_schema", {"json_schema": record({"schema": OBJECT})}),
    ),
]
Content = Annotated[
    Json,
    one_of(
        TEXT,
        list_of(
            {
                "anyOf": [
                    tagged("text", {"text": TEXT}),
                    tagged("refusal", {"refusal": TEXT}),
                    tagged("image_url", {"image_url": record({"url": _IMAGE})}),
                    tagged("input_audio", {"input_audio": _SOUND}),
                ]
            }
        ),
    ),
]
"""What a message says: a text or parts."""

_PARTS: Schema = {
    "anyOf": [
        TEXT,
        list_of(
            {
                "anyOf": [
                    tagged("input_text", {"text": TEXT}),
                    tagged("output_text", {"text": TEXT}),
                    tagged("refusal", {"refusal": TEXT}),
                    tagged("input_image", {"image_url": _IMAGE}),
                    tagged("input_audio", {"input_audio": _SOUND}),
                ]
            }
        ),
    ]
}
_ROLE: Schema = {"enum": [name for name in ROLES if name != "tool"]}
Items = Annotated[
    Json,
    one_of(
        NAME,
        list_of(
            {
                "anyOf": [
                    tagged("message", {"role": _ROLE, "content": _PARTS}),
                    tagged("function_call", {"call_id": TEXT, "name": TEXT}),
                    tagged("function_call_output", {"call_id": TEXT, "output": _PARTS}),
                    tagged("custom_tool_call", {"call_id": TEXT, "name": TEXT, "input": TEXT}),
                    tagged("custom_tool_call_output", {"call_id": TEXT, "output": _PARTS}),
                    tagged("reasoning"),
                    tagged("item_reference", {"id": TEXT}),
                ]
            },
            minItems=1,
        ),
        **NEEDED,
    ),
]
"""A text, or the items of a conversation."""

_NAMED = [tagged(kind, {"name": NAME}) for kind in ("function", "custom")]
_TOOLS = [
    record({"name": NAME}, {"type": {"enum": ["function", "", None]}}),
    tagged("custom", {"name": NAME}),
]
ResponseTool = Annotated[
    dict[str, Json],
    one_of(*_TOOLS, tagged("namespace", {"name": NAME, "tools": list_of({"anyOf": _TOOLS})})),
]
"""A tool of a response, whose name stands beside its type."""

ResponseChoice = Annotated[
    Json,
    one_of(
        {"enum": ["auto", "none", "required"]},
        *_NAMED,
        tagged(
            "allowed_tools",
            {"tools": list_of({"anyOf": _NAMED})},
            {"mode": {"enum": ["auto", "required", None]}},
        ),
    ),
]
TextFormat = Annotated[
    Json, one_of(tagged("text"), tagged("json_object"), tagged("json_schema", {"schema": OBJECT}))
]
