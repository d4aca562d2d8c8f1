"""Vision towers within a model's file, and the projectors that become of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from correcting import EYES, F32, named, projector
from gguf_writer import Raw, Tensor

from ayllu.gguf.read import read_header


def test_qwen35_has_the_eyes_of_qwen3(tmp_path: Path) -> None:
    tensors: dict[str, Tensor] = {
        "v.patch_embed.weight": np.zeros((6, 2, 2, 2), np.float16),
        "v.pos_embed.weight": F32.astype(np.float16),
        "v.merger.linear_fc1.bias": F32[0],
    }
    for part in "qkv":
        tensors[f"v.blk.0.attn_{part}.weight"] = np.full((8, 8), ord(part), np.float32)
        tensors[f"v.blk.0.attn_{part}.bias"] = F32[0]
    keys, shapes = projector(tmp_path, named("qwen35", embedding_length=16, **EYES), tensors)
    assert keys["clip.vision.is_deepstack_layers"] == [False]
    assert keys["clip.vision.projection_dim"] == 16
    assert shapes == {
        "v.position_embd.weight": (8, 4),
        "mm.0.bias": (8,),
        "v.blk.0.attn_qkv.weight": (8, 24),
        "v.blk.0.attn_qkv.bias": (24,),
        "v.patch_embd.weight": (2, 2, 3, 2),
        "v.patch_embd.weight.1": (2, 2, 3, 2),
    }


def test_tower_data_is_laid_out_anew(tmp_path: Path) -> None:
    """Rows that are interleaved, frames that are parted, numbers that are made wider."""
    rows = np.arange(8, dtype=np.float16).repeat(4).reshape(8, 4)
    kvs = named("mistral3", embedding_length=4, **EYES)
    tensors: dict[str, Any] = {"v.blk.0.attn_q.weight": rows, "v.patch_conv.weight": rows / 3}
    _, shapes = projector(tmp_path, kvs, tensors)
    header = read_header(tmp_path / "projector.gguf")
    data = (tmp_path / "projector.gguf").read_bytes()[header.data_offset :]
    places = {tensor.name: tensor for tensor in header.tensors}
    mixed = data[places["v.blk.0.attn_q.weight"].offset :][:64]
    assert np.frombuffer(mixed, np.float16)[::4].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    wide = data[places["v.patch_embd.weight"].offset :][:128]
    assert wide == (rows / 3).astype(np.float16).astype(np.float32).tobytes()
    assert shapes["v.token_embd.img_break"] == (4,)
    packed = np.arange(6 * 2 * 4, dtype=np.float16).reshape(6, 2, 2, 2)
    projector(tmp_path, named("qwen35", **EYES), {"v.patch_embed.weight": packed})
    header = read_header(tmp_path / "projector.gguf")
    data = (tmp_path / "projector.gguf").read_bytes()[header.data_offset :]
    for frame, tensor in enumerate(header.tensors):
        numbers = np.frombuffer(data[tensor.offset :][: tensor.size], np.float32)
        assert numbers.tolist() == packed[:, frame].flatten().tolist()


def test_quantized_and_half_numbers_are_joined_as_whole_ones(tmp_path: Path) -> None:
    block = np.float16(0.5).tobytes() + bytes(range(256))[-16:] + bytes(range(16))
    numbers = [0.5 * n for n in [*range(-16, 0), *range(16)]]
    tensors: dict[str, Tensor] = {
        "v.blk.0.attn_q.weight": np.ones((1, 32), np.float16),
        "v.blk.0.attn_k.weight": Raw(30, (32, 1), (b"\x80\x3f" * 32)),
        "v.blk.0.attn_v.weight": Raw(8, (32, 1), block),
    }
    projector(tmp_path, named("qwen3vl", **EYES), tensors)
    header = read_header(tmp_path / "projector.gguf")
    data = (tmp_path / "projector.gguf").read_bytes()[header.data_offset :]
    assert header.tensors[0].shape == (32, 3)
    assert np.frombuffer(data[:384], np.float32).tolist() == [1.0] * 64 + numbers
