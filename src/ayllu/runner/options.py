"""Options on their way to the engine: from a request's map to flags and sampler fields.

Pure. Every flag that llama-server is started with is chosen in `engine_arguments`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from ayllu.errors import BadRequestError
from ayllu.models.modelfile import KIND_WORDS, PARAMETER_KINDS
from ayllu.types import Json, Options

DEFAULTS = Options(
    num_keep=4,
    num_predict=-1,
    top_k=40,
    top_p=0.9,
    min_p=0.0,
    typical_p=1.0,
    repeat_last_n=64,
    temperature=0.8,
    repeat_penalty=1.0,
    presence_penalty=0.0,
    frequency_penalty=0.0,
)
"""Ollama's defaults for what a request may set."""

MAX_PREDICT_CONTEXTS = 10
"""An answer without a limit ends after this many contexts, as in Ollama."""

DRAFT_TOKENS = 4
"""Tokens that a draft model proposes at a time where nobody says how many, as in Ollama."""

LARGEST = (1 << 31) - 1
"""The engine reads its numbers as 32-bit integers; a larger seed is cut to one."""

_HEAD_TENSORS = (r"^output_norm\.", r"^output\.", r"^token_embd")
"""What of a split model stays with its head, in the engine's patterns; no tensor of a layer."""

LEAST = {"num_keep": -1, "repeat_penalty": 2.0**-126}
"""The smallest values that the engine takes; every other number may be any."""


class Worker(Struct, frozen=True):
    """A part of a model on another machine: the next `layers`, at the near end of a tunnel.

    `endpoint` is `127.0.0.1:port`, where an RPC worker answers.
    """

    endpoint: str
    layers: int


class LoadOptions(Struct, frozen=True, kw_only=True):
    """What a llama-server is started with. `context` is tokens per slot, `cache_ram` bytes.

    `embedding` makes vectors in place of texts, or scores where the `pooling` is "rank". Requests
    for texts say how much of each of the `adapters` they want; for vectors it is `adapter_scales`.
    `overrides` are keys of the model's GGUF with other values. `speculation` is how the draft model
    drafts, in the engine's word; `draft_tokens` of 0 leaves it unused. The last layers are with the
    `workers`, in their order; `tensor_split` has all machines work at each layer together.
    """

    model: Path
    context: int
    parallel: int = 1
    batch: int = 512
    embedding: bool = False
    pooling: str | None = None
    projectors: tuple[Path, ...] = ()
    adapters: tuple[Path, ...] = ()
    adapter_scales: tuple[float, ...] = ()
    overrides: dict[str, str | int | float | bool] = {}
    draft: Path | None = None
    speculation: str = ""
    draft_tokens: int = 0
    threads: int = 0
    gpu_layers: int | None = None
    main_gpu: int | None = None
    mmap: bool | None = None
    flash_attention: str = "auto"
    kv_cache_type: str = "f16"
    cache_ram: int = 0
    workers: tuple[Worker, ...] = ()
    tensor_split: bool = False


LOADING = (
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "use_mmap",
    "num_thread",
    "draft_num_predict",
)
"""The options that take effect when a model is loaded."""


def parse_options(values: Mapping[str, Json]) -> Options:
    """The options in a request's or a model's map; unknown names and nulls are left out.

    Raises BadRequestError for a wrong type and for a number that is none.
    """
    known = {}
    for name, value in values.items():
        if name in PARAMETER_KINDS and value is not None:
            known[name] = _typed(name, value)
    return Options(**known)


def _typed(name: str, value: Json) -> Any:  # noqa: ANN401 - one of the option types
    kind = PARAMETER_KINDS[name]
    number = _is_number(value)
    if number and name == "seed" and abs(value) < 1 << 64:
        return int(value) & LARGEST if value >= 0 else -1
    if number and not LEAST.get(name, -LARGEST) <= value <= LARGEST:
        raise BadRequestError(f'option "{name}" is out of range')
    if kind == "int" and number:
        return int(value)
    if kind == "float" and number:
        return float(value)
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "string" and isinstance(value, str):
        return value
    if kind in _ITEMS and isinstance(value, list):
        is_one, words = _ITEMS[kind]
        if not all(map(is_one, value)):
            raise BadRequestError(f'option "{name}" must be of type an array of {words}')
        return tuple(value)
    raise BadRequestError(f'option "{name}" must be of type {KIND_WORDS[kind]}')


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def loading_options(values: Mapping[str, Json]) -> Options:
    """Those of a map's options that take effect when a model is loaded."""
    return parse_options({name: values[name] for name in LOADING if name in values})


_ITEMS: dict[str, tuple[Callable[[Json], bool], str]] = {
    "list": (lambda item: isinstance(item, str), "strings"),
    "floats": (_is_number, "numbers"),
}


def merge_options(*layers: Options) -> Options:
    """One set of options out of several, later ones first in rank."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged |= {k: v for k, v in structs.asdict(layer).items() if v is not None}
    return Options(**merged)


def sampling_fields(options: Options, *, context: int, seed: int) -> dict[str, Json]:
    """The fields of a /completion or /v1/chat/completions body for these options.

    `context` bounds an answer without a limit; `seed` is used where the options name none.
    Source: llama.cpp tools/server/README.md, "POST /completion".
    """
    limit = MAX_PREDICT_CONTEXTS * context
    wanted = options.num_predict if options.num_predict is not None else -1
    fields: dict[str, Json] = {
        "n_predict": limit if wanted < 0 else min(wanted, limit),
        "n_keep": options.num_keep,
        "seed": seed if options.seed is None or options.seed < 0 else options.seed,
        "top_k": options.top_k,
        "top_p": options.top_p,
        "min_p": options.min_p,
        "typical_p": options.typical_p,
        "repeat_last_n": _repeat_last_n(options.repeat_last_n, context),
        "temperature": options.temperature,
        "repeat_penalty": options.repeat_penalty,
        "presence_penalty": options.presence_penalty,
        "frequency_penalty": options.frequency_penalty,
    }
    if options.stop:
        fields["stop"] = list(options.stop)
    if options.grammar:
        fields["grammar"] = options.grammar
    return {name: value for name, value in fields.items() if value is not None}


def _repeat_last_n(wanted: int | None, context: int) -> int | None:
    """-1 means the whole context, which llama-server no longer takes as a number.

    No more than that either: the engine sets aside as many places as it is told, of 4 or 8 bytes.
    """
    return None if wanted is None else context if wanted < 0 else min(wanted, context)


def engine_arguments(load: LoadOptions, *, host: str, slots: Path) -> list[str]:
    """llama-server's arguments. `host` is a path ending in `.sock` or a loopback address.

    `slots` is the folder for saved KV caches. The flags are those that measured best
    (docs/engine.md says what each one buys).
    """
    arguments = ["--model", str(load.model), "--host", host, "--offline", "--no-ui"]
    if not host.endswith(".sock"):
        arguments += ["--port", "0"]
    arguments += ["-c", str(load.context * load.parallel), "-np", str(load.parallel)]
    arguments += ["-b", str(load.batch), "-ub", str(load.batch)]
    cache_ram = 0 if load.adapters else load.cache_ram  # it would give one adapter's to another
    arguments += ["--cache-ram", str(cache_ram >> 20), "--slot-save-path", str(slots)]
    arguments += ["--flash-attn", load.flash_attention]
    # An answer goes on where a request says so; one that has ended can be rendered as such.
    arguments += ["--no-prefill-assistant"]
    arguments += ["--cache-type-k", load.kv_cache_type, "--cache-type-v", load.kv_cache_type]
    if load.embedding:
        arguments += ["--embeddings", *(["--pooling", load.pooling] if load.pooling else [])]
    elif not load.projectors:
        arguments += ["--context-shift"]
    if load.threads > 0:
        arguments += ["-t", str(load.threads)]
    arguments += _worker_arguments(load) if load.workers else _gpu_arguments(load)
    if load.mmap is not None:
        arguments += ["--load-mode", "mmap" if load.mmap else "none"]
    return arguments + _file_arguments(load) + _draft_arguments(load)


def _gpu_arguments(load: LoadOptions) -> list[str]:
    arguments = []
    if load.gpu_layers is not None and load.gpu_layers >= 0:
        arguments += ["-ngl", str(load.gpu_layers)]
    if load.main_gpu is not None:
        arguments += ["--split-mode", "none", "--main-gpu", str(load.main_gpu)]
    return arguments


def _worker_arguments(load: LoadOptions) -> list[str]:
    """Exactly these layers on the workers; what is before and behind them stays on this machine.

    The engine counts what is behind the last layer as one more, and would fit it, too.
    """
    layers = [worker.layers for worker in load.workers]
    layers[-1] += 1
    arguments = ["--rpc", ",".join(worker.endpoint for worker in load.workers)]
    arguments += ["--device", ",".join(f"RPC{number}" for number in range(len(layers)))]
    arguments += ["-ngl", str(sum(layers)), "-ts", ",".join(map(str, layers)), "-fit", "off"]
    if load.tensor_split:
        return [*arguments, "--split-mode", "tensor"]
    return [*arguments, "-ot", ",".join(f"{name}=CPU" for name in _HEAD_TENSORS)]


def _file_arguments(load: LoadOptions) -> list[str]:
    """What is added to the model, and keys of its file that are told otherwise."""
    arguments = []
    for flag, paths in (("--mmproj", load.projectors), ("--lora", load.adapters)):
        for path in paths:
            arguments += [flag, str(path)]
    if load.adapters:
        arguments += ["--lora-init-without-apply"]  # whoever starts it says which apply
    for item in load.overrides.items():
        arguments += ["--override-kv", _override(*item)]
    return arguments


def _override(key: str, value: str | float) -> str:
    """A key with another value and its type, in the engine's words."""
    kinds: dict[type, str] = {bool: "bool", int: "int", float: "float", str: "str"}
    written = str(value).lower() if isinstance(value, bool) else value
    return f"{key}={kinds[type(value)]}:{written}"


def _draft_arguments(load: LoadOptions) -> list[str]:
    """The flags of speculative decoding.

    A step holds what all slots draft, and the token before each; the engine aborts where it cannot.
    """
    tokens = min(load.draft_tokens, load.batch // load.parallel - 1)
    if load.draft is None or tokens < 1:
        return []
    arguments = ["--spec-type", load.speculation, "--spec-draft-model", str(load.draft)]
    arguments += ["--spec-draft-n-max", str(tokens)]
    arguments += ["--spec-draft-type-k", load.kv_cache_type]
    arguments += ["--spec-draft-type-v", load.kv_cache_type]
    if load.workers:
        arguments += ["-devd", "none"]  # a draft that asks other machines saves nothing
    elif load.gpu_layers == 0:
        arguments += ["--spec-draft-ngl", "0"]
    return arguments
