"""The tools of a request to /v1/responses, in the form that the engine takes, and back. Pure.

The members of a namespace are called by both names, as in Ollama. A custom tool, which takes any
text, is a function with one parameter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from ayllu.chat.choice import read_tool
from ayllu.errors import BadRequestError
from ayllu.types import Json

_IGNORED = ("web_search", "tool_search")
"""The beginnings of types: Codex names the first unasked, and no tool has to be searched for."""


class Tool(Struct, frozen=True):
    """A tool of a request: what the client calls it, and what the model is told of it."""

    name: str
    namespace: str = ""
    is_custom: bool = False
    told: Mapping[str, Json] = {}


def full_name(name: str, namespace: str) -> str:
    """What the model calls a tool."""
    return f"{namespace}.{name}" if namespace else name


def read_tools(tools: Sequence[Mapping[str, Json]]) -> dict[str, Tool]:
    """The tools by the names that the model calls them. Raises BadRequestError."""
    found = (
        tool
        for number, given in enumerate(tools)
        for tool in _read_tool(given, f"tools[{number}]", "")
    )
    return {tool.told["function"]["name"]: tool for tool in found}


def _read_tool(given: Mapping[str, Json], where: str, namespace: str) -> Iterator[Tool]:
    kind = given.get("type")
    kind = "function" if kind in (None, "") else kind
    if kind == "namespace" and not namespace:
        yield from _members(given, where)
    elif kind in ("function", "custom"):
        yield _tool(given, where, namespace)
    elif not _is_ignored(given, kind):
        raise BadRequestError(
            f"{where} has the type {kind!r}: Ayllu runs no tools itself, give it a function"
        )


def _members(given: Mapping[str, Json], where: str) -> Iterator[Tool]:
    name, members = given.get("name"), given.get("tools")
    if not name or not isinstance(name, str) or not isinstance(members, list):
        raise BadRequestError(f"{where} is a namespace without a name or without tools")
    for number, member in enumerate(members):
        place = f"{where}.tools[{number}]"
        if not isinstance(member, Mapping):
            raise BadRequestError(f"{place} is no tool")
        yield from _read_tool(member, place, name)


def _is_ignored(given: Mapping[str, Json], kind: Json) -> bool:
    """Tools that the client has yet to search for are not among these: that is refused."""
    if kind == "tool_search" and given.get("execution") == "client":
        return False
    return isinstance(kind, str) and kind.startswith(_IGNORED)


def _tool(given: Mapping[str, Json], where: str, namespace: str) -> Tool:
    name, is_custom = given.get("name"), given.get("type") == "custom"
    if not name or not isinstance(name, str):
        raise BadRequestError(f"{where} has no name")
    function = {
        "name": full_name(name, namespace),
        "description": given.get("description"),
        "parameters": _text_parameter(given.get("format"))
        if is_custom
        else given.get("parameters"),
    }
    return Tool(name, namespace, is_custom, read_tool({"function": function}, where))


def _text_parameter(form: Json) -> Json:
    """The one parameter of a custom tool; the model is told of a grammar, not held to it."""
    parameter = {"type": "string", "description": "The input, as plain text."}
    if isinstance(form, Mapping) and form.get("type") == "grammar":
        grammar = f"{form.get('syntax')} grammar:\n{form.get('definition')}"
        parameter["description"] += f" It must follow this {grammar}"
    return {"type": "object", "properties": {"input": parameter}, "required": ["input"]}


def choose(choice: Json, tools: Mapping[str, Tool]) -> tuple[tuple[Mapping[str, Json], ...], Json]:
    """The tools that may be called, and the choice in the engine's form. Raises BadRequestError."""
    if not isinstance(choice, Mapping):
        return _told(tools.values()), choice
    kind = choice.get("type")
    if kind == "allowed_tools":
        named, choice = choice.get("tools"), choice.get("mode")
    else:
        named, choice = [choice], "required"
    if not isinstance(named, list):
        raise BadRequestError("tool_choice has no list of tools")
    return _told(_named(one, tools) for one in named), choice


def _named(value: Json, tools: Mapping[str, Tool]) -> Tool:
    """A tool of a choice: `{"type": "function", "name": ...}` or the same of a custom one."""
    value = value if isinstance(value, Mapping) else {}
    name, namespace = value.get("name"), value.get("namespace") or ""
    if value.get("type") not in ("function", "custom") or not isinstance(name, str):
        raise BadRequestError("tool_choice names a tool that is neither a function nor custom")
    tool = tools.get(full_name(name, namespace))
    if tool is None:
        raise BadRequestError(f"tool_choice names {name!r}, which is none of the tools")
    return tool


def _told(tools: Iterable[Tool]) -> tuple[Mapping[str, Json], ...]:
    return tuple(tool.told for tool in tools)
