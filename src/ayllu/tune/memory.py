"""How much memory a training takes, told before anything is loaded. Pure but for the CPU's kind."""

from __future__ import annotations

import math

from ayllu.gguf import arch
from ayllu.gguf.read import Header
from ayllu.trainer.hardware import prefers_bfloat16
from ayllu.trainer.spec import LONGEST_REPLAY, Settings
from ayllu.tune.defaults import mean_tokens, trained_count
from ayllu.tune.prepare import Prepared

PROGRAM = 420_000_000
"""Bytes that Python, PyTorch, transformers and PEFT take, and what computing takes beside them."""

_SPREAD = 0.85
"""How much of the way to the longest a batch's mean may go by chance, over the count's root.

The heaviest of a training of mini's with texts of its own: 1,840 tokens where 1,235 are usual.
"""


def estimate(settings: Settings, model: Header, prepared: Prepared) -> int:
    """The most bytes that training with settled settings takes at once.

    Weights are in bfloat16 where they stay as they are and the CPU prefers that, else in float32;
    what is trained has a gradient and two numbers of AdamW's beside it. To this comes what the
    forward pass keeps for the backward pass, of all layers or, with gradient checkpointing, of one.
    While the model is loaded, the file is in memory as well.
    """
    size, trained = arch.parameter_count(model), trained_count(settings, model)
    full = settings.method == "full"
    narrow = _is_narrow(settings, model)
    weights = size * (2 if narrow and not full else 4)
    learned = trained * (12 if full else 16)
    training = weights + learned + _activations(settings, model, prepared, narrow=narrow)
    loading = weights + sum(tensor.size for tensor in model.tensors)
    return PROGRAM + max(training, loading)


def _is_narrow(settings: Settings, model: Header) -> bool:
    if settings.dtype == "auto":
        return prefers_bfloat16(arch.embedding_length(model))
    return settings.dtype == "bfloat16"


def _activations(settings: Settings, model: Header, prepared: Prepared, *, narrow: bool) -> int:
    """What the heaviest batch leaves behind on its way through the model."""
    tokens, targets = _heaviest(settings, prepared)
    number = 2 if narrow else 4
    layers, width = arch.block_count(model), arch.embedding_length(model)
    one = _layer_numbers(model) * number
    kept = one + width * layers * 4 if settings.gradient_checkpointing else one * layers
    vocabulary = _vocabulary(model)
    return round(tokens * kept + targets * vocabulary * (12 + (2 if narrow else 0)))


def _layer_numbers(model: Header) -> int:
    """Numbers that a layer keeps of each token: those that its products and norms take in.

    A norm's input and output, queries, keys and values, what attention gives, twice; and in the
    feed-forward part what the gate and the other way in give, bent and multiplied.
    """
    name = arch.architecture(model)
    width = arch.embedding_length(model)
    inner = model.kvs.get(f"{name}.feed_forward_length")
    inner = inner if isinstance(inner, int) else 4 * width
    heads, kv_heads = max(arch.head_counts(model)), max(arch.kv_head_counts(model))
    size = model.kvs.get(f"{name}.attention.key_length")
    size = size if isinstance(size, int) else width // max(1, heads)
    return 8 * width + 5 * size * heads + 4 * size * kv_heads + 5 * inner


def _heaviest(settings: Settings, prepared: Prepared) -> tuple[float, float]:
    """The tokens of the largest batch that may come, and those that count.

    Padded, all are as long as the longest; otherwise chance brings more long ones than usual.
    """
    count = settings.batch
    mean, counted = mean_tokens(settings, prepared)
    longest = min(prepared.longest, settings.context)
    if settings.replay:
        longest = max(longest, LONGEST_REPLAY)
    usual = mean * count + _SPREAD * (longest - mean) * math.sqrt(count)
    tokens = min(longest * count, usual if settings.packing else longest * count)
    return tokens, tokens * counted / mean


def _vocabulary(model: Header) -> int:
    return max((max(t.shape) for t in model.tensors if t.name == "token_embd.weight"), default=0)
