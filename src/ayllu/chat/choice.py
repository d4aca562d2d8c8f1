"""Which tools a model may, or must, call: `tool_choice`, brought to one form for both ways. Pure.

Where a prompt is made by a Go template, or by a Jinja template that has calls as JSON, it ends with
what stands before a call, and a grammar holds the answer to a call's JSON. Other calls the engine
forces by itself; its grammar lets a model talk before, and a weak one does so without end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import structs

from ayllu.chat.grammar import check_schema
from ayllu.chat.request import ChatRequest
from ayllu.errors import BadRequestError
from ayllu.types import Json

_WORDS = (None, "auto", "none", "required")
_JSON_CALL = re.compile(r"""(<tool_call>)(?:\\n|\s)*\{\s*\\?"name\\?":""")
"""How Jinja templates of Hermes, Qwen and their like write a call."""


def read_tools(tools: Sequence[Mapping[str, Json]]) -> tuple[Mapping[str, Json], ...]:
    """The tools, each with a named function. Raises BadRequestError."""
    return tuple(read_tool(tool, f"tools[{number}]") for number, tool in enumerate(tools))


def read_tool(tool: Mapping[str, Json], where: str) -> Mapping[str, Json]:
    """A tool in the form that the engine takes. Raises BadRequestError, which says `where`."""
    function = tool.get("function")
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(function, Mapping) or not name or not isinstance(name, str):
        raise BadRequestError(f"{where} has no function with a name")
    if tool.get("type") not in (None, "", "function"):
        raise BadRequestError(f"{where} has a type other than function")
    if not isinstance(function.get("description") or "", str):
        raise BadRequestError(f"{where} has a description that is no text")
    if not isinstance(function.get("parameters") or {}, Mapping):
        raise BadRequestError(f"{where} has parameters that are no JSON schema")
    given = {name: value for name, value in function.items() if value is not None}
    return {**tool, "type": "function", "function": given}


def settle(request: ChatRequest) -> ChatRequest:
    """The same request with only the tools that may be called, and no choice but "required".

    Raises BadRequestError for a choice that there is not, and for constraints that exclude each
    other.
    """
    settled = _settle_choice(request)
    if settled.options.grammar and (settled.tools or settled.format is not None):
        raise BadRequestError("a grammar cannot be in one request with tools or a format")
    if isinstance(settled.format, Mapping):
        check_schema(settled.format, "the format's schema")
    for tool in settled.tools:
        function = tool["function"]
        check_schema(function.get("parameters"), f"the schema of the tool {function['name']!r}")
    return settled


def _settle_choice(request: ChatRequest) -> ChatRequest:
    choice = request.tool_choice
    if isinstance(choice, Mapping):
        tools = (_named(choice, request.tools),)
        return structs.replace(request, tools=tools, tool_choice="required", format=None)
    if not isinstance(choice, str | None) or choice not in _WORDS:
        raise BadRequestError(
            'tool_choice must be "auto", "none", "required" or '
            '{"type": "function", "function": {"name": "..."}}'
        )
    if choice == "none":
        # A model that does not know of a tool does not try to call it.
        return structs.replace(request, tools=(), tool_choice=None)
    if choice != "required":
        return structs.replace(request, tool_choice=None)
    if not request.tools:
        raise BadRequestError('tool_choice "required" needs tools')
    return structs.replace(request, format=None)


def _named(choice: Mapping[str, Json], tools: Sequence[Mapping[str, Json]]) -> Mapping[str, Json]:
    function = choice.get("function")
    name = function.get("name") if isinstance(function, Mapping) else None
    for tool in tools:
        if tool["function"]["name"] == name:
            return tool
    if not name:
        raise BadRequestError("tool_choice has no function with a name")
    raise BadRequestError(f"tool_choice names {name!r}, which is none of the tools")


def is_forced(request: ChatRequest) -> bool:
    """Whether a settled request must be answered by a tool call."""
    return request.tool_choice == "required"


def call_schema(tools: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    """The JSON of a call of any of the tools."""
    return {"anyOf": [_call_schema(tool["function"]) for tool in tools]}


def _call_schema(function: Mapping[str, Json]) -> dict[str, Json]:
    return {
        "type": "object",
        "properties": {
            "name": {"const": function["name"]},
            "arguments": function.get("parameters") or {"type": "object"},
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def jinja_call_tag(jinja: str) -> str | None:
    """What a Jinja template writes before a call's JSON; None where its calls are anything else."""
    found = _JSON_CALL.search(jinja)
    return found[1] if found else None


def with_line_end(grammar: str) -> str:
    """A grammar of the engine's for JSON that may have a line break after it.

    A model that writes its calls between tags has the break in one token with the last braces.
    """
    return re.sub(r"^root ::= (.*)$", r'root ::= (\1) "\\n"?', grammar, flags=re.MULTILINE)


def call_start(prompt: str, thinking: tuple[str, str] | None, tag: str) -> str:
    """What a prompt has to end with so that a call's JSON comes next, without thinking before.

    `thinking` are the tags around it, and `tag` stands before a call.
    """
    opened = thinking is not None and prompt.rstrip().endswith(thinking[0])
    closing = f"\n{thinking[1]}\n\n" if thinking and opened else ""
    return closing if tag in {"{", "["} else f"{closing}{tag}\n"
