"""Writes models in Hugging Face's form, out of a GGUF of the `llama` architecture with BPE.

The way back of what llama.cpp's converter does: names of tensors, order of rows, the tokenizer.
"""

from __future__ import annotations

import json
import re
import struct
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ayllu.gguf.read import GGUFArray, Header, read_header

Weights = dict[str, NDArray[Any]]

NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2's tokenizer splits a text, as its tokenizer.json has it."""

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
SPLITS = {
    "qwen2": [
        {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False},
        BYTES,
    ],
    "gpt-2": [BYTES | {"use_regex": True}],
}
_TYPES = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", np.dtype(np.uint16): "BF16"}
_NUMPY = {"F32": np.float32, "F16": np.float16}
_CONTROL, _USER = 3, 4


def make_hf(folder: Path, gguf: Path, *, dtype: str = "", shards: int = 1) -> Path:
    """Write a GGUF's model as a folder of safetensors; `dtype` is F32, F16, BF16, or the GGUF's.

    With more shards than one there is an index that says which tensor is in which.
    """
    header = read_header(gguf)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", config_of(header))
    write_tokenizer(folder, header)
    weights = {name: _as(dtype, array) for name, array in read_weights(gguf, header).items()}
    if shards == 1:
        write_safetensors(folder / "model.safetensors", weights)
        return folder
    names = [f"model-{n + 1:05d}-of-{shards:05d}.safetensors" for n in range(shards)]
    parts = {tensor: names[place % shards] for place, tensor in enumerate(weights)}
    for name in names:
        write_safetensors(folder / name, {k: v for k, v in weights.items() if parts[k] == name})
    write_json(folder / "model.safetensors.index.json", {"weight_map": parts})
    return folder


def config_of(header: Header) -> dict[str, Any]:
    """The config.json of a llama model."""
    own = {key.removeprefix("llama."): value for key, value in header.kvs.items()}
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": own["embedding_length"],
        "num_hidden_layers": own["block_count"],
        "intermediate_size": own["feed_forward_length"],
        "num_attention_heads": own["attention.head_count"],
        "num_key_value_heads": own["attention.head_count_kv"],
        "head_dim": own["attention.key_length"],
        "max_position_embeddings": own["context_length"],
        "rms_norm_eps": own["attention.layer_norm_rms_epsilon"],
        "rope_theta": own.get("rope.freq_base", 10000.0),
        "vocab_size": own["vocab_size"],
        "hidden_act": "silu",
        "tie_word_embeddings": all(tensor.name != "output.weight" for tensor in header.tensors),
    }


def read_weights(gguf: Path, header: Header) -> Weights:
    """The tensors by the names, and with the rows in the order, that Hugging Face has."""
    data = np.memmap(gguf, np.uint8, "r")
    heads = {"attn_q": "head_count", "attn_k": "head_count_kv"}
    weights = {}
    for tensor in header.tensors:
        if tensor.type_name not in _NUMPY:
            continue
        start = header.data_offset + tensor.offset
        array = data[start : start + tensor.size].view(_NUMPY[tensor.type_name])
        array = array.reshape(tensor.shape[::-1])
        layer, name = re.fullmatch(r"(?:blk\.(\d+)\.)?(\w+)\.weight", tensor.name).groups()  # type: ignore[union-attr]
        if name in heads:
            array = _rotated(array, int(str(header.kvs[f"llama.attention.{heads[name]}"])))
        prefix = f"model.layers.{layer}." if layer else ""
        weights[f"{prefix}{NAMES[name]}.weight"] = array
    return weights


def _rotated(array: NDArray[Any], heads: int) -> NDArray[Any]:
    """Rows of a head in two halves; llama.cpp has the first of each half side by side."""
    rows = array.shape[0]
    parts = array.reshape(heads, rows // heads // 2, 2, array.shape[1])
    return parts.swapaxes(1, 2).reshape(array.shape)


def _as(dtype: str, array: NDArray[Any]) -> NDArray[Any]:
    if dtype == "BF16":
        return (array.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return array.astype(_NUMPY[dtype]) if dtype else array


def write_tokenizer(folder: Path, header: Header) -> None:
    """tokenizer.json and tokenizer_config.json of a byte-level BPE tokenizer."""
    kvs = header.kvs
    tokens = _items(kvs["tokenizer.ggml.tokens"])
    kinds = _items(kvs["tokenizer.ggml.token_type"])
    added = [
        {
            "id": place,
            "content": token,
            "special": kind == _CONTROL,
            "normalized": False,
            "lstrip": False,
            "rstrip": False,
            "single_word": False,
        }
        for place, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind in {_CONTROL, _USER}
    ]
    merges = _items(kvs.get("tokenizer.ggml.merges"))
    split = SPLITS[str(kvs["tokenizer.ggml.pre"])]
    write_json(
        folder / "tokenizer.json",
        {
            "version": "1.0",
            "added_tokens": added,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": split},
            "decoder": BYTES,
            "model": {
                "type": "BPE",
                "vocab": {token: place for place, token in enumerate(tokens)},
                "merges": [merge.split(" ") for merge in merges],
            },
        },
    )
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[int(str(kvs["tokenizer.ggml.bos_token_id"]))],
        "eos_token": tokens[int(str(kvs["tokenizer.ggml.eos_token_id"]))],
        "add_bos_token": False,
    }
    if "tokenizer.chat_template" in kvs:
        config["chat_template"] = kvs["tokenizer.chat_template"]
    write_json(folder / "tokenizer_config.json", config)


def _items(value: Any) -> list[Any]:
    return value.items() if isinstance(value, GGUFArray) else []


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), "utf-8")
    return path


def write_safetensors(path: Path, weights: Mapping[str, NDArray[Any]]) -> Path:
    """A safetensors file; arrays of uint16 are taken for BF16."""
    header, blobs, end = {}, [], 0
    for name, array in weights.items():
        data = np.ascontiguousarray(array).tobytes()
        place = [end, end := end + len(data)]
        header[name] = {
            "dtype": _TYPES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": place,
        }
        blobs.append(data)
    path.write_bytes(safetensors_bytes(header, blobs))
    return path


def safetensors_bytes(header: Mapping[str, Any], blobs: Iterable[bytes]) -> bytes:
    """Any header at all, sound or not, and what comes after it."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(blobs)


def run_torch(python: Path, script: str, *arguments: object) -> str:
    """What a script prints in the Python that has PyTorch."""
    command = [str(python), "-c", script, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
