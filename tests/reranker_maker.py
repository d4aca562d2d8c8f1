"""Makes real, small rerankers for tests: llama-server loads them, and their order is known."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf_maker import END, SPECIALS, START, byte_letters
from gguf_writer import Array, Tensor, write_gguf

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase)
SIZE = 32
JUDGE = f"{START}judge\n{{query}}\n{END}{{document}}"


def make_reranker(
    path: Path, *, context: int = 512, extra: Mapping[str, Any] | None = None
) -> Path:
    """Write a real BERT cross-encoder whose words are the letters `a` to `z`, parted by spaces.

    The fewer different letters a query and a document have together, the higher the score: among
    documents of one length those that share letters with the query come first. A query of q and a
    document of d letters are q + d + 2 tokens.

    The first token attends to all alike, so it holds each letter's share; the feed-forward layer
    adds up the shares in a curve that favours large ones, and the head reads the sum.
    """
    kvs = {
        "general.architecture": "bert",
        "general.name": "reranker",
        "general.file_type": 0,
        "bert.context_length": context,
        "bert.embedding_length": SIZE,
        "bert.block_count": 1,
        "bert.feed_forward_length": SIZE,
        "bert.attention.head_count": 1,
        "bert.attention.layer_norm_epsilon": 1e-12,
        "bert.attention.causal": False,
        "bert.pooling_type": 4,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": [w if w.startswith("[") else f"\u2581{w}" for w in WORDS],
        "tokenizer.ggml.token_type": Array(5, [3 if w.startswith("[") else 1 for w in WORDS]),
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.cls_token_id": 2,
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.seperator_token_id": 3,  # the key is spelled so
        "tokenizer.ggml.mask_token_id": 4,
    }
    return write_gguf(path, kvs | dict(extra or {}), _cross_encoder(context))


def _cross_encoder(context: int) -> dict[str, Tensor]:
    one, none = np.eye(SIZE, dtype=np.float32), np.zeros((SIZE, SIZE), np.float32)
    letters, first = slice(5, len(WORDS)), 0
    adds_up = none.copy()
    adds_up[first, letters] = 1
    head = np.zeros((1, SIZE), np.float32)
    head[0, first] = 20
    tensors: dict[str, Tensor] = {
        "token_embd.weight": one[: len(WORDS)],
        "token_types.weight": none[:2],
        "position_embd.weight": np.zeros((context, SIZE), np.float32),
        "blk.0.attn_q.weight": none,
        "blk.0.attn_k.weight": none,
        "blk.0.attn_v.weight": one,
        "blk.0.attn_output.weight": one,
        "blk.0.ffn_up.weight": one * 4,
        "blk.0.ffn_up.bias": np.full(SIZE, -1, np.float32),
        "blk.0.ffn_down.weight": adds_up,
        "cls.weight": one / 10,  # its tanh is nearly a line there
        "cls.bias": np.zeros(SIZE, np.float32),
        "cls.output.weight": head,
        "cls.output.bias": np.full(1, -5, np.float32),
    }
    for norm in ("token_embd_norm", "blk.0.attn_output_norm", "blk.0.layer_output_norm"):
        tensors[f"{norm}.weight"] = np.ones(SIZE, np.float32)
        tensors[f"{norm}.bias"] = np.zeros(SIZE, np.float32)
    return tensors


def make_judge(path: Path, *, context: int = 512, extra: Mapping[str, Any] | None = None) -> Path:
    """Write a real reranker in the manner of Qwen3's: a chat model that answers yes or no.

    It reads the template `JUDGE` and tells the probability of yes, by the last letter of the
    document alone: a half for `m`, more before it in the alphabet, less behind. One token per byte.
    """
    vocabulary = [*byte_letters(), *SPECIALS]
    tokens, size, head = len(vocabulary), 288, 32
    kinds = [3 if word in {START, END} else 4 if word in SPECIALS else 1 for word in vocabulary]
    kvs = {
        "general.architecture": "qwen3",
        "general.name": "judge",
        "general.file_type": 0,
        "qwen3.context_length": context,
        "qwen3.embedding_length": size,
        "qwen3.block_count": 1,
        "qwen3.feed_forward_length": 32,
        "qwen3.attention.head_count": 1,
        "qwen3.attention.head_count_kv": 1,
        "qwen3.attention.key_length": head,
        "qwen3.attention.value_length": head,
        "qwen3.attention.layer_norm_rms_epsilon": 1e-6,
        "qwen3.pooling_type": 4,
        "qwen3.classifier.output_labels": ["yes", "no"],
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": vocabulary,
        "tokenizer.ggml.token_type": Array(5, kinds),
        "tokenizer.ggml.merges": Array(8, []),
        "tokenizer.ggml.bos_token_id": 256,
        "tokenizer.ggml.eos_token_id": 257,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template.rerank": JUDGE,
    }
    output = np.zeros((2, size), np.float32)
    for place, letter in enumerate(string.ascii_lowercase):
        output[0, ord(letter)] = (
            12 - place
        ) / 50  # the norm makes a one-hot vector 17 times longer
    shapes = {
        "attn_q": (head, size),
        "attn_k": (head, size),
        "attn_v": (head, size),
        "attn_output": (size, head),
        "ffn_gate": (32, size),
        "ffn_up": (32, size),
        "ffn_down": (size, 32),
    }
    norms = {"attn_norm": size, "ffn_norm": size, "attn_q_norm": head, "attn_k_norm": head}
    tensors: dict[str, Tensor] = {
        "token_embd.weight": np.eye(tokens, size, dtype=np.float32),
        "output_norm.weight": np.ones(size, np.float32),
        "cls.output.weight": output,
    }
    tensors |= {f"blk.0.{k}.weight": np.zeros(v, np.float32) for k, v in shapes.items()}
    tensors |= {f"blk.0.{k}.weight": np.ones(v, np.float32) for k, v in norms.items()}
    return write_gguf(path, kvs | dict(extra or {}), tensors)
