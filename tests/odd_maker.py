"""Makes real, small models in the form of Ollama's odd GGUFs, vision tower and all.

Each answers as gguf_maker's models do, once it is corrected: the alphabet, or the colour of an
image. Names of keys and tensors are those that Ollama's converters write.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from gguf_maker import CHATML, PERCEPTIONS, successor_parts
from gguf_writer import Array, Tensor, write_gguf
from projector_maker import TOKENS, WIDTH

HEAD = 32
SIDE, PATCH, EYE = 64, 8, 32
"""Pixels of an image's side and of a patch's, and the width of a vision tower."""


def make_odd(path: Path, kind: str) -> Path:
    """Write a model of one of KINDS as Ollama has it."""
    kvs, tensors = KINDS[kind]()
    return write_gguf(path, kvs, tensors)


Parts = tuple[dict[str, Any], dict[str, Tensor]]


def _base(name: str, *, sees: bool = False, **more: Any) -> Parts:
    """A successor model under another architecture's name."""
    kvs, tensors = successor_parts(
        chat_template=CHATML, context=2048, end_after="z", perceives=sees, **more
    )
    renamed = {
        f"{name}.{key.removeprefix('llama.')}" if key.startswith("llama.") else key: value
        for key, value in kvs.items()
    }
    return renamed | {"general.architecture": name}, tensors


def _layers(count: int, name: str, kvs: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """More layers, all the same as the first."""
    kvs[f"{name}.block_count"] = count
    first = {key: value for key, value in tensors.items() if key.startswith("blk.0.")}
    for layer in range(1, count):
        tensors |= {key.replace("blk.0.", f"blk.{layer}."): it for key, it in first.items()}


def _longer_heads(name: str, kvs: dict[str, Any], tensors: dict[str, Any]) -> None:
    """Heads of twice the size: the rotary sections of Qwen3-VL need them."""
    for key in ("attention.key_length", "attention.value_length", "rope.dimension_count"):
        kvs[f"{name}.{key}"] = 2 * HEAD
    for key in ("attn_q", "attn_k", "attn_v"):
        old = tensors[f"blk.0.{key}.weight"]
        tensors[f"blk.0.{key}.weight"] = np.concatenate([old, np.zeros_like(old)])
    old = tensors["blk.0.attn_output.weight"]
    tensors["blk.0.attn_output.weight"] = np.concatenate([old, np.zeros_like(old)], axis=1)


def _ones(*names: str, size: int = WIDTH) -> dict[str, Tensor]:
    return {name: np.ones(size, np.float32) for name in names}


def _zeros(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


def _loud(tensors: dict[str, Any]) -> None:
    """What is seen outweighs the last token, though norms bring both to the same size."""
    for place, letter in enumerate(PERCEPTIONS):
        tensors["output.weight"][ord(letter), TOKENS + place] = 40


def _eye_keys(name: str, **more: Any) -> dict[str, Any]:
    usual = {
        "block_count": 1,
        "embedding_length": EYE,
        "feed_forward_length": 2 * EYE,
        "image_size": SIDE,
        "patch_size": PATCH,
        "num_channels": 3,
        "attention.head_count": 1,
        "attention.layer_norm_epsilon": 1e-6,
    }
    return {f"{name}.vision.{key}": value for key, value in (usual | more).items()}


def _patch(scale: float = 10 / PATCH**2) -> Any:
    """A patch's mean colour in the first three numbers."""
    patch = _zeros(EYE, 3, PATCH, PATCH)
    for colour in range(3):
        patch[colour, colour] = scale
    return patch


def _see(width: int = EYE) -> Any:
    """The first three numbers as what the model perceives; (out, in)."""
    see = _zeros(WIDTH, width)
    for colour in range(3):
        see[TOKENS + colour, colour] = 1
    return see


def _linear(name: str, out: int, into: int, *, bias: bool = True) -> dict[str, Tensor]:
    biases: dict[str, Tensor] = {f"{name}.bias": _zeros(out)} if bias else {}
    return {f"{name}.weight": _zeros(out, into)} | biases


def gemma3() -> Parts:
    kvs, tensors = _base("gemma3", sees=True)
    del kvs["gemma3.attention.layer_norm_rms_epsilon"]
    kvs |= _eye_keys("gemma3") | {"gemma3.mm.tokens_per_image": 16, "gemma3.vocab_size": TOKENS}
    _more_tokens(kvs, 3)
    _loud(tensors)
    block = "blk.0."
    tensors |= _ones(f"{block}post_attention_norm.weight", f"{block}post_ffw_norm.weight")
    tensors |= _ones(f"{block}attn_q_norm.weight", f"{block}attn_k_norm.weight", size=HEAD)
    eye = "v.blk.0."
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        tensors |= _linear(eye + name, EYE, EYE)
    tensors |= _linear(f"{eye}mlp.fc1", 2 * EYE, EYE) | _linear(f"{eye}mlp.fc2", EYE, 2 * EYE)
    for norm in ("v.blk.0.layer_norm1", "v.blk.0.layer_norm2", "v.post_layernorm"):
        tensors |= _ones(f"{norm}.weight", size=EYE) | {f"{norm}.bias": _zeros(EYE)}
    tensors |= {
        "v.patch_embedding.weight": _patch().astype(np.float16),
        "v.patch_embedding.bias": _zeros(EYE),
        "v.position_embedding.weight": _zeros((SIDE // PATCH) ** 2, EYE).astype(np.float16),
        "mm.mm_input_projection.weight": np.ascontiguousarray(_see().T),
        "mm.mm_soft_emb_norm.weight": np.ones(EYE, np.float32),
    }
    return kvs, tensors


def _more_tokens(kvs: dict[str, Any], count: int) -> None:
    """Tokens of images, which have no embedding."""
    kvs["tokenizer.ggml.tokens"] += [f"<image {n}>" for n in range(count)]
    kinds = kvs["tokenizer.ggml.token_type"]
    kvs["tokenizer.ggml.token_type"] = Array(5, [*kinds.items, *([3] * count)])


def gemma3_text() -> Parts:
    """The smallest one, without a tower: only keys are wrong."""
    kvs, tensors = gemma3()
    kvs = {key: value for key, value in kvs.items() if ".vision." not in key and ".mm." not in key}
    kvs |= {"gemma3.rope.global.freq_base": 1e6, "gemma3.rope.local.freq_base": 1e4}
    for name in ("tokens", "token_type"):
        items = kvs[f"tokenizer.ggml.{name}"]
        kept = (items.items if isinstance(items, Array) else items)[:TOKENS]
        kvs[f"tokenizer.ggml.{name}"] = Array(items.kind, kept) if name == "token_type" else kept
    return kvs, {k: v for k, v in tensors.items() if not k.startswith(("v.", "mm."))}


def embeddinggemma() -> Parts:
    kvs, tensors = gemma3_text()
    _layers(6, "gemma3", kvs, tensors)  # of six, one looks at the whole text
    del tensors["output.weight"]
    tensors["norm.weight"] = tensors.pop("output_norm.weight")
    tensors["dense.0.weight"] = np.eye(WIDTH + 32, WIDTH, dtype=np.float32)
    tensors["dense.1.weight"] = np.eye(WIDTH, WIDTH + 32, dtype=np.float32)
    kvs |= {
        "gemma3.pooling_type": 1,
        "gemma3.attention.sliding_window": 512,
        "gemma3.attention.layer_norm_rms_epsilon": 1e-6,
    }
    return kvs, tensors


def gptoss() -> Parts:
    kvs, tensors = _base("gptoss")
    heads, experts, inner = WIDTH // HEAD, 2, 32
    kvs |= {
        "gptoss.attention.sliding_window": 128,
        "gptoss.expert_count": experts,
        "gptoss.expert_used_count": 1,
        "gptoss.rope.freq_base": 150000.0,
        "gptoss.rope.scaling.factor": 32.0,
        "gptoss.rope.scaling.original_context_length": 4096,
    }
    block = "blk.0."
    for name in ("ffn_gate", "ffn_up", "ffn_down"):
        del tensors[f"{block}{name}.weight"]
    tensors[f"{block}attn_out.weight"] = tensors.pop(f"{block}attn_output.weight")
    biases = {"attn_q": heads * HEAD, "attn_k": HEAD, "attn_v": HEAD, "attn_out": WIDTH}
    tensors |= {f"{block}{name}.bias": _zeros(size) for name, size in biases.items()}
    tensors[f"{block}attn_sinks"] = _zeros(heads)
    tensors |= _linear(f"{block}ffn_gate_inp", experts, WIDTH)
    for name, out, into in (
        ("gate", inner, WIDTH),
        ("up", inner, WIDTH),
        ("down", WIDTH, inner),
    ):
        tensors[f"{block}ffn_{name}_exps.weight"] = _zeros(experts, out, into)
        tensors[f"{block}ffn_{name}_exps.bias"] = _zeros(experts, out)
    return kvs, tensors


def qwen25vl() -> Parts:
    kvs, tensors = _base("qwen25vl", sees=True)
    kvs |= _eye_keys("qwen25vl", spatial_merge_size=2, window_size=32, block_count=2)
    del kvs["qwen25vl.vision.feed_forward_length"], kvs["qwen25vl.vision.image_size"]
    kvs["qwen25vl.vision.fullatt_block_indexes"] = Array(5, [1])
    kvs["qwen25vl.rope.mrope_section"] = Array(5, [4, 6, 6])
    block = "blk.0."
    tensors |= {f"{block}attn_q.bias": _zeros(WIDTH)}
    tensors |= {f"{block}attn_{name}.bias": _zeros(HEAD) for name in "kv"}
    for eye in ("v.blk.0.", "v.blk.1."):
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            tensors |= _linear(eye + name, EYE, EYE)
        for name in ("ffn_gate", "ffn_up"):
            tensors |= _linear(eye + name, 2 * EYE, EYE)
        tensors |= _linear(f"{eye}ffn_down", EYE, 2 * EYE)
        tensors |= _ones(f"{eye}ln1.weight", f"{eye}ln2.weight", size=EYE)
    tensors |= _ones("v.merger.ln_q.weight", size=EYE)
    tensors |= {
        "v.patch_embd_0.weight": _patch().astype(np.float16),
        "v.patch_embd_1.weight": _zeros(EYE, 3, PATCH, PATCH).astype(np.float16),
        "v.merger.mlp.0.weight": np.eye(4 * EYE, dtype=np.float32),
        "v.merger.mlp.0.bias": _zeros(4 * EYE),
        "v.merger.mlp.2.weight": _see(4 * EYE),
        "v.merger.mlp.2.bias": _zeros(WIDTH),
    }
    return kvs, tensors


def qwen3vl() -> Parts:
    kvs, tensors = _base("qwen3vl", sees=True)
    kvs |= _eye_keys("qwen3vl", spatial_merge_size=2, temporal_patch_size=2)
    del kvs["qwen3vl.vision.feed_forward_length"], kvs["qwen3vl.vision.image_size"]
    kvs["qwen3vl.vision.deepstack_visual_indexes"] = Array(5, [0])
    _longer_heads("qwen3vl", kvs, tensors)
    tensors |= _ones("blk.0.attn_q_norm.weight", "blk.0.attn_k_norm.weight", size=2 * HEAD)
    _layers(2, "qwen3vl", kvs, tensors)
    eye = "v.blk.0."
    for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
        tensors |= _linear(eye + name, EYE, EYE)
    tensors[f"{eye}attn_q.weight"] = _zeros(EYE, EYE).astype(np.float16)
    tensors |= _linear(f"{eye}mlp.linear_fc1", 2 * EYE, EYE)
    tensors |= _linear(f"{eye}mlp.linear_fc2", EYE, 2 * EYE)
    for norm, size in (
        (f"{eye}norm1", EYE),
        (f"{eye}norm2", EYE),
        ("v.merger.norm", EYE),
        ("v.deepstack_merger.0.norm", 4 * EYE),
    ):
        tensors |= _ones(f"{norm}.weight", size=size) | {f"{norm}.bias": _zeros(size)}
    frames = np.stack([_patch(), _zeros(EYE, 3, PATCH, PATCH)], axis=2)
    tensors |= _linear("v.deepstack_merger.0.linear_fc1", 4 * EYE, 4 * EYE)
    tensors |= _linear("v.deepstack_merger.0.linear_fc2", WIDTH, 4 * EYE)
    tensors |= {
        "v.patch_embed.weight": frames.reshape(3 * EYE, 2, PATCH, PATCH).astype(np.float16),
        "v.patch_embed.bias": _zeros(EYE),
        "v.pos_embed.weight": _zeros((SIDE // PATCH) ** 2, EYE).astype(np.float16),
        "v.merger.linear_fc1.weight": np.eye(4 * EYE, dtype=np.float32),
        "v.merger.linear_fc1.bias": _zeros(4 * EYE),
        "v.merger.linear_fc2.weight": _see(4 * EYE),
        "v.merger.linear_fc2.bias": _zeros(WIDTH),
    }
    return kvs, tensors


def mistral3() -> Parts:
    kvs, tensors = _base("mistral3", sees=True)
    kvs |= _eye_keys("mistral3") | {
        "mistral3.spatial_merge_size": 2,
        "mistral3.vision.rope.freq_base": 10000.0,
        "tokenizer.ggml.pre": "default",
    }
    del kvs["mistral3.vision.attention.layer_norm_epsilon"]
    eye = "v.blk.0."
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        tensors |= _linear(eye + name, EYE, EYE, bias=False)
    for name in ("ffn_gate", "ffn_up"):
        tensors |= _linear(eye + name, 2 * EYE, EYE, bias=False)
    tensors |= _linear(f"{eye}ffn_down", EYE, 2 * EYE, bias=False)
    tensors |= _ones(f"{eye}attn_norm.weight", f"{eye}ffn_norm.weight", size=EYE)
    tensors |= _ones("v.encoder_norm.weight", "mm.norm.weight", size=EYE)
    merge = _zeros(EYE, 4 * EYE)
    merge[range(EYE), range(0, 4 * EYE, 4)] = 1
    tensors |= {
        "v.patch_conv.weight": _patch().astype(np.float16),
        "mm.patch_merger.merging_layer.weight": merge,
        "mm.linear_1.weight": np.eye(EYE, dtype=np.float32),
        "mm.linear_2.weight": _see(),
    }
    return kvs, tensors


def olmo3() -> Parts:
    kvs, tensors = _base("olmo3")
    kvs["olmo3.attention.sliding_window"] = 128
    block = "blk.0."
    del tensors[f"{block}attn_norm.weight"], tensors[f"{block}ffn_norm.weight"]
    tensors |= _ones(f"{block}post_attention_norm.weight", f"{block}post_ffw_norm.weight")
    tensors |= _ones(f"{block}attn_q_norm.weight") | _ones(f"{block}attn_k_norm.weight", size=HEAD)
    return kvs, tensors


def lfm2() -> Parts:
    kvs, tensors = _base("lfm2")
    kvs |= {"lfm2.shortconv.l_cache": 3, "lfm2.feed_forward_length": 999}
    kvs["lfm2.attention.head_count_kv"] = Array(5, [1, 0])
    tensors |= _ones("blk.0.attn_q_norm.weight", "blk.0.attn_k_norm.weight", size=HEAD)
    _layers(2, "lfm2", kvs, tensors)
    for name in [name for name in tensors if name.startswith("blk.1.attn_")]:
        if name != "blk.1.attn_norm.weight":
            del tensors[name]
    for name, shape in (
        ("conv", (WIDTH, 3)),
        ("in_proj", (3 * WIDTH, WIDTH)),
        ("out_proj", (WIDTH, WIDTH)),
    ):
        tensors[f"blk.1.shortconv.{name}.weight"] = _zeros(*shape)
    return kvs, tensors


def llama3() -> Parts:
    """Its vocabulary is as long as Llama 3's, and it does not say how texts are cut."""
    kvs, tensors = successor_parts(chat_template=CHATML, context=2048, end_after="z")
    del kvs["tokenizer.ggml.pre"]
    words = kvs["tokenizer.ggml.tokens"]
    words += [f"<|unused {n}|>" for n in range(128010 - len(words))]
    words[128009] = "<|eot_id|>"
    kinds = kvs["tokenizer.ggml.token_type"].items
    kvs["tokenizer.ggml.token_type"] = Array(5, [*kinds, *([3] * (len(words) - len(kinds)))])
    kvs["llama.vocab_size"] = len(words)
    for name in ("token_embd.weight", "output.weight"):
        old: Any = tensors[name]
        wide = np.full((len(words), old.shape[1]), -1, np.float16)
        wide[: len(old)] = old
        tensors[name] = wide
    return kvs, tensors


KINDS = {
    made.__name__: made
    for made in (
        gemma3,
        gemma3_text,
        embeddinggemma,
        gptoss,
        qwen25vl,
        qwen3vl,
        mistral3,
        olmo3,
        lfm2,
        llama3,
    )
}
"""The kinds that the tests bring to an answer."""
