"""The items of a request to /v1/responses: brought to one form, and read into messages. Pure.

The items of stored answers have the same form, so a conversation is read in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ayllu.chat.calls import read_arguments
from ayllu.chat.hop import new_token
from ayllu.errors import BadRequestError
from ayllu.server import wire_responses as wire
from ayllu.server.openai_messages import read_content, read_role
from ayllu.server.response_tools import full_name
from ayllu.server.turns import add_turn, lines
from ayllu.server.wire import convert
from ayllu.types import Json, Message, ToolCall, ToolFunction

REFERENCE = "item_reference"
_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
}
_OF_HOSTED_TOOLS = {
    "web_search_call",
    "file_search_call",
    "code_interpreter_call",
    "image_generation_call",
    "mcp_list_tools",
    "mcp_call",
}
"""What OpenAI's servers did by themselves, which only they can read."""


def new_id(prefix: str) -> str:
    """An id that nobody can guess."""
    return f"{prefix}_{new_token(24)}"


def read_input(value: Json) -> list[dict[str, Json]]:
    """The items of `input`, each with a type; a text is a message. Raises BadRequestError."""
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list | None):
        raise BadRequestError("input is neither a text nor a list of items")
    return [_typed(item, f"input[{number}]") for number, item in enumerate(value or ())]


def _typed(item: Json, where: str) -> dict[str, Json]:
    if not isinstance(item, dict):
        raise BadRequestError(f"{where} is no item")
    kind = item.get("type") or ("message" if "role" in item else REFERENCE)
    if not isinstance(kind, str):
        raise BadRequestError(f"{where} has a type that is no text")
    if kind == REFERENCE and not isinstance(item.get("id"), str):
        raise BadRequestError(f"{where} has neither a type nor a role nor the id of an item")
    given = {name: field for name, field in item.items() if field is not None}
    return given | {"type": kind}


def references(items: Iterable[Mapping[str, Json]]) -> list[str]:
    """The ids of the items that are only named."""
    return [item["id"] for item in items if item["type"] == REFERENCE]


def resolve(items: Sequence[dict[str, Json]], stored: Mapping[str, Json]) -> list[dict[str, Json]]:
    """The items with those that were only named. Raises BadRequestError where one is unknown."""
    for number, item in enumerate(items):
        if item["type"] == REFERENCE and item["id"] not in stored:
            raise BadRequestError(f"input[{number}]: Item with id '{item['id']}' not found.")
    return [stored[item["id"]] if item["type"] == REFERENCE else item for item in items]


def to_store(item: Mapping[str, Json]) -> dict[str, Json]:
    """An item as it is listed later: with an id, and a message with parts."""
    stored = dict(item)
    if not isinstance(item.get("id"), str):
        stored["id"] = new_id(_PREFIXES.get(item["type"], "item"))
    if item["type"] == "message":
        stored.setdefault("status", "completed")
    if isinstance(item.get("content"), str):
        kind = "output_text" if item.get("role") == "assistant" else "input_text"
        stored["content"] = [{"type": kind, "text": item["content"]}]
    return stored


def read_items(items: Sequence[Mapping[str, Json]], earlier: int = 0) -> list[Message]:
    """The conversation, of which the first `earlier` items come from stored answers.

    Raises BadRequestError with the place of what is wrong.
    """
    messages: list[Message] = []
    names: dict[str, str] = {}
    for number, item in enumerate(items):
        stored = number < earlier
        where = "an item of a stored answer" if stored else f"input[{number - earlier}]"
        for turn in _turns(item, where, names):
            add_turn(messages, turn)
            names |= {call.id: call.function.name for call in turn.tool_calls}
    return messages


def added_tools(items: Iterable[Mapping[str, Json]]) -> list[dict[str, Json]]:
    """The tools that are among the items."""
    return [
        tool
        for item in items
        if item["type"] == "additional_tools"
        for tool in convert(item, wire.ToolsInput, "additional_tools").tools
    ]


def _turns(item: Mapping[str, Json], where: str, names: Mapping[str, str]) -> Iterator[Message]:
    """The turn that an item stands for, if any; `names` are the tools of the calls before it."""
    kind = item["type"]
    if kind in _READERS:
        yield from _READERS[kind](item, where, names)
    elif kind not in _OF_HOSTED_TOOLS and kind != "additional_tools":
        raise BadRequestError(f"{where} has the type {kind!r}, which is not supported")


def _message(item: Mapping[str, Json], where: str, _: Mapping[str, str]) -> Iterator[Message]:
    message = convert(item, wire.MessageInput, where)
    role = read_role(message.role, where)
    if role == "tool":
        raise BadRequestError(f"{where} has the role 'tool': send a function_call_output instead")
    text, images = read_content(message.content, f"{where}.content")
    yield Message(role=role, content=text, images=images)


def _function_call(item: Mapping[str, Json], where: str, _: Mapping[str, str]) -> Iterator[Message]:
    """A call; one that a limit cut short was never made."""
    call = convert(item, wire.CallInput, where)
    if call.status != "incomplete":
        yield _call(call, read_arguments(call.arguments, where))


def _custom_call(item: Mapping[str, Json], where: str, _: Mapping[str, str]) -> Iterator[Message]:
    call = convert(item, wire.CallInput, where)
    if call.status != "incomplete":
        yield _call(call, {"input": call.input})


def _call(call: wire.CallInput, arguments: dict[str, Json]) -> Message:
    function = ToolFunction(full_name(call.name, call.namespace), arguments)
    return Message(role="assistant", tool_calls=(ToolCall(function, call.call_id),))


def _output(item: Mapping[str, Json], where: str, names: Mapping[str, str]) -> Iterator[Message]:
    output = convert(item, wire.OutputInput, where)
    text, images = read_content(output.output, f"{where}.output")
    yield Message(
        role="tool",
        content=text,
        images=images,
        tool_name=names.get(output.call_id, ""),
        tool_call_id=output.call_id,
    )


def _reasoning(item: Mapping[str, Json], where: str, _: Mapping[str, str]) -> Iterator[Message]:
    """Thinking; of what OpenAI encrypted only the summary can be read."""
    reasoning = convert(item, wire.ReasoningInput, where)
    content = lines(piece.text for piece in reasoning.content)
    summary = lines(piece.text for piece in reasoning.summary)
    plain = reasoning.encrypted_content
    # A Fernet token: its first byte is 0x80, and four zeros of its time follow until 2106.
    plain = "" if plain.startswith("gAAAAA") else plain
    if thinking := content or plain or summary:
        yield Message(role="assistant", thinking=thinking)


_READERS: Mapping[
    str, Callable[[Mapping[str, Json], str, Mapping[str, str]], Iterator[Message]]
] = {
    "message": _message,
    "function_call": _function_call,
    "custom_tool_call": _custom_call,
    "function_call_output": _output,
    "custom_tool_call_output": _output,
    "reasoning": _reasoning,
}
