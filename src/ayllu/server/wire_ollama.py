"""Ollama's requests and responses, field by field. Those with a default are left out when empty.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from ayllu.models import create as models_create
from ayllu.types import Json, Message, TokenLogprob, ToolCall


class AnswerRequest(Struct, frozen=True):
    """What /api/generate and /api/chat share."""

    model: str = ""
    stream: bool = True
    format: Json = None
    keep_alive: Json = None
    options: dict[str, Json] = field(default_factory=dict)
    think: Json = None
    truncate: bool = True
    shift: bool = True
    logprobs: bool = False
    top_logprobs: int = 0


class GenerateRequest(AnswerRequest, frozen=True):
    """POST /api/generate."""

    prompt: str = ""
    suffix: str = ""
    system: str = ""
    template: str = ""
    context: tuple[int, ...] = ()
    raw: bool = False
    images: tuple[str, ...] = ()


class ChatRequest(AnswerRequest, frozen=True):
    """POST /api/chat."""

    messages: tuple[Message, ...] = ()
    tools: tuple[dict[str, Json], ...] = ()
    tool_choice: Json = None


class EmbedRequest(Struct, frozen=True):
    """POST /api/embed."""

    model: str = ""
    input: Json = None
    keep_alive: Json = None
    truncate: bool = True
    dimensions: int = 0
    options: dict[str, Json] = field(default_factory=dict)


class EmbeddingsRequest(Struct, frozen=True):
    """POST /api/embeddings, the older form."""

    model: str = ""
    prompt: str = ""
    keep_alive: Json = None
    options: dict[str, Json] = field(default_factory=dict)


class NameRequest(Struct, frozen=True):
    """DELETE /api/delete: `model`, or `name` as older clients send."""

    model: str = ""
    name: str = ""


class ShowRequest(Struct, frozen=True):
    """POST /api/show."""

    model: str = ""
    name: str = ""
    system: str = ""
    verbose: bool = False


class CreateRequest(models_create.CreateRequest, frozen=True, kw_only=True):
    """POST /api/create."""

    model: str = ""
    name: str = ""
    stream: bool = True


class PullRequest(Struct, frozen=True):
    """POST /api/pull: `model`, or `name` as older clients send."""

    model: str = ""
    name: str = ""
    insecure: bool = False
    stream: bool = True


class CopyRequest(Struct, frozen=True):
    """POST /api/copy."""

    source: str = ""
    destination: str = ""


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


class ErrorResponse(Struct, frozen=True):
    """An error, as an answer or as the last line of a stream."""

    error: str


class LoadedRow(Struct, frozen=True, kw_only=True):
    """A row of /api/ps: sizes in bytes."""

    name: str
    model: str
    size: int
    digest: str
    details: Any
    expires_at: str
    size_vram: int
    context_length: int


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
