"""Mistral's models: `[TOOL_CALLS]name[ARGS]{...}`, or a JSON list of calls; `[THINK]...[/THINK]`.

Nothing closes a call but the end of its JSON.
"""

from __future__ import annotations

from ayllu.chat.parsers.json_calls import read_json_calls
from ayllu.chat.parsers.scan import JSON_QUOTES
from ayllu.chat.parsers.tagged import CallTags, NamedCall, TaggedFormat
from ayllu.chat.parsers.values import Schemas, read_arguments


def read_named_json(body: str, schemas: Schemas) -> list[NamedCall]:
    """The name, then the arguments; an id may stand between. Raises ValueError."""
    brace = body.find("{")
    name = body[: max(brace, 0)].partition("[ARGS]")[0].partition("[CALL_ID]")[0].strip()
    if not name or name.startswith("["):
        return read_json_calls(body, schemas)
    return [(name, read_arguments(body[brace:]))]


MINISTRAL = TaggedFormat(
    calls=(CallTags("[TOOL_CALLS]", "", read_named_json, JSON_QUOTES, ("[ARGS]", "[CALL_ID]")),),
    thinking=("[THINK]", "[/THINK]"),
    anywhere=True,
)
