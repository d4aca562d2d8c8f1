from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_splitter import split
from gguf_writer import write_gguf

from ayllu.errors import GGUFError
from ayllu.gguf.layers import LayerSizes, file_sizes, layer_sizes
from ayllu.gguf.read import read_header

BASE: dict[str, Any] = {
    "general.architecture": "llama",
    "llama.block_count": 3,
    "llama.context_length": 2048,
    "llama.embedding_length": 32,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
}


def f32(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


def sizes(tmp_path: Path, tensors: dict[str, Any], **changes: Any) -> LayerSizes:
    kvs = BASE | {name.replace("__", "."): item for name, item in changes.items()}
    return layer_sizes(read_header(write_gguf(tmp_path / "x.gguf", kvs, tensors)))


BLOCKS = {f"blk.{number}.ffn_up.weight": f32(4 + number, 32) for number in range(3)}
HEAD = {"token_embd.weight": f32(100, 32), "output_norm.weight": f32(32)}


def test_every_byte_of_a_file_is_somewhere(tmp_path: Path) -> None:
    found = sizes(tmp_path, HEAD | BLOCKS | {"output.weight": f32(100, 32)})
    assert found.weights == found.active == (512, 640, 768)
    assert found.operations == (256, 320, 384)
    assert found.kv == (2 * 2 * 8 * 2,) * 3
    assert (found.embedding, found.output) == (12_800, 12_800 + 128)
    assert (found.width, found.largest, found.layers) == (32, 768, 3)
    header = read_header(tmp_path / "x.gguf")
    assert found.total == sum(tensor.size for tensor in header.tensors)


def test_an_output_that_shares_the_embedding_is_read_and_counts_once(tmp_path: Path) -> None:
    found = sizes(tmp_path, HEAD | BLOCKS)
    assert (found.embedding, found.output) == (0, 12_800 + 128)


def test_a_token_reads_the_experts_that_are_chosen_for_it(tmp_path: Path) -> None:
    experts = {
        "blk.1.ffn_gate_exps.weight": f32(8, 4, 32),
        "blk.1.ffn_up_shexp.weight": f32(4, 32),
        "blk.1.ffn_gate_inp.weight": f32(8, 32),
    }
    counts = {"llama__expert_count": 8, "llama__expert_used_count": 2}
    found = sizes(tmp_path, HEAD | BLOCKS | experts, **counts)
    assert found.weights[1] == 640 + 4096 + 512 + 1024
    assert found.active[1] == 640 + 1024 + 512 + 1024
    assert found.operations[1] == found.active[1] // 2
    assert found.active[0] == found.weights[0]
    for odd in ({"llama__expert_count": 8}, {"llama__expert_used_count": 99}):
        found = sizes(tmp_path, HEAD | BLOCKS | experts, **odd)
        assert found.active == found.weights


def test_what_belongs_to_no_block_is_the_heads(tmp_path: Path) -> None:
    others = {
        "rope_freqs.weight": f32(16),
        "per_layer_token_embd.weight": f32(50, 32),
        "blk.3.ffn_up.weight": f32(2, 32),
        "v.blk.0.attn_q.weight": f32(1, 32),
    }
    found = sizes(tmp_path, HEAD | BLOCKS | others)
    assert sum(found.weights) == 512 + 640 + 768
    assert found.embedding == 6400
    assert found.output == 12_800 + 128 + 64 + 256 + 128


def test_both_halves_of_an_encoder_and_decoder_are_of_one_layer(tmp_path: Path) -> None:
    both = {f"{half}.blk.0.ffn_up.weight": f32(2, 32) for half in ("enc", "dec")}
    assert sizes(tmp_path, HEAD | both).weights == (512, 0, 0)


def test_a_model_in_parts_has_the_sizes_of_the_whole(tmp_path: Path, endless_gguf: Path) -> None:
    whole = file_sizes(endless_gguf)
    assert whole.total == sum(tensor.size for tensor in read_header(endless_gguf).tensors)
    parts = split(endless_gguf, tmp_path / "endless")
    assert len(parts) > 2
    assert file_sizes(parts[0]) == whole


def test_a_smaller_cache_takes_less(endless_gguf: Path) -> None:
    usual, small = (sum(file_sizes(endless_gguf, kind).kv) for kind in ("f16", "q8_0"))
    assert small / usual == pytest.approx(34 / 64)


def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match="block_count"):
        sizes(tmp_path, HEAD, llama__block_count="three")
    with pytest.raises(GGUFError, match="cannot be read"):
        file_sizes(tmp_path / "missing.gguf")
