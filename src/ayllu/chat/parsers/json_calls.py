"""Calls that are written as JSON: an object with a name and arguments, or a list of them."""

from __future__ import annotations

from ayllu.chat.calls import read_json
from ayllu.chat.parsers.tagged import NamedCall
from ayllu.chat.parsers.values import Schemas, read_arguments
from ayllu.types import Json


def read_json_calls(body: str, _schemas: Schemas) -> list[NamedCall]:
    """The calls in a JSON text. Raises ValueError."""
    value = read_json(body)
    items = value if isinstance(value, list) else [value]
    if not items:
        raise ValueError("no call in the list")
    return [_call(item) for item in items]


def _call(item: Json) -> NamedCall:
    if not isinstance(item, dict):
        raise ValueError("a call is an object")  # noqa: TRY004 - the model's mistake
    if isinstance(item.get("function"), dict):
        item = item["function"]
    name = item.get("name", item.get("tool_name"))
    if not isinstance(name, str) or not name:
        raise ValueError("a call has a name")
    return name, read_arguments(item.get("arguments", item.get("parameters")))
