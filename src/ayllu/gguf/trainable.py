"""Which models can be trained: those that transformers reads, and whose results find back. Pure."""

from __future__ import annotations

from ayllu.gguf import arch
from ayllu.gguf.read import Header

TRAINABLE = ("gemma2", "gemma3", "llama", "phi3", "qwen2", "qwen3", "starcoder2")
"""Those of `lora.BASES` that transformers reads from a GGUF (its integrations/ggml.py)."""

_HEADS = {"gemma2": 256, "gemma3": 256, "qwen3": 128}
"""The size of a head that transformers takes for granted where it reads these."""

_NAMES = ", ".join(TRAINABLE).replace("llama", "llama (and Mistral)")


def untrainable(model: Header) -> str:
    """Why a model cannot be trained, as a whole sentence; empty where it can."""
    name = arch.architecture(model)
    can = f"those of the architectures {_NAMES} can"
    if name not in TRAINABLE:
        return f"models of the architecture {name} cannot be trained here: {can}"
    if model.kvs.get(f"{name}.expert_count"):
        return f"models with experts cannot be trained here: {can}, without experts"
    if not isinstance(model.kvs.get(f"{name}.attention.head_count"), int):
        return "models whose layers have different numbers of heads cannot be trained here"
    size, usual = model.kvs.get(f"{name}.attention.key_length"), _HEADS.get(name)
    if usual and size != usual:
        return f"{name} models can be trained here with heads of {usual} numbers, and not of {size}"
    if kind := _stretch(model, name):
        return f"its positions are stretched ({kind}), which cannot be trained here yet"
    return ""


def _stretch(model: Header, name: str) -> str:
    """How a model's positions are scaled, which transformers reads over; empty where they are not.

    Source: llama.cpp's keys `rope.scaling.*`. Llama 3's `rope_freqs.weight` is no such thing.
    """
    if any(tensor.name.startswith("rope_factors_") for tensor in model.tensors):
        return "longrope"
    keys = ("rope.scaling.factor", "rope.scale_linear")
    is_scaled = any(model.kvs.get(f"{name}.{key}", 1.0) not in {0.0, 1.0} for key in keys)
    kind = model.kvs.get(f"{name}.rope.scaling.type", "linear" if is_scaled else "none")
    return "" if kind in {"none", ""} else str(kind)
