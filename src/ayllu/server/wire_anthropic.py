"""Anthropic's requests, answers and stream events, field by field.

What is not named here is accepted and ignored; docs/compat.md says why.
Source: https://platform.claude.com/docs/en/api/messages.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from ayllu.runner.options import LARGEST
from ayllu.server.schemas import NEEDED, Name, said
from ayllu.types import Json

Count = Annotated[int, Meta(ge=0, le=LARGEST)]
StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


class TextBlock(Struct, frozen=True, tag="text"):
    """A piece of text."""

    text: str


class ThinkingBlock(Struct, frozen=True, tag="thinking"):
    """A model's reasoning. Clients send it back with its signature, which says nothing to us."""

    thinking: str
    signature: str = ""


class ToolUseBlock(Struct, frozen=True, tag="tool_use"):
    """A call of one of the request's tools."""

    id: str
    name: Annotated[str, Meta(min_length=1)]
    input: dict[str, Json] = field(default_factory=dict)


class Source(Struct, frozen=True):
    """Where an image or a document comes from."""

    type: Annotated[str, said({"enum": ["base64", "text", "content"]})]
    data: str = ""
    content: str | tuple[TextBlock, ...] = ""


class ImageBlock(Struct, frozen=True, tag="image"):
    """An image."""

    source: Source


class DocumentBlock(Struct, frozen=True, tag="document"):
    """A document; those that are text can be read."""

    source: Source
    title: str | None = None
    context: str | None = None


class SearchResultBlock(Struct, frozen=True, tag="search_result"):
    """Something that the client found."""

    content: tuple[TextBlock, ...]
    title: str = ""
    source: str = ""


class RedactedThinkingBlock(Struct, frozen=True, tag="redacted_thinking"):
    """Reasoning that only Anthropic can read."""


class ServerToolUseBlock(Struct, frozen=True, tag="server_tool_use"):
    """A call of a tool that Anthropic's servers ran."""


class WebSearchToolResultBlock(Struct, frozen=True, tag="web_search_tool_result"):
    """What Anthropic's servers found, encrypted."""


ResultBlock = TextBlock | ImageBlock | DocumentBlock | SearchResultBlock


class ToolResultBlock(Struct, frozen=True, tag="tool_result"):
    """What a tool answered."""

    tool_use_id: str
    content: str | tuple[ResultBlock, ...] | None = None
    is_error: bool | None = None


InputBlock = (
    TextBlock
    | ImageBlock
    | DocumentBlock
    | SearchResultBlock
    | ThinkingBlock
    | RedactedThinkingBlock
    | ToolUseBlock
    | ToolResultBlock
    | ServerToolUseBlock
    | WebSearchToolResultBlock
)


class InputMessage(Struct, frozen=True):
    """One turn of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | tuple[InputBlock, ...]


class Tool(Struct, frozen=True):
    """A tool that the model may call."""

    name: Annotated[str, Meta(min_length=1)]
    type: Annotated[str, said({"const": "custom"})] = "custom"
    description: str = ""
    input_schema: dict[str, Json] | None = None


class ToolChoice(Struct, frozen=True):
    """Whether the model calls tools, and which."""

    type: Literal["auto", "any", "tool", "none"]
    name: str = ""
    disable_parallel_tool_use: bool = False


class Thinking(Struct, frozen=True):
    """Whether the model thinks before it answers, and for how many tokens."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Count | None = None
    display: str | None = None


class OutputFormat(Struct, frozen=True):
    """The form that the answer must have."""

    type: Literal["json_schema"]
    schema: dict[str, Json]


class OutputConfig(Struct, frozen=True):
    """How much effort the model makes, and the form of its answer."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class CountRequest(Struct, frozen=True):
    """POST /v1/messages/count_tokens."""

    model: Name = ""
    messages: Annotated[tuple[InputMessage, ...], said({"minItems": 1, **NEEDED})] = ()
    system: str | tuple[TextBlock, ...] = ""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None


class MessagesRequest(CountRequest, frozen=True):
    """POST /v1/messages."""

    max_tokens: Annotated[Annotated[int, Meta(ge=0)] | None, said({"minimum": 1, **NEEDED})] = None
    stream: bool = False
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Count | None = None
    stop_sequences: tuple[Annotated[str, Meta(min_length=1)], ...] = ()


class Usage(Struct, frozen=True):
    """What a request cost, in tokens; the three kinds of input add up to the prompt."""

    input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int = 0


OutputBlock = TextBlock | ThinkingBlock | ToolUseBlock


class Message(Struct, frozen=True, tag="message", kw_only=True):
    """An answer."""

    id: str
    role: Literal["assistant"] = "assistant"
    model: str
    content: tuple[OutputBlock, ...] = ()
    stop_reason: StopReason | None = None
    stop_sequence: str | None = None
    usage: Usage = Usage()


class TokenCount(Struct, frozen=True):
    """The answer of /v1/messages/count_tokens."""

    input_tokens: int


class MessageStart(Struct, frozen=True, tag="message_start"):
    """The first event, with a message that is still empty."""

    message: Message


class BlockStart(Struct, frozen=True, tag="content_block_start"):
    """A block begins."""

    index: int
    content_block: OutputBlock


class TextDelta(Struct, frozen=True, tag="text_delta"):
    """More text."""

    text: str


class ThinkingDelta(Struct, frozen=True, tag="thinking_delta"):
    """More reasoning."""

    thinking: str


class SignatureDelta(Struct, frozen=True, tag="signature_delta"):
    """The signature of a block of reasoning, at its end."""

    signature: str


class InputJSONDelta(Struct, frozen=True, tag="input_json_delta"):
    """More of the JSON text of a call's input."""

    partial_json: str


class BlockDelta(Struct, frozen=True, tag="content_block_delta"):
    """A block goes on."""

    index: int
    delta: TextDelta | ThinkingDelta | SignatureDelta | InputJSONDelta


class BlockStop(Struct, frozen=True, tag="content_block_stop"):
    """A block ends."""

    index: int


class Stop(Struct, frozen=True):
    """Why the answer ended."""

    stop_reason: StopReason
    stop_sequence: str | None = None


class MessageDelta(Struct, frozen=True, tag="message_delta"):
    """The end of the answer."""

    delta: Stop
    usage: Usage


class MessageStop(Struct, frozen=True, tag="message_stop"):
    """The last event."""


class Ping(Struct, frozen=True, tag="ping"):
    """A sign of life."""


class ErrorBody(Struct, frozen=True):
    """What went wrong."""

    type: str
    message: str


class ErrorResponse(Struct, frozen=True, tag="error"):
    """An error, as an answer or as an event of a stream that had begun."""

    error: ErrorBody
    request_id: str


StreamEvent = (
    MessageStart
    | BlockStart
    | BlockDelta
    | BlockStop
    | MessageDelta
    | MessageStop
    | Ping
    | ErrorResponse
)
