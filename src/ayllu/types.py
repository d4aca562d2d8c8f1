"""The nouns that everything speaks: frozen records that pass between rooms and processes.

Imports nothing of ours. JSON names follow Ollama's where a record is stored or sent as it is.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, field

Json = Any
"""A value as JSON has it: None, bool, int, float, str, list or dict."""

Role = Literal["system", "user", "assistant", "tool"]


class ModelName(Struct, frozen=True):
    """`host/namespace/model:tag`, every part filled in."""

    host: str
    namespace: str
    model: str
    tag: str


class Layer(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One blob of a model. `digest` is `sha256:<64 hex>`, `size` is in bytes."""

    media_type: str
    digest: str
    size: int
    from_: str = field(default="", name="from")
    name: str = ""


class Manifest(Struct, frozen=True, rename="camel"):
    """What a model is made of, in Docker's manifest form (image manifest version 2, schema 2)."""

    schema_version: int
    media_type: str
    config: Layer
    layers: tuple[Layer, ...]


class ModelConfig(Struct, frozen=True, omit_defaults=True):
    """A model's config blob: `model_type` is its size ("8.0B"), `file_type` its quantization."""

    model_format: str = ""
    model_family: str = ""
    model_families: tuple[str, ...] | None = None
    model_type: str = ""
    file_type: str = ""
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    remote_host: str = ""
    remote_model: str = ""
    capabilities: tuple[str, ...] = ()
    context_length: int = 0
    embedding_length: int = 0
    base_name: str = ""
    architecture: str = ""
    os: str = ""


class ToolFunction(Struct, frozen=True):
    """The call a model makes: a tool's name and its arguments, in the order the model gave them."""

    name: str
    arguments: dict[str, Json] = field(default_factory=dict)
    index: int | UnsetType = UNSET


class ToolCall(Struct, frozen=True, omit_defaults=True):
    """One tool call of a model, with the id that a later tool message refers to."""

    function: ToolFunction
    id: str = ""


class Message(Struct, frozen=True, omit_defaults=True):
    """One turn of a conversation. `images` are base64 strings."""

    role: Role
    content: str = ""
    thinking: str = ""
    images: tuple[str, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_name: str = ""
    tool_call_id: str = ""


class Options(Struct, frozen=True, omit_defaults=True):
    """What a request, a Modelfile or a default may set; None where nobody said anything.

    The first group takes effect when a model is loaded, the second with every request.
    """

    num_ctx: int | None = None
    num_batch: int | None = None
    num_gpu: int | None = None
    main_gpu: int | None = None
    use_mmap: bool | None = None
    num_thread: int | None = None
    draft_num_predict: int | None = None

    adapter_scale: tuple[float, ...] | None = None
    num_keep: int | None = None
    seed: int | None = None
    num_predict: int | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repeat_last_n: int | None = None
    temperature: float | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] | None = None
    grammar: str | None = None


class TokenLogprob(Struct, frozen=True):
    """A token with the natural logarithm of its probability, and its bytes in UTF-8."""

    token: str
    logprob: float
    bytes: tuple[int, ...] = ()
    top_logprobs: tuple[TokenLogprob, ...] = ()


class Timings(Struct, frozen=True):
    """What a request cost. Durations are in nanoseconds, counts in tokens.

    `prompt_cached_count` of the `prompt_eval_count` tokens were in the engine's cache already.
    """

    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    prompt_eval_duration: int = 0
    eval_count: int = 0
    eval_duration: int = 0
    prompt_cached_count: int = 0


class PromptEvent(Struct, frozen=True, omit_defaults=True, tag=True):
    """The size of the prompt that is being read, and how much the engine's cache has: tokens."""

    tokens: int
    cached: int = 0


class TextEvent(Struct, frozen=True, omit_defaults=True, tag=True):
    """A piece of the answer."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


class ThinkingEvent(Struct, frozen=True, omit_defaults=True, tag=True):
    """A piece of the model's reasoning before its answer."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


class ToolCallEvent(Struct, frozen=True, omit_defaults=True, tag=True):
    """Tool calls, complete."""

    calls: tuple[ToolCall, ...]


class ToolPieceEvent(Struct, frozen=True, omit_defaults=True, tag=True):
    """A piece of a tool call; `arguments` is JSON text to be joined with that of its `index`.

    The first piece of an index has the name, and an id where the engine gave one.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


class DoneEvent(Struct, frozen=True):
    """The last event of every stream. `stop_word` is the one that ended it, where asked for.

    `context` holds the token ids of prompt and answer where they were asked for; `truncated` counts
    the old messages that were left out to make the prompt fit.
    """

    reason: Literal["stop", "length", "load", "unload"]
    timings: Timings = Timings()
    context: tuple[int, ...] = ()
    truncated: int = 0
    stop_word: str = ""


Event = PromptEvent | TextEvent | ThinkingEvent | ToolCallEvent | ToolPieceEvent | DoneEvent
"""What a chat yields, whatever dialect asked for it."""
