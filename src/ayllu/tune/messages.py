"""A conversation of the user's data becomes ours: turns in OpenAI's form or in ShareGPT's. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import structs

from ayllu.chat.calls import read_arguments
from ayllu.chat.choice import read_tool
from ayllu.chat.placing import joined
from ayllu.errors import BadRequestError
from ayllu.tune.rows import RowError
from ayllu.types import Json, Message, Role, ToolCall, ToolFunction

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
    "function_call": "assistant",
    "tool_call": "assistant",
}
"""Who speaks, in OpenAI's words and in those that ShareGPT's followers use."""

_CALLS = {"function_call", "tool_call"}
"""Speakers whose words are a call as JSON."""


def read_turns(turns: Json) -> tuple[tuple[Message, ...], frozenset[int]]:
    """The messages, and the places of the assistant's that are not to be learned (`weight` 0).

    Raises RowError, which says which message is wrong.
    """
    if not isinstance(turns, list) or not turns:
        raise RowError("the list of messages is empty or none")
    names: dict[str, str] = {}
    messages = []
    for number, turn in enumerate(turns, 1):
        message = _read_turn(turn, number, names)
        names |= {call.id: call.function.name for call in message.tool_calls if call.id}
        messages.append(message)
    ignored = (n for n, turn in enumerate(turns) if turn.get("weight") == 0)
    return tuple(messages), frozenset(ignored)


def read_tools(value: Json) -> tuple[Mapping[str, Json], ...]:
    """The tools of a row: a list, or one as JSON text, of tools or of bare functions."""
    tools = read_list(value, "tools")
    found = []
    for number, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise RowError(f"tools[{number}] is no object")
        wrapped = tool if "function" in tool else {"type": "function", "function": tool}
        try:
            msgspec.json.encode(tool)
            found.append(read_tool(wrapped, f"tools[{number}]"))
        except (BadRequestError, ValueError, RecursionError) as error:
            raise RowError(str(error)) from error
    return tuple(found)


def read_list(value: Json, what: str) -> list[Json]:
    """A list, or one as JSON text, as tables have it. Raises RowError."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value) if value.strip() else []
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise RowError(f"{what} is text, but not JSON: {error}") from error
    if value is None:
        return []
    if not isinstance(value, list):
        raise RowError(f"{what} is no list")
    return value


def read_text(value: Json, what: str) -> str:
    """A text that can be written in UTF-8; "" for null. Raises RowError."""
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise RowError(f"{what} is no text")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeError as error:
            raise RowError(f"{what} has half a character (a lone surrogate)") from error
    return value


def _read_turn(turn: Json, number: int, names: Mapping[str, str]) -> Message:
    where = f"message {number}"
    if not isinstance(turn, dict):
        raise RowError(f"{where} is no object")
    speaker = turn.get("role", turn.get("from"))
    role = _ROLES.get(speaker.strip().lower()) if isinstance(speaker, str) else None
    if role is None:
        raise RowError(f"{where} has the unknown role {speaker!r}"[:200])
    content = turn.get("content", turn.get("value"))
    if isinstance(speaker, str) and speaker in _CALLS:
        return Message(role=role, tool_calls=_spoken_calls(content, where))
    message = Message(role=role, content=_read_content(content, where))
    if role == "assistant":
        return structs.replace(
            message, thinking=_thinking(turn, where), tool_calls=_read_calls(turn, where)
        )
    if role == "tool":
        call_id = read_text(turn.get("tool_call_id"), where)
        name = names.get(call_id) or read_text(turn.get("name"), where)
        return structs.replace(message, tool_name=name, tool_call_id=call_id)
    return message


def _read_content(content: Json, where: str) -> str:
    """The text; several parts of text are lines, as the engine joins them."""
    if not isinstance(content, list):
        return read_text(content, f"the content of {where}")
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text":
            raise RowError(f"{where} has a part of type {kind!r}: only texts can be learned")
        texts.append(read_text(part.get("text"), f"a part of {where}"))
    return joined(texts)


def _thinking(turn: Mapping[str, Json], where: str) -> str:
    for name in ("reasoning_content", "reasoning", "thinking"):
        if text := read_text(turn.get(name), f"{name} of {where}"):
            return text
    return ""


def _read_calls(turn: Mapping[str, Json], where: str) -> tuple[ToolCall, ...]:
    """The calls of a turn; `function_call` is the older way to make one."""
    calls = read_list(turn.get("tool_calls"), f"tool_calls of {where}")
    if turn.get("function_call"):
        calls = [*calls, {"function": turn["function_call"]}]
    return tuple(_read_call(call, where) for call in calls)


def _spoken_calls(content: Json, where: str) -> tuple[ToolCall, ...]:
    """Calls that are the words of a turn: a JSON object, or a list of them."""
    value = content
    if isinstance(content, str):
        try:
            value = msgspec.json.decode(content)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise RowError(f"the call of {where} is not JSON: {error}") from error
    calls: Sequence[Json] = value if isinstance(value, list) else [value]
    return tuple(_read_call({"function": call}, where) for call in calls)


def _read_call(call: Json, where: str) -> ToolCall:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise RowError(f"a call of {where} is no object with a function")
    name = read_text(function.get("name"), f"a call's name of {where}")
    if not name:
        raise RowError(f"a call of {where} has no name")
    given = function.get("arguments", function.get("parameters"))
    try:
        arguments = read_arguments("" if given is None else given, f"the call {name} of {where}")
        msgspec.json.encode(arguments)
    except (BadRequestError, ValueError, RecursionError) as error:
        raise RowError(str(error)) from error
    return ToolCall(id=read_text(call.get("id"), where), function=ToolFunction(name, arguments))
