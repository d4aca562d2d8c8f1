"""Ollama's requests and responses, field by field. Those with a default are left out when empty.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md.
"""

from __future__ import annotations

from msgspec import Struct, field

from ayllu.models import create as models_create
from ayllu.models import describe
from ayllu.server.schemas import (
    Format,
    KeepAlive,
    Name,
    OldName,
    Options,
    Texts,
    Think,
    Token,
    Tool,
    ToolChoice,
    TopLogprobs,
)
from ayllu.types import Message, TokenLogprob, ToolCall


class AnswerRequest(Struct, frozen=True):
    """What /api/generate and /api/chat share."""

    model: Name = ""
    stream: bool = True
    format: Format = None
    keep_alive: KeepAlive = None
    options: Options = field(default_factory=dict)
    think: Think = None
    truncate: bool = True
    shift: bool = True
    logprobs: bool = False
    top_logprobs: TopLogprobs = 0


class GenerateRequest(AnswerRequest, frozen=True):
    """POST /api/generate."""

    prompt: str = ""
    suffix: str = ""
    system: str = ""
    template: str = ""
    context: tuple[Token, ...] = ()
    raw: bool = False
    images: tuple[str, ...] = ()


class ChatRequest(AnswerRequest, frozen=True):
    """POST /api/chat."""

    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = None


class EmbedRequest(Struct, frozen=True):
    """POST /api/embed."""

    model: Name = ""
    input: Texts = None
    keep_alive: KeepAlive = None
    truncate: bool = True
    dimensions: int = 0
    options: Options = field(default_factory=dict)


class EmbeddingsRequest(Struct, frozen=True):
    """POST /api/embeddings, the older form."""

    model: Name = ""
    prompt: str = ""
    keep_alive: KeepAlive = None
    options: Options = field(default_factory=dict)


class NameRequest(Struct, frozen=True):
    """DELETE /api/delete: `model`, or `name` as older clients send."""

    model: Name = ""
    name: OldName = ""


class ShowRequest(Struct, frozen=True):
    """POST /api/show."""

    model: Name = ""
    name: OldName = ""
    system: str = ""
    verbose: bool = False


class CreateRequest(models_create.CreateRequest, frozen=True, kw_only=True):
    """POST /api/create."""

    model: Name = ""
    name: OldName = ""
    stream: bool = True


class PullRequest(Struct, frozen=True):
    """POST /api/pull: `model`, or `name` as older clients send."""

    model: Name = ""
    name: OldName = ""
    insecure: bool = False
    stream: bool = True


class CopyRequest(Struct, frozen=True):
    """POST /api/copy."""

    source: Name = ""
    destination: Name = ""


class VersionResponse(Struct, frozen=True):
    """The answer of /api/version."""

    version: str


class TagsResponse(Struct, frozen=True):
    """The answer of /api/tags."""

    models: list[describe.TagsModel]


class Logprob(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A token's probability."""

    token: str
    logprob: float
    bytes: tuple[int, ...] = ()
    top_logprobs: tuple[Logprob, ...] = ()


class Line(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What the lines of /api/generate and /api/chat share. Durations are in nanoseconds."""

    model: str
    created_at: str
    done: bool
    done_reason: str = ""
    truncated: int = 0
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0
    logprobs: tuple[Logprob, ...] = ()


class GenerateLine(Line, frozen=True, omit_defaults=True, kw_only=True):
    """A line of /api/generate, or its whole answer."""

    response: str
    thinking: str = ""
    context: tuple[int, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()


class AssistantMessage(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The message of a chat line."""

    role: str
    content: str
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


class ChatLine(Line, frozen=True, omit_defaults=True, kw_only=True):
    """A line of /api/chat, or its whole answer."""

    message: AssistantMessage


class EmbedResponse(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The answer of /api/embed."""

    model: str
    embeddings: list[list[float]]
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0


class EmbeddingsResponse(Struct, frozen=True):
    """The answer of /api/embeddings."""

    embedding: list[float]


class ErrorResponse(Struct, frozen=True):
    """An error, as an answer or as the last line of a stream."""

    error: str


class LoadedRow(Struct, frozen=True, kw_only=True):
    """A row of /api/ps: sizes in bytes."""

    name: str
    model: str
    size: int
    digest: str
    details: describe.Details
    expires_at: str
    size_vram: int
    context_length: int


class LoadedResponse(Struct, frozen=True):
    """The answer of /api/ps."""

    models: list[LoadedRow]


def wire_logprobs(logprobs: tuple[TokenLogprob, ...]) -> tuple[Logprob, ...]:
    """Probabilities as Ollama writes them."""
    return tuple(
        Logprob(
            token=item.token,
            logprob=item.logprob,
            bytes=item.bytes,
            top_logprobs=wire_logprobs(item.top_logprobs),
        )
        for item in logprobs
    )
