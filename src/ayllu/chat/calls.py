"""A tool call out of what a model wrote: its JSON, read within bounds, and an id of its own."""

from __future__ import annotations

import json
import re

import msgspec

from ayllu.chat.hop import new_token
from ayllu.errors import BadRequestError
from ayllu.types import Json, ToolCall, ToolFunction

MAX_NESTING = 200
"""Deeper values could be read, and then not be written again further down the stack."""

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\Z)', re.DOTALL)
"""One that does not end goes to the end of the text, or else each of its quotes would be tried."""
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def new_call(name: str, arguments: dict[str, Json], index: int) -> ToolCall:
    """A call with an id of its own, in Ollama's form."""
    return ToolCall(
        id=f"call_{new_token(4)}",
        function=ToolFunction(name=name, arguments=arguments, index=index),
    )


def read_json(text: str) -> Json:
    """A JSON value that can be written again; line breaks within strings are forgiven.

    Raises ValueError.
    """
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        mended = _STRING.sub(_escaped, text)
    try:
        return _decode(mended)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ValueError(f"not JSON: {error}") from error


def read_arguments(value: Json, where: str) -> dict[str, Json]:
    """The arguments of a call, which are JSON in a string. Raises BadRequestError."""
    arguments = _parse(value) if isinstance(value, str) else value
    if not isinstance(arguments, dict):
        raise BadRequestError(f"{where}.arguments is not a JSON object in a string")
    return arguments


def _parse(text: str) -> Json:
    """What a text says in JSON; an empty one stands for no arguments."""
    if not text.strip():
        return {}
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _decode(text: str) -> Json:
    value = msgspec.json.decode(text)
    if text.count("{") + text.count("[") > MAX_NESTING and _is_deep(value):
        raise ValueError("values are nested too deep")
    return value


def _is_deep(value: Json) -> bool:
    level = [value]
    for _ in range(MAX_NESTING):
        level = [
            inner
            for item in level
            if isinstance(item, dict | list)
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True


def _escaped(found: re.Match[str]) -> str:
    return "".join(_ESCAPES.get(letter, letter) for letter in found.group())
