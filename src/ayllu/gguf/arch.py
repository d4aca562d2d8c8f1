"""What a GGUF's header says about the model: sizes, shapes, memory, what it can do. Pure functions.

Key names: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Headers are untrusted: a value
of the wrong type raises GGUFError, never anything else.
"""

from __future__ import annotations

import re
from typing import Literal

from ayllu.errors import GGUFError
from ayllu.gguf.read import GGUFArray, Header
from ayllu.gguf.sound import check_projector, check_vocabulary
from ayllu.gguf.tables import FILE_TYPES, TENSOR_TYPES, TensorType
from ayllu.types import Json

MAX_LAYERS = 1 << 16
_SPLITS_THINKING = re.compile(r"""split\(\s*['"]</think>['"]""")
_IMAGE_STEPS = {"gemma3": 256, "gemma4v": 1120, "gemma4uv": 1120, "deepseek4v": 384}
_RANK_POOLING = 4
_RANK_HEADS = {"cls.weight", "cls.output.weight"}
_CACHE_TYPES = {kind.name.lower(): kind for kind in TENSOR_TYPES.values()}


def architecture(header: Header) -> str:
    """The architecture's name, such as `llama`. Raises GGUFError when there is none."""
    name = _text(header, "general.architecture")
    if not name:
        raise GGUFError("the GGUF does not say its architecture (general.architecture)")
    return name


def kind(header: Header) -> Literal["model", "adapter", "projector"]:
    """Whether the file is a model, a LoRA adapter or a projector for images or sound."""
    said = (_text(header, "general.type") or "").lower()
    if said == "adapter":
        return "adapter"
    if said in {"mmproj", "projector"} or architecture(header) == "clip":
        return "projector"
    return "model"


def check(header: Header) -> None:
    """Raise GGUFError unless everything that loading needs is there and of the right type."""
    architecture(header)
    if kind(header) == "projector":
        check_projector(header)
    if kind(header) != "model":
        return
    if not header.tensors:
        raise GGUFError("the GGUF holds no tensors")
    if block_count(header) == 0:
        raise GGUFError(f"the GGUF says nothing of its layers ({architecture(header)}.block_count)")
    chat_template(header)
    file_type(header)
    context_length(header)
    embedding_length(header)
    kv_bytes(header, context=1)
    check_vocabulary(header)


def parameter_count(header: Header) -> int:
    """How many numbers the tensors hold."""
    return sum(tensor.elements for tensor in header.tensors)


def human_count(number: int) -> str:
    """A count as Ollama shows parameters: `8.0B`, `7B`, `22.57M`, `125K`, `999`."""
    if number >= 10**9:
        return f"{number // 10**9}B" if number % 10**9 == 0 else f"{number / 10**9:.1f}B"
    if number >= 10**6:
        return f"{number // 10**6}M" if number % 10**6 == 0 else f"{number / 10**6:.2f}M"
    return f"{number / 1000:.0f}K" if number >= 1000 else str(number)


def file_type(header: Header) -> str:
    """The quantization, such as `Q4_K_M`; without a word about it, the type of most bytes."""
    said = _integer(header, "general.file_type")
    if said is not None:
        return FILE_TYPES.get(said, "unknown")
    sizes: dict[str, int] = {}
    for tensor in header.tensors:
        sizes[tensor.type_name] = sizes.get(tensor.type_name, 0) + tensor.size
    return max(sizes, key=lambda name: sizes[name]) if sizes else "unknown"


def context_length(header: Header) -> int:
    """The context that the model was trained for, in tokens; 0 where it does not say."""
    return _own(header, "context_length") or 0


def embedding_length(header: Header) -> int:
    """The width of the model; 0 where it does not say."""
    return _own(header, "embedding_length") or 0


def block_count(header: Header) -> int:
    """How many layers the model has; 0 where it does not say."""
    count = _own(header, "block_count") or 0
    if count > MAX_LAYERS:
        raise GGUFError(f"the GGUF claims {count} layers")
    return count


def head_counts(header: Header) -> tuple[int, ...]:
    """Attention heads of each layer; 0 in layers without attention."""
    return _per_layer(header, "attention.head_count") or (0,) * block_count(header)


def kv_head_counts(header: Header) -> tuple[int, ...]:
    """Key and value heads of each layer; as many as attention heads where nothing else is said."""
    return _per_layer(header, "attention.head_count_kv") or head_counts(header)


def kv_layer_bytes(header: Header, cache_type: str = "f16") -> tuple[int, ...]:
    """What a token takes in the KV cache of each layer, in bytes.

    An upper bound where layers attend to a window only, or keep keys and values compressed.
    """
    kind = _cache_type(cache_type)
    heads, kv_heads = head_counts(header), kv_head_counts(header)
    key = _own(header, "attention.key_length")
    value = _own(header, "attention.value_length")
    usual = embedding_length(header)
    return tuple(
        _row_bytes(kind, count * (_default(key, usual, head)))
        + _row_bytes(kind, count * (_default(value, usual, head)))
        for head, count in zip(heads, kv_heads, strict=True)
    )


def kv_bytes(header: Header, context: int, slots: int = 1, cache_type: str = "f16") -> int:
    """The KV cache of `slots` conversations of `context` tokens each, in bytes."""
    return sum(kv_layer_bytes(header, cache_type)) * context * slots


def expert_share(header: Header) -> float:
    """Which share of its experts a token of this model uses; 1 for a model without experts."""
    count, used = _own(header, "expert_count") or 0, _own(header, "expert_used_count") or 0
    return min(used / count, 1.0) if count and used else 1.0


def chat_template(header: Header) -> str | None:
    """The Jinja chat template."""
    return _text(header, "tokenizer.chat_template")


def pools(header: Header) -> bool:
    """Whether the model says how to pool its outputs, which makes it an embedding model."""
    return _own(header, "pooling_type") is not None


def ranks(header: Header) -> bool:
    """Whether the model scores documents for a query, and neither writes nor embeds.

    It says so, or it is an encoder with a head for one class: converters do not write it of those.
    """
    if _own(header, "pooling_type") == _RANK_POOLING:
        return True
    reads_both_ways = header.kvs.get(f"{architecture(header)}.attention.causal") is False
    labels = header.kvs.get(f"{architecture(header)}.classifier.output_labels")
    one_class = not isinstance(labels, GGUFArray) or len(labels) <= 1
    return reads_both_ways and one_class and has_rank_head(header)


def has_rank_head(header: Header) -> bool:
    """Whether the tensors are there that make a score; many converted files have lost them."""
    return any(tensor.name in _RANK_HEADS for tensor in header.tensors)


def ranks_by_probability(header: Header) -> bool:
    """Whether the engine gives a reranker's scores as probabilities, and not as logits.

    Source: llama.cpp src/llama-graph.cpp, `build_pooling`.
    """
    return architecture(header) in {"qwen3", "qwen3vl"}


def capabilities(header: Header) -> frozenset[str]:
    """What the weights can do, whatever the template: one of the first three, vision, audio."""
    pooled = "embedding" if pools(header) else "completion"
    found = {"rerank" if ranks(header) else pooled}
    found |= {name for name in ("vision", "audio") if _own(header, f"{name}.block_count")}
    return frozenset(found)


def template_capabilities(jinja: str | None) -> frozenset[str]:
    """What a Jinja chat template can do: tools, thinking."""
    if not jinja:
        return frozenset()
    found = set()
    if "tools" in jinja or "tool_call" in jinja:
        found.add("tools")
    tags = "<think>" in jinja and "</think>" in jinja
    if tags or (_SPLITS_THINKING.search(jinja) and "reasoning_content" not in jinja):
        found.add("thinking")
    return frozenset(found)


def projector_capabilities(header: Header) -> frozenset[str]:
    """What a projector adds: the senses that it has encoders for, vision where it names none."""
    senses = {"vision", "audio"}
    found = {sense for sense in senses if header.kvs.get(f"clip.has_{sense}_encoder") is True}
    return frozenset(found or {"vision"})


def image_step(header: Header) -> int:
    """Tokens of an image that the model must read in one step; 0 where it may take several.

    The tokens of such an image look at each other in both directions.
    Source: llama.cpp tools/mtmd/mtmd.cpp, `mtmd_decode_use_non_causal`, and clip.cpp.
    """
    named = ("clip.vision.projector_type", "clip.projector_type")
    return max(_IMAGE_STEPS.get(_text(header, name) or "", 0) for name in named)


def speculation(header: Header) -> str:
    """How a draft model drafts, in the engine's word: a usual model does so token by token.

    Source: llama.cpp common/speculative.cpp, `common_speculative_types_from_gguf`.
    """
    name, tensors = architecture(header), {tensor.name for tensor in header.tensors}
    if name == "dflash":
        return "draft-dspark" if "markov_w1.weight" in tensors else "draft-dflash"
    if f"blk.{block_count(header) - 1}.nextn.eh_proj.weight" in tensors:
        return "draft-mtp"
    return "draft-eagle3" if name == "eagle3" else "draft-simple"


def split_count(header: Header) -> int:
    """Of how many files this one is a part; 0 or 1 for a whole model."""
    return _integer(header, "split.count") or 0


def _cache_type(name: str) -> TensorType:
    kind = _CACHE_TYPES.get(name.lower())
    if kind is None:
        raise GGUFError(f"there is no KV cache type {name}")
    return kind


def _row_bytes(kind: TensorType, elements: int) -> int:
    return -(-elements // kind.block_size) * kind.type_size


def _default(length: int | None, width: int, heads: int) -> int:
    """A head's size: what the model says, else its width shared out among the heads."""
    return length if length is not None else width // heads if heads else 0


def _own(header: Header, key: str) -> int | None:
    """An integer under the architecture's own prefix."""
    return _integer(header, f"{architecture(header)}.{key}")


def _integer(header: Header, key: str) -> int | None:
    value: Json = header.kvs.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise GGUFError(f"the GGUF has a {key} that is not a whole number")
    return value


def _text(header: Header, key: str) -> str | None:
    value: Json = header.kvs.get(key)
    if value is None or isinstance(value, str):
        return value
    raise GGUFError(f"the GGUF has a {key} that is not a text")


def _per_layer(header: Header, key: str) -> tuple[int, ...]:
    """A figure of each layer, from one number or an array of them; empty where there is none."""
    name = f"{architecture(header)}.{key}"
    value: Json = header.kvs.get(name)
    layers = block_count(header)
    if not isinstance(value, GGUFArray):
        number = _integer(header, name)
        return () if number is None else (number,) * layers
    numbers = value.values or ()
    whole = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers)
    if not whole or len(numbers) < layers:
        raise GGUFError(f"the GGUF has a {name} that is not a whole number for each layer")
    return numbers[:layers]
