"""What LoRA adapters and models have to do with each other, told from their headers. Pure.

Whether the two fit is said by the engine's own rules: llama.cpp src/llama-adapter.cpp.
"""

from __future__ import annotations

from msgspec import Struct

from ayllu.gguf import arch
from ayllu.gguf.read import Header, TensorInfo
from ayllu.types import Json

A, B = ".lora_a", ".lora_b"

BASES = {
    "gemma": ("GemmaForCausalLM", "gemma"),
    "gemma2": ("Gemma2ForCausalLM", "gemma2"),
    "gemma3": ("Gemma3ForCausalLM", "gemma3_text"),
    "granite": ("GraniteForCausalLM", "granite"),
    "llama": ("LlamaForCausalLM", "llama"),
    "olmo2": ("Olmo2ForCausalLM", "olmo2"),
    "phi3": ("Phi3ForCausalLM", "phi3"),
    "qwen2": ("Qwen2ForCausalLM", "qwen2"),
    "qwen3": ("Qwen3ForCausalLM", "qwen3"),
    "smollm3": ("SmolLM3ForCausalLM", "smollm3"),
    "starcoder2": ("Starcoder2ForCausalLM", "starcoder2"),
}
"""Architectures whose adapters can be converted by the model's header alone.

To each belong the class and the `model_type` that a config.json of Hugging Face would name.
"""

_CONFIG_KEYS = {
    "num_hidden_layers": "block_count",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
}


class _Pair(Struct):
    """The two matrices that are added to one tensor of the model."""

    a: TensorInfo | None = None
    b: TensorInfo | None = None


def base_config(model: Header) -> dict[str, Json] | None:
    """As much of a model's config.json as the converter of adapters needs; None where unknown.

    It has to know the shape of the heads, for some architectures' rows are in another order in a
    GGUF than in safetensors.
    """
    name = arch.architecture(model)
    if name not in BASES:
        return None
    class_name, model_type = BASES[name]
    config: dict[str, Json] = {"architectures": [class_name], "model_type": model_type}
    for key, own in _CONFIG_KEYS.items():
        value = model.kvs.get(f"{name}.{own}")
        if isinstance(value, int):
            config[key] = value
    return config


def misfit(adapter: Header, model: Header) -> str:
    """Why an adapter does not fit a model, as the end of a sentence; empty where it does."""
    kind = adapter.kvs.get("adapter.type")
    if kind is None:
        return "does not say what type of adapter it is (adapter.type)"
    if kind != "lora":
        return f"is an adapter of the type {kind}: only lora is supported"
    names = [arch.architecture(header) for header in (adapter, model)]
    if names[0] != names[1]:
        return f"is an adapter for {names[0]} models, and this one is {names[1]}"
    pairs: dict[str, _Pair] = {}
    for tensor in adapter.tensors:
        stem, ending = tensor.name[: -len(A)], tensor.name[-len(A) :]
        if ending == A:
            pairs.setdefault(stem, _Pair()).a = tensor
        elif ending == B:
            pairs.setdefault(stem, _Pair()).b = tensor
        elif not tensor.name.endswith("_norm.weight"):  # the engine skips norms
            return f"holds the tensor {tensor.name}, which is no part of a LoRA adapter"
    if not pairs:
        return "holds no tensors"
    shapes = {tensor.name: tensor.shape for tensor in model.tensors}
    sentences = (_misfit(name, pair, shapes.get(name)) for name, pair in pairs.items())
    return next((sentence for sentence in sentences if sentence), "")


def _misfit(name: str, pair: _Pair, shape: tuple[int, ...] | None) -> str:
    """What is wrong with one pair. Shapes are in ggml's order: a is (in, rank), b (rank, out)."""
    if pair.a is None or pair.b is None:
        return f"holds only one of the two matrices for {name}"
    if shape is None:
        return f"changes the tensor {name}, which this model does not have"
    a, b, wanted = (_plane(item) for item in (pair.a.shape, pair.b.shape, shape))
    if name.endswith("token_embd.weight"):  # looked up by token, so the two change places
        given, joined = (b[1], a[1]), True
    else:
        given, joined = (a[0], b[1]), a[1] == b[0]
    if not joined:
        return f"holds two matrices for {name} that do not fit each other"
    if given == wanted:
        return ""
    return (
        f"is for another model: it changes {name} as one of {given[0]} by {given[1]} numbers, and "
        f"this model's has {wanted[0]} by {wanted[1]}"
    )


def _plane(shape: tuple[int, ...]) -> tuple[int, int]:
    """The first two dimensions, those that are left out being 1."""
    first, second = (*shape, 1, 1)[:2]
    return first, second
