"""Anthropic's request fields, read into what every dialect asks of a model. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ayllu.chat.media import media_kind
from ayllu.chat.placing import joined
from ayllu.chat.prompt import with_model_messages
from ayllu.chat.request import ChatRequest, Level, Think
from ayllu.errors import BadRequestError
from ayllu.models.model import Model
from ayllu.runner.options import LARGEST, parse_options
from ayllu.server import wire_anthropic as wire
from ayllu.server.turns import add_turn, lines
from ayllu.types import Json, Message, Options, ToolCall, ToolFunction

_LEVELS: Mapping[str, Level] = {
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "max",
}


def read_prompt(body: wire.CountRequest, model: Model, *, thinks: bool) -> ChatRequest:
    """The request without its sampling options. Raises BadRequestError.

    `thinks` says whether the model can; where it cannot, `thinking` is left aside.
    """
    tools, choice = _read_tools(body)
    parallel = not (body.tool_choice and body.tool_choice.disable_parallel_tool_use)
    return ChatRequest(
        messages=read_messages(body, model),
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=None if parallel else False,
        think=_read_think(body) if thinks else None,
        think_budget=body.thinking.budget_tokens if body.thinking else None,
        format=_read_format(body),
        truncate=False,  # clients shorten a conversation themselves when they are told
        detailed=True,
    )


def read_options(body: wire.MessagesRequest, model: Model) -> Options:
    """The sampling options; the model's own stop words stay in force. Raises BadRequestError."""
    if body.max_tokens is None or body.max_tokens == 0:
        raise BadRequestError("max_tokens is required and must be positive")
    own = parse_options(model.params).stop or ()
    return Options(
        num_predict=min(body.max_tokens, LARGEST),
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        stop=(*own, *body.stop_sequences) if body.stop_sequences else None,
    )


def read_messages(body: wire.CountRequest, model: Model) -> tuple[Message, ...]:
    """The conversation, with the model's own beginning. Raises BadRequestError."""
    if not body.messages:
        raise BadRequestError("messages is required")
    system = _text(body.system)
    messages = [Message(role="system", content=system)] if system else []
    names: dict[str, str] = {}
    for number, message in enumerate(body.messages):
        for turn in _turns(message, f"messages.{number}", names):
            add_turn(messages, turn)
    return with_model_messages(messages, model.system, model.messages)


def shows_thinking(body: wire.CountRequest) -> bool:
    """Whether thinking was asked for."""
    return body.thinking is not None and body.thinking.type != "disabled"


def _turns(message: wire.InputMessage, where: str, names: dict[str, str]) -> Iterator[Message]:
    """The turns that a message stands for; `names` collects the tools by their calls' ids."""
    content = message.content
    blocks = (wire.TextBlock(content),) if isinstance(content, str) else content
    for number, block in enumerate(blocks):
        _check_role(block, message.role, f"{where}.content.{number}")
        if isinstance(block, wire.ToolUseBlock):
            names[block.id] = block.name
    results = [block for block in blocks if isinstance(block, wire.ToolResultBlock)]
    others = [block for block in blocks if not isinstance(block, wire.ToolResultBlock)]
    for result in results:
        yield _result(result, where, names)
    if others or not results:
        yield _turn(message.role, others, where)


def _check_role(block: wire.InputBlock, role: str, where: str) -> None:
    if isinstance(block, wire.ToolUseBlock | wire.ThinkingBlock) and role != "assistant":
        raise BadRequestError(f"{where}: only an assistant's message may have such a block")
    if isinstance(block, wire.ToolResultBlock | wire.ImageBlock) and role != "user":
        raise BadRequestError(f"{where}: only a user's message may have such a block")


def _turn(role: Any, blocks: Sequence[wire.InputBlock], where: str) -> Message:  # noqa: ANN401
    calls = [block for block in blocks if isinstance(block, wire.ToolUseBlock)]
    thoughts = [block.thinking for block in blocks if isinstance(block, wire.ThinkingBlock)]
    return Message(
        role=role,
        content=joined([_readable(block, where) for block in blocks]),
        thinking=lines(thoughts),
        images=_images(blocks, where),
        tool_calls=tuple(ToolCall(ToolFunction(c.name, c.input), c.id) for c in calls),
    )


def _result(block: wire.ToolResultBlock, where: str, names: Mapping[str, str]) -> Message:
    """A tool's answer. No template has a place for its failure, so the words tell of it."""
    content = block.content or ""
    blocks = (wire.TextBlock(content),) if isinstance(content, str) else content
    text = joined([_readable(part, where) for part in blocks])
    if block.is_error and "error" not in text.casefold():
        text = f"Error: {text}"
    return Message(
        role="tool",
        content=text,
        images=_images(blocks, where),
        tool_name=names.get(block.tool_use_id, ""),
        tool_call_id=block.tool_use_id,
    )


def _readable(block: wire.InputBlock, where: str) -> str | None:
    """The text of a block, empty where it has none; None for an image."""
    if isinstance(block, wire.TextBlock):
        return block.text
    if isinstance(block, wire.SearchResultBlock):
        return lines([block.title, block.source, _text(block.content)])
    if isinstance(block, wire.DocumentBlock):
        source = block.source
        if source.type not in {"text", "content"}:
            raise BadRequestError(f"{where}: only documents of text can be read, not {source.type}")
        text = source.data if source.type == "text" else _text(source.content)
        return lines([block.title or "", block.context or "", text])
    return None if isinstance(block, wire.ImageBlock) else ""


def _images(blocks: Sequence[wire.InputBlock], where: str) -> tuple[str, ...]:
    """The images in base64."""
    sources = [block.source for block in blocks if isinstance(block, wire.ImageBlock)]
    for source in sources:
        if source.type != "base64":
            raise BadRequestError(f"{where}: images come as base64 here, not as {source.type}")
        if media_kind(source.data) != "image":
            raise BadRequestError(f"{where}: an image is a sound")
    return tuple(source.data for source in sources)


def _text(content: str | Sequence[wire.TextBlock]) -> str:
    return content if isinstance(content, str) else lines(block.text for block in content)


def _read_tools(body: wire.CountRequest) -> tuple[tuple[Mapping[str, Json], ...], Json]:
    """The tools and the choice in OpenAI's form. One that is named is the only one offered."""
    for tool in body.tools:
        if tool.type != "custom":
            raise BadRequestError(
                f"the tool {tool.name!r} is of the type {tool.type!r}, which only Anthropic's "
                "models and servers know: give it an input_schema of its own"
            )
    choice = body.tool_choice
    if choice is None or choice.type == "auto":
        return tuple(map(_tool, body.tools)), None
    if choice.type == "none":
        return (), None
    chosen = [tool for tool in body.tools if choice.type == "any" or tool.name == choice.name]
    if not chosen:
        raise BadRequestError("tool_choice asks for a tool that is not among the tools")
    return tuple(map(_tool, chosen)), "required"


def _tool(tool: wire.Tool) -> Mapping[str, Json]:
    function: dict[str, Json] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = tool.input_schema or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


def _read_think(body: wire.CountRequest) -> Think:
    """Thinking is off unless asked for, as clients that know nothing of it expect."""
    if not shows_thinking(body):
        return False
    effort = body.output_config.effort if body.output_config else None
    return _LEVELS[effort] if effort else True


def _read_format(body: wire.CountRequest) -> Mapping[str, Json] | None:
    form = body.output_config.format if body.output_config else None
    return form.schema if form else None
