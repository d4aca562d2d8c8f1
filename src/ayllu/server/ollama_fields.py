"""Ollama's request fields, read as Ollama reads them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from ayllu.chat.request import Level, Think
from ayllu.errors import AylluError, BadRequestError
from ayllu.gotime import parse_keep_alive
from ayllu.types import Json, Message

_LEVEL_WORDS = '"high", "medium", "low", "max", true, or false'
MAX_TOP_LOGPROBS = 20


class FormatError(AylluError):
    """`format` is neither "json" nor a schema (Ollama answers 500 here)."""


def read_keep_alive(value: Json) -> float | None:
    """Seconds, or None where nobody said. Raises BadRequestError."""
    if value is None:
        return None
    try:
        return parse_keep_alive(value)
    except ValueError as error:
        raise BadRequestError(str(error)) from error


def read_think(value: Json) -> Think | None:
    """Whether to think, or how hard. Raises BadRequestError."""
    if value is None:
        return None
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise BadRequestError(f"think must be a boolean or string ({_LEVEL_WORDS})")
    try:
        level: Level = msgspec.convert(value, type=Level)
    except msgspec.ValidationError as error:
        words = f'invalid think value: "{value}" (must be {_LEVEL_WORDS})'
        raise BadRequestError(words) from error
    return level


def read_format(value: Json) -> Literal["json"] | Mapping[str, Json] | None:
    """None, "json" or a JSON schema. Raises FormatError."""
    if value is None or value == "":
        return None
    if value == "json":
        return "json"
    if isinstance(value, dict):
        return value
    shown = msgspec.json.encode(value).decode()
    raise FormatError(f'invalid format: {shown}; expected "json" or a valid JSON Schema object')


def read_top_logprobs(value: int) -> int:
    """How many alternatives per token. Raises BadRequestError."""
    if not 0 <= value <= MAX_TOP_LOGPROBS:
        raise BadRequestError(f"top_logprobs must be between 0 and {MAX_TOP_LOGPROBS}")
    return value


def read_tools(tools: Sequence[Mapping[str, Json]]) -> tuple[Mapping[str, Json], ...]:
    """The tools, each with a named function. Raises BadRequestError."""
    return tuple(read_tool(tool, f"tools[{number}]") for number, tool in enumerate(tools))


def read_tool(tool: Mapping[str, Json], where: str) -> Mapping[str, Json]:
    """A tool in the form that the engine takes. Raises BadRequestError, which says `where`."""
    function = tool.get("function")
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise BadRequestError(f"{where} has no function with a name")
    if tool.get("type") not in {None, "", "function"}:
        raise BadRequestError(f"{where} has a type other than function")
    if not isinstance(function.get("description") or "", str):
        raise BadRequestError(f"{where} has a description that is no text")
    if not isinstance(function.get("parameters") or {}, Mapping):
        raise BadRequestError(f"{where} has parameters that are no JSON schema")
    given = {name: value for name, value in function.items() if value is not None}
    return {**tool, "type": "function", "function": given}


def with_model_messages(
    messages: Sequence[Message], system: str, stored: Sequence[Message]
) -> tuple[Message, ...]:
    """A chat with the model's own system prompt and messages before it.

    The system prompt is left out where the chat brings one.
    """
    if system and not (messages and messages[0].role == "system"):
        return (Message(role="system", content=system), *stored, *messages)
    return (*stored, *messages)
