"""Ollama's requests and responses, field by field. Those with a default are left out when empty.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta, Struct, field

from ayllu.models import create as models_create
from ayllu.models import describe
from ayllu.runner.replies import Piece
from ayllu.server.schemas import (
    NEEDED,
    Documents,
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
    said,
)
from ayllu.server.wire_deployments import Placement
from ayllu.types import Json, Message, TokenLogprob, ToolCall


class ModelRequest(Struct, frozen=True):
    """What all routes share that load a model."""

    model: Name = ""
    keep_alive: KeepAlive = None
    options: Options = field(default_factory=dict)


class AnswerRequest(ModelRequest, frozen=True):
    """What /api/generate and /api/chat share."""

    stream: bool = True
    format: Format = None
    think: Think = None
    truncate: bool = True
    shift: bool = True
    logprobs: bool = False
    top_logprobs: TopLogprobs = 0
    debug_render_only: bool = field(name="_debug_render_only", default=False)


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


class EmbedRequest(ModelRequest, frozen=True):
    """POST /api/embed."""

    input: Texts = None
    truncate: bool = True
    dimensions: int = 0


class EmbeddingsRequest(ModelRequest, frozen=True):
    """POST /api/embeddings, the older form."""

    prompt: str = ""


class RerankRequest(ModelRequest, frozen=True):
    """POST /api/rerank, which is ours. A document is a text or an object with a `text`."""

    query: str = ""
    documents: Documents = None
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool = False
    truncate: bool = True


class TokenizeRequest(ModelRequest, frozen=True):
    """POST /api/tokenize, which is ours; the fields are llama-server's."""

    content: Annotated[str | None, said(NEEDED)] = None
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeRequest(ModelRequest, frozen=True):
    """POST /api/detokenize, which is ours."""

    tokens: Annotated[tuple[Token, ...] | None, said(NEEDED)] = None


class NameRequest(Struct, frozen=True):
    """DELETE /api/delete: `model`, or `name` as older clients send."""

    model: Name = ""
    name: OldName = ""


class ShowRequest(Struct, frozen=True):
    """POST /api/show."""

    model: Name = ""
    name: OldName = ""
    system: str = ""
    template: str = ""
    options: dict[str, Json] = field(default_factory=dict)
    verbose: bool = False


class CreateRequest(models_create.CreateRequest, frozen=True, kw_only=True):
    """POST /api/create."""

    model: Name = ""
    name: OldName = ""
    stream: bool = True


class TransferRequest(Struct, frozen=True):
    """POST /api/push: `model`, or `name` as older clients send."""

    model: Name = ""
    name: OldName = ""
    insecure: bool = False
    stream: bool = True


class PullRequest(TransferRequest, frozen=True):
    """POST /api/pull: `update` gets only what was pulled before and is another by now."""

    update: bool = False


class CopyRequest(Struct, frozen=True):
    """POST /api/copy."""

    source: Name = ""
    destination: Name = ""


class VersionResponse(Struct, frozen=True, kw_only=True):
    """The answer of /api/version: whose API this is, and our own version."""

    version: str
    ayllu: str


class TagsResponse(Struct, frozen=True):
    """The answer of /api/tags."""

    models: list[describe.TagsModel]


class Logprob(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A token's probability."""

    token: str
    logprob: float
    bytes: tuple[int, ...] = ()
    top_logprobs: tuple[Logprob, ...] = ()


class DebugInfo(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The prompt that would be sent."""

    rendered_template: str
    image_count: int = 0


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
    debug_info: DebugInfo | None = field(name="_debug_info", default=None)


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


class RerankDocument(Struct, frozen=True):
    """A document as it is given back."""

    text: str


class RerankResult(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A document's place in the request and its relevance, from 0 to 1."""

    index: int
    relevance_score: float
    document: RerankDocument | None = None


class RerankResponse(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The answer of /api/rerank, the most relevant document first."""

    model: str
    results: list[RerankResult]
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0


class TokenizeResponse(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The answer of /api/tokenize: token ids, or tokens with their text or bytes."""

    model: str
    tokens: Sequence[int | Piece]
    total_duration: int = 0
    load_duration: int = 0


class DetokenizeResponse(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The answer of /api/detokenize."""

    model: str
    content: str
    total_duration: int = 0
    load_duration: int = 0


class CloudStatus(Struct, frozen=True):
    """Whether models of a cloud can be used, and what says so."""

    disabled: bool
    source: str


class StatusResponse(Struct, frozen=True):
    """The answer of /api/status."""

    cloud: CloudStatus


class ErrorResponse(Struct, frozen=True):
    """An error, as an answer or as the last line of a stream."""

    error: str


class LoadedRow(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A row of /api/ps: sizes in bytes. `ayllu` is ours, where there is something to say."""

    name: str
    model: str
    size: int
    digest: str
    details: describe.Details
    expires_at: str
    size_vram: int
    context_length: int
    ayllu: Placement | None = None


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
