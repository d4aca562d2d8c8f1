"""Turns a conversation into the values that templates name, and renders it.

Templates of the model library know Go's field names (`.Role`, `.ToolCalls`, `.Function.Name`); the
records here carry them. Printing tools, a tool, arguments or properties gives JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from ayllu.errors import TemplateError
from ayllu.template.encode import to_json
from ayllu.template.template import Template
from ayllu.template.values import Budget, Fault, Printed, Record
from ayllu.types import Json, Message, ToolCall

MAX_SCHEMA_DEPTH = 50

_BLANK_LINE = "\n\n"


class _JSONRecord(Printed, Record):
    """A struct that prints as JSON."""

    __slots__ = ()

    def text(self) -> str:
        return to_json(self)


class _JSONList(Printed, list[Any]):
    """A list that prints as JSON."""

    def text(self) -> str:
        return to_json(self)


class _JSONMap(Printed, dict[str, Any]):
    """A map that prints as JSON."""

    def text(self) -> str:
        return to_json(self)


class _Types(Printed, list[str]):
    """The types of a property, which print as one word where there is just one."""

    def text(self) -> str:
        return self[0] if len(self) == 1 else f"[{' '.join(self)}]" if self else ""


def render(
    template: Template,
    *,
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Json]] = (),
    think: bool | str | None = None,
    prompt: str = "",
    suffix: str = "",
) -> str:
    """The prompt for a request, in one of three ways. Raises TemplateError.

    With a prompt and a suffix, to fill in what is between them; with all messages at once, where
    the template mentions Messages; or else turn by turn, the last one left open for the answer.
    A prompt without a suffix is not looked at: it belongs into `messages`.
    """
    thinking = _thinking(think)
    budget = Budget(len(messages) + len(tools))
    if prompt and suffix:
        return template.execute(
            {"Prompt": prompt, "Suffix": suffix, "Response": "", **thinking}, budget
        )
    merged = merge(messages)
    if "messages" in template.variables():
        system = _BLANK_LINE.join(m.content for m in messages if m.role == "system")
        return template.execute(
            {
                "System": system,
                "Messages": _messages(merged, budget),
                "Tools": _tools(tools, budget),
                "Response": "",
                **thinking,
            },
            budget,
        )
    return _turn_by_turn(template, merged, thinking, budget)


def merge(messages: Sequence[Message]) -> list[Message]:
    """Make one message of neighbours of the same role, a blank line between; never of tools'."""
    merged: list[Message] = []
    for role, group in groupby(messages, key=lambda message: message.role):
        neighbours = list(group)
        merged += neighbours if role == "tool" else [_joined(neighbours)]
    return merged


def _joined(messages: Sequence[Message]) -> Message:
    if len(messages) == 1:
        return messages[0]
    return replace(
        messages[0],
        content=_BLANK_LINE.join(m.content for m in messages),
        thinking=_BLANK_LINE.join(m.thinking for m in messages if m.thinking),
        images=tuple(image for m in messages for image in m.images),
        tool_calls=tuple(call for m in messages for call in m.tool_calls),
    )


def _thinking(think: bool | str | None) -> dict[str, Json]:
    level = think if isinstance(think, str) else "medium" if think else ""
    return {"Think": bool(think), "ThinkLevel": level, "IsThinkSet": think is not None}


def _turn_by_turn(
    template: Template, messages: Sequence[Message], thinking: Mapping[str, Json], budget: Budget
) -> str:
    """Render a template that knows one System, one Prompt and one Response."""
    parts: list[str] = []
    turn = {"System": "", "Prompt": "", "Response": ""}
    names = {"system": "System", "user": "Prompt", "assistant": "Response"}
    closes = {"system": ("Prompt", "Response"), "user": ("Response",)}
    for message in messages:
        if any(turn[name] for name in closes.get(message.role, ())):
            parts.append(template.execute({**turn, **thinking}, budget))
            turn = dict.fromkeys(turn, "")
        if message.role in names:
            turn[names[message.role]] = message.content
    parts.append(template.before_answer.execute({**turn, **thinking}, budget))
    return "".join(parts)


def _omit_empty(members: Mapping[str, Json], *always: str) -> dict[str, Json]:
    """JSON members without the empty ones, as Go's `omitempty` leaves them out."""
    return {name: value for name, value in members.items() if value or name in always}


def _messages(messages: Sequence[Message], budget: Budget) -> list[Record]:
    try:
        budget.step(4 * len(messages))
    except Fault as fault:
        raise TemplateError(f"the messages are too many for a template: {fault}") from None
    return [_message(message) for message in messages]


def _message(message: Message) -> Record:
    calls = [_tool_call(call) for call in message.tool_calls]
    images = list(message.images)
    wire = {
        "role": message.role,
        "content": message.content,
        "thinking": message.thinking,
        "images": images,
        "tool_calls": calls,
        "tool_name": message.tool_name,
        "tool_call_id": message.tool_call_id,
    }
    fields = {
        "Role": message.role,
        "Content": message.content,
        "Thinking": message.thinking,
        "Images": images,
        "ToolCalls": calls,
        "ToolName": message.tool_name,
        "ToolCallID": message.tool_call_id,
    }
    return Record("api.Message", fields, _omit_empty(wire, "role", "content"))


def _tool_call(call: ToolCall) -> Record:
    index = 0 if call.function.index is UNSET else call.function.index
    arguments = _JSONMap(call.function.arguments)
    function = Record(
        "api.ToolCallFunction",
        {"Index": index, "Name": call.function.name, "Arguments": arguments},
        {"index": index, "name": call.function.name, "arguments": arguments},
    )
    return Record(
        "api.ToolCall",
        {"ID": call.id, "Function": function},
        _omit_empty({"id": call.id, "function": function}, "function"),
    )


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}


def _items(value: Json) -> list[Json]:
    return list(value) if isinstance(value, list | tuple) else []


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _tools(tools: Sequence[Mapping[str, Json]], budget: Budget) -> list[Record]:
    try:
        return _JSONList(_tool(tool, budget) for tool in tools)
    except Fault as fault:
        raise TemplateError(f"the tools are too much for a template: {fault}") from None


def _tool(tool: Mapping[str, Json], budget: Budget) -> Record:
    kind, items = _text(tool.get("type")), tool.get("items")
    function = _function(_mapping(tool.get("function")), budget)
    return _JSONRecord(
        "api.Tool",
        {"Type": kind, "Items": items, "Function": function},
        _with_items({"type": kind}, items) | {"function": function},
    )


def _with_items(members: dict[str, Json], items: Json) -> dict[str, Json]:
    return members if items is None else members | {"items": items}


def _function(function: Mapping[str, Json], budget: Budget) -> Record:
    name, description = _text(function.get("name")), _text(function.get("description"))
    parameters = _parameters(_mapping(function.get("parameters")), budget)
    return _JSONRecord(
        "api.ToolFunction",
        {"Name": name, "Description": description, "Parameters": parameters},
        {"name": name, "description": description, "parameters": parameters},
    )


def _parameters(given: Mapping[str, Json], budget: Budget) -> Record:
    kind, required = _text(given.get("type")), _items(given.get("required"))
    defs, items = given.get("$defs"), given.get("items")
    properties = _properties(given.get("properties"), budget, 0)
    wire = _with_items({"type": kind} | ({} if defs is None else {"$defs": defs}), items)
    if required:
        wire["required"] = required
    wire["properties"] = None if given.get("properties") is None else properties
    fields = {
        "Type": kind,
        "Defs": defs,
        "Items": items,
        "Required": required,
        "Properties": properties,
    }
    return _JSONRecord("api.ToolFunctionParameters", fields, wire)


def _properties(given: Json, budget: Budget, depth: int) -> _JSONMap:
    members = _mapping(given).items()
    return _JSONMap({name: _property(value, budget, depth) for name, value in members})


def _property(given: Json, budget: Budget, depth: int) -> Json:
    """A parameter's schema. Members that Go's struct does not have stay in its JSON, at the end."""
    budget.step(16)
    if depth > MAX_SCHEMA_DEPTH:
        raise Fault("a schema is nested too deep")
    if not isinstance(given, Mapping):
        return given
    kind = given.get("type")
    types = _Types([kind] if isinstance(kind, str) else map(str, _items(kind)))
    fields = {
        "AnyOf": [_property(option, budget, depth + 1) for option in _items(given.get("anyOf"))],
        "Type": types,
        "Items": given.get("items"),
        "Description": _text(given.get("description")),
        "Enum": _items(given.get("enum")),
        "Properties": _properties(given.get("properties"), budget, depth + 1),
        "Required": _items(given.get("required")),
    }
    wire = {name[0].lower() + name[1:]: value for name, value in fields.items() if value}
    if len(types) == 1:
        wire["type"] = types[0]
    extra = {name: value for name, value in given.items() if name not in wire and value}
    return Record("api.ToolProperty", fields, wire | extra)
