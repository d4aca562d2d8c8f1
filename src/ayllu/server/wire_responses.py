"""OpenAI's responses, field by field: requests, answers and their items.

Unknown fields of a request are ignored; docs/compat.md says of every field what becomes of it.
Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from ayllu.server.schemas import MAX_TOP_LOGPROBS, KeepAlive, Name, Options, said
from ayllu.server.schemas_openai import (
    Effort,
    Items,
    Refused,
    ResponseChoice,
    ResponseTool,
    TextFormat,
)
from ayllu.server.wire_openai import Logprob, Number
from ayllu.types import Json

Status = Literal["in_progress", "completed", "incomplete", "failed"]
Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class Reasoning(Struct, frozen=True, kw_only=True):
    """How hard to think, and whether to tell of it in a summary. `generate_summary` is older."""

    effort: Effort = None
    summary: str | None = None
    generate_summary: str | None = None


class Text(Struct, frozen=True, kw_only=True):
    """The form of the answer's text."""

    format: TextFormat = field(default_factory=lambda: {"type": "text"})
    verbosity: str | None = None


class ResponsesRequest(Struct, frozen=True, kw_only=True):
    """POST /v1/responses. The last two are ours."""

    model: Name = ""
    input: Items = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: Refused = None
    prompt: Refused = None
    background: Annotated[bool, said({"const": False})] = False
    moderation: Refused = None
    store: bool = True
    stream: bool = False
    include: tuple[str, ...] = ()
    tools: tuple[ResponseTool, ...] = ()
    tool_choice: ResponseChoice = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning = Reasoning()
    text: Text = Text()
    temperature: Number | None = None
    top_p: Number | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] = 0
    max_output_tokens: Positive | None = None
    truncation: Literal["auto", "disabled"] = "disabled"
    metadata: dict[str, str] = field(default_factory=dict)
    options: Options = field(default_factory=dict)
    keep_alive: KeepAlive = None


class RetrieveQuery(Struct, frozen=True):
    """What is asked of an answer that is kept, in the query."""

    stream: Annotated[bool, said({"const": False})] = False


class ItemsQuery(Struct, frozen=True):
    """A page of items, in the query: how many, in which order, after which."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    after: str | None = None


class MessageInput(Struct, frozen=True):
    """A message of a request: `content` is a text or a list of parts."""

    role: str
    content: Json = None


class CallInput(Struct, frozen=True, kw_only=True):
    """A call that the model made: `arguments` of a function, or the `input` of a custom tool."""

    call_id: str
    name: str
    namespace: str = ""
    arguments: Json = ""
    input: str = ""
    status: str = ""


class OutputInput(Struct, frozen=True, kw_only=True):
    """What a call gave: `output` is a text or a list of parts."""

    call_id: str
    output: Json = None


class Piece(Struct, frozen=True):
    """A text within a reasoning item."""

    text: str = ""


class ReasoningInput(Struct, frozen=True, kw_only=True):
    """What the model thought."""

    summary: tuple[Piece, ...] = ()
    content: tuple[Piece, ...] = ()
    encrypted_content: str = ""


class ToolsInput(Struct, frozen=True):
    """Tools that are among the items."""

    tools: tuple[dict[str, Json], ...] = ()


class SummaryText(Struct, frozen=True, tag_field="type", tag="summary_text"):
    """The text of a reasoning summary."""

    text: str


class ReasoningText(Struct, frozen=True, tag_field="type", tag="reasoning_text"):
    """The thinking itself."""

    text: str


class OutputText(Struct, frozen=True, tag_field="type", tag="output_text"):
    """The text of a message."""

    text: str
    annotations: tuple[Json, ...] = ()
    logprobs: tuple[Logprob, ...] = ()


class ReasoningItem(Struct, frozen=True, kw_only=True, tag_field="type", tag="reasoning"):
    """What the model thought, as a summary or as it is."""

    id: str
    status: Status
    summary: tuple[SummaryText, ...] = ()
    content: tuple[ReasoningText, ...] = ()
    encrypted_content: str | None = None


class MessageItem(Struct, frozen=True, kw_only=True, tag_field="type", tag="message"):
    """What the model says."""

    id: str
    status: Status
    role: str = "assistant"
    content: tuple[OutputText, ...] = ()


class CallItem(Struct, frozen=True, kw_only=True, tag_field="type", tag="function_call"):
    """The call of a function; `arguments` is JSON in a string."""

    id: str
    status: Status
    call_id: str
    name: str
    namespace: str | UnsetType = UNSET
    arguments: str = ""


class CustomCallItem(Struct, frozen=True, kw_only=True, tag_field="type", tag="custom_tool_call"):
    """The call of a custom tool, whose input is any text."""

    id: str
    status: Status
    call_id: str
    name: str
    namespace: str | UnsetType = UNSET
    input: str = ""


Item = ReasoningItem | MessageItem | CallItem | CustomCallItem
Part = OutputText | ReasoningText


class ResponseError(Struct, frozen=True):
    """Why there is no answer."""

    code: str
    message: str


class IncompleteDetails(Struct, frozen=True):
    """What ended an answer before its end."""

    reason: str


class InputDetails(Struct, frozen=True):
    """Of the prompt's tokens, those that the KV cache held already."""

    cached_tokens: int
    cache_write_tokens: int = 0


class OutputDetails(Struct, frozen=True):
    """Tokens of thinking are not told apart from the others."""

    reasoning_tokens: int = 0


class Usage(Struct, frozen=True, kw_only=True):
    """What an answer cost, in tokens."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails = OutputDetails()
    total_tokens: int


class ReasoningEcho(Struct, frozen=True):
    """`reasoning` of the request."""

    effort: str | None
    summary: str | None


class Response(Struct, frozen=True, kw_only=True):
    """An answer, with what the request asked for. Times are in seconds since 1970."""

    id: str
    object: str = "response"
    created_at: int
    completed_at: int | None = None
    status: Status = "in_progress"
    background: bool = False
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: None = None
    model: str
    output: tuple[Item, ...] = ()
    parallel_tool_calls: bool
    previous_response_id: str | None
    reasoning: ReasoningEcho
    store: bool
    temperature: float | None
    text: Text
    tool_choice: ResponseChoice
    tools: tuple[dict[str, Json], ...]
    top_logprobs: int
    top_p: float | None
    truncation: str
    usage: Usage | None = None
    metadata: dict[str, str]


class ItemList(Struct, frozen=True, kw_only=True):
    """Items of a request, a page of them."""

    object: str = "list"
    data: list[Json]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Deleted(Struct, frozen=True):
    """An answer that is no longer kept."""

    id: str
    object: str = "response"
    deleted: bool = True


class InputTokens(Struct, frozen=True):
    """The answer of /v1/responses/input_tokens."""

    input_tokens: int
    object: str = "response.input_tokens"
