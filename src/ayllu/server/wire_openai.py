"""OpenAI's requests and responses, field by field. Unknown fields of a request are ignored.

Source: https://platform.openai.com/docs/api-reference; what Ollama does there is ours where the two
differ (`reasoning`, defaults of 1.0). docs/compat.md says of every field what becomes of it.
"""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType, field

from ayllu.runner.options import LARGEST, LEAST
from ayllu.server.schemas import (
    MAX_TOP_LOGPROBS,
    NAME,
    NEEDED,
    Documents,
    KeepAlive,
    Name,
    Options,
    Texts,
    Tool,
    ToolChoice,
    said,
)
from ayllu.server.schemas_openai import (
    Arguments,
    Biases,
    Content,
    Effort,
    Input,
    Limit,
    Prompts,
    Refused,
    ResponseFormat,
    Speaker,
)
from ayllu.server.wire_ollama import DebugInfo, RerankResult

Number = Annotated[float, Meta(ge=-LARGEST, le=LARGEST)]
Count = Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]
MAX_CHOICES = 128

FINGERPRINT = "fp_ayllu"


class StreamOptions(Struct, frozen=True):
    """What a stream tells besides the answer."""

    include_usage: bool = False


class Reasoning(Struct, frozen=True):
    """`reasoning` of a request, as in /v1/responses."""

    effort: Effort = None


class SamplingRequest(Struct, frozen=True, kw_only=True):
    """What /v1/chat/completions and /v1/completions share. `options` and the last five are ours."""

    model: Name = ""
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    max_tokens: Limit = None
    n: Annotated[int, Meta(ge=1, le=MAX_CHOICES)] = 1
    seed: int | None = None
    stop: Texts = None
    temperature: Number | None = None
    top_p: Number | None = None
    frequency_penalty: Number | None = None
    presence_penalty: Number | None = None
    logit_bias: Biases = field(default_factory=dict)
    options: Options = field(default_factory=dict)
    keep_alive: KeepAlive = None
    top_k: Count | None = None
    min_p: Number | None = None
    repeat_penalty: Annotated[Number | None, said({"minimum": LEAST["repeat_penalty"]})] = None
    grammar: str | None = None


class Function(Struct, frozen=True):
    """The call of a function; `arguments` is JSON in a string."""

    name: str = ""
    arguments: Arguments = ""


class Call(Struct, frozen=True):
    """A tool call, of a message or of an answer."""

    id: str = ""
    type: str = "function"
    function: Function = Function()


class ChatMessage(Struct, frozen=True):
    """A message of a request: `content` is a text or a list of parts."""

    role: Speaker = ""
    content: Content = None
    name: str = ""
    reasoning: str = ""
    reasoning_content: str = ""
    tool_calls: tuple[Call, ...] = ()
    tool_call_id: str = ""


class ChatRequest(SamplingRequest, frozen=True, kw_only=True):
    """POST /v1/chat/completions."""

    messages: Annotated[tuple[ChatMessage, ...], said({"minItems": 1, **NEEDED})] = ()
    max_completion_tokens: Limit = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    response_format: ResponseFormat = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Effort = None
    reasoning: Reasoning = Reasoning()
    functions: Refused = None
    function_call: Refused = None
    modalities: tuple[str, ...] = ()
    debug_render_only: bool = field(name="_debug_render_only", default=False)


class CompletionRequest(SamplingRequest, frozen=True, kw_only=True):
    """POST /v1/completions. `raw`, which is ours, sends a prompt without the chat template."""

    prompt: Prompts = ""
    suffix: str = ""
    echo: bool = False
    best_of: int | None = None
    logprobs: Annotated[int, Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    raw: bool = False


class EmbeddingsRequest(Struct, frozen=True, kw_only=True):
    """POST /v1/embeddings. The last two are ours."""

    model: Name = ""
    input: Input = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    options: Options = field(default_factory=dict)
    keep_alive: KeepAlive = None


class RerankRequest(Struct, frozen=True, kw_only=True):
    """POST /v1/rerank, in Jina's form. The last three are ours.

    Source: https://api.jina.ai/redoc.
    """

    model: Name = ""
    query: Annotated[str, said({**NAME, **NEEDED})] = ""
    documents: Annotated[Documents, said({"minItems": 1, **NEEDED})] = None
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool = True
    truncate: bool = True
    options: Options = field(default_factory=dict)
    keep_alive: KeepAlive = None


class Error(Struct, frozen=True, kw_only=True):
    """What went wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorResponse(Struct, frozen=True):
    """An error, as an answer or within a stream."""

    error: Error


class PromptDetails(Struct, frozen=True):
    """Of the prompt's tokens, those that the KV cache held already."""

    cached_tokens: int


class Usage(Struct, frozen=True, kw_only=True):
    """What a request cost, in tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails


class TopLogprob(Struct, frozen=True, kw_only=True):
    """A token that the model might have chosen."""

    token: str
    logprob: float
    bytes: tuple[int, ...]


class Logprob(TopLogprob, frozen=True, kw_only=True):
    """A token of the answer with its alternatives."""

    top_logprobs: tuple[TopLogprob, ...]


class ChatLogprobs(Struct, frozen=True):
    """Probabilities of a chat's answer."""

    content: tuple[Logprob, ...]
    refusal: None = None


class TextLogprobs(Struct, frozen=True, kw_only=True):
    """Probabilities of a completion; `text_offset` counts characters."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class CallDelta(Struct, frozen=True, kw_only=True):
    """A tool call within a stream, always whole."""

    index: int
    id: str
    type: str
    function: Function


class AssistantMessage(Struct, frozen=True, kw_only=True):
    """The message of a whole answer."""

    role: str = "assistant"
    content: str | None
    reasoning: str | UnsetType = UNSET
    tool_calls: tuple[Call, ...] | UnsetType = UNSET


class Delta(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a chunk adds to a message."""

    role: str = ""
    content: str | UnsetType = UNSET
    reasoning: str = ""
    tool_calls: tuple[CallDelta, ...] = ()


class ChatChoice(Struct, frozen=True, kw_only=True):
    """One of the answers."""

    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: str


class ChunkChoice(Struct, frozen=True, kw_only=True):
    """A piece of one of the answers."""

    index: int
    delta: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: str | None = None


class TextChoice(Struct, frozen=True, kw_only=True):
    """One of the texts, or a piece of it."""

    index: int
    text: str
    logprobs: TextLogprobs | None = None
    finish_reason: str | None = None


Choice = TypeVar("Choice")


class Reply(Struct, Generic[Choice], frozen=True, kw_only=True):
    """A whole answer or a chunk of one; `usage` is null in the chunks before the last."""

    id: str
    object: str
    created: int
    model: str
    system_fingerprint: str = FINGERPRINT
    choices: tuple[Choice, ...]
    usage: Usage | UnsetType | None = UNSET
    debug_info: DebugInfo | UnsetType = field(name="_debug_info", default=UNSET)


class Embedding(Struct, frozen=True, kw_only=True):
    """One input's vector: numbers, or the base64 of little-endian 32-bit floats."""

    object: str = "embedding"
    index: int
    embedding: list[float] | str


class InputUsage(Struct, frozen=True):
    """What a request cost that makes no text, in tokens."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(Struct, frozen=True, kw_only=True):
    """The answer of /v1/embeddings."""

    object: str = "list"
    data: list[Embedding]
    model: str
    usage: InputUsage


class RerankResponse(Struct, frozen=True, kw_only=True):
    """The answer of /v1/rerank, the most relevant document first."""

    object: str = "list"
    results: list[RerankResult]
    model: str
    usage: InputUsage


class ModelRow(Struct, frozen=True, kw_only=True):
    """A model; `created` is when it last changed, in seconds since 1970."""

    id: str
    object: str = "model"
    created: int
    owned_by: str


class ModelList(Struct, frozen=True, kw_only=True):
    """The answer of /v1/models."""

    object: str = "list"
    data: list[ModelRow]
