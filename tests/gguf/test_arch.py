from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_maker import CHATML, CHATML_TOOLS_THINK, make_successor_model
from gguf_writer import Array, Raw, Tensor, Typed, write_gguf

from ayllu.errors import GGUFError
from ayllu.gguf import arch
from ayllu.gguf.read import Header, read_header

BASE: dict[str, Any] = {
    "general.architecture": "llama",
    "llama.block_count": 4,
    "llama.context_length": 2048,
    "llama.embedding_length": 128,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
}
ROW = {"t": np.zeros((2, 32), np.float32)}


def header(tmp_path: Path, **changes: Any) -> Header:
    kvs = BASE | {name.replace("__", "."): item for name, item in changes.items()}
    kvs = {name: item for name, item in kvs.items() if item is not None}
    return read_header(write_gguf(tmp_path / "x.gguf", kvs, ROW))


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"),
        (999, "999"),
        (125_000, "125K"),
        (363_744, "364K"),
        (22_570_000, "22.57M"),
        (7_000_000, "7M"),
        (6_738_415_616, "6.7B"),
        (7_000_000_000, "7B"),
        (8_030_261_248, "8.0B"),
        (671_026_419_200, "671.0B"),
    ],
)
def test_counts_are_shown_as_ollama_shows_them(number: int, shown: str) -> None:
    assert arch.human_count(number) == shown


def test_a_model_says_its_figures(tmp_path: Path) -> None:
    found = header(tmp_path, general__file_type=15)
    arch.check(found)
    assert arch.architecture(found) == "llama"
    assert arch.kind(found) == "model"
    assert arch.parameter_count(found) == 64
    assert arch.file_type(found) == "Q4_K_M"
    assert arch.context_length(found) == 2048
    assert arch.embedding_length(found) == 128
    assert arch.block_count(found) == 4
    assert arch.head_counts(found) == (4, 4, 4, 4)
    assert arch.kv_head_counts(found) == (2, 2, 2, 2)


def test_the_kv_cache_is_keys_and_values_of_each_layer(tmp_path: Path) -> None:
    found = header(tmp_path)
    assert arch.kv_layer_bytes(found) == (2 * 2 * 32 * 2,) * 4
    assert arch.kv_bytes(found, context=100, slots=3) == 4 * 256 * 100 * 3
    assert arch.kv_bytes(found, context=1, cache_type="q8_0") == 4 * 2 * 2 * 34
    own = header(tmp_path, llama__attention__key_length=64, llama__attention__value_length=16)
    assert arch.kv_bytes(own, context=1) == 4 * 2 * (2 * 64 + 2 * 16)
    with pytest.raises(GGUFError, match="no KV cache type q3_x"):
        arch.kv_bytes(found, context=1, cache_type="q3_x")


def test_layers_without_attention_take_no_cache(tmp_path: Path) -> None:
    found = header(tmp_path, llama__attention__head_count_kv=Array(5, [0, 2, 0, 2]))
    assert arch.kv_layer_bytes(found) == (0, 256, 0, 256)
    none = header(tmp_path, llama__attention__head_count=0, llama__attention__head_count_kv=None)
    assert arch.kv_bytes(none, context=9) == 0


def test_the_quantization_is_guessed_where_nothing_is_said(tmp_path: Path) -> None:
    tensors: dict[str, Tensor] = {
        "a": np.zeros(4, np.float32),
        "b": Raw(12, (256, 4), bytes(4 * 144)),
    }
    path = write_gguf(tmp_path / "x.gguf", BASE, tensors)
    assert arch.file_type(read_header(path)) == "Q4_K"
    assert arch.file_type(header(tmp_path, general__file_type=999)) == "unknown"


@pytest.mark.parametrize(
    "changes",
    [
        {"general__architecture": None},
        {"general__architecture": ""},
        {"general__architecture": 5},
        {"llama__block_count": 0},
        {"llama__block_count": None},
        {"llama__block_count": "4"},
        {"llama__block_count": True},
        {"llama__block_count": Typed(10, 2**60)},
        {"llama__block_count": Typed(5, -4)},
        {"llama__context_length": 1.5},
        {"llama__embedding_length": [1, 2]},
        {"llama__attention__head_count": [4, 4]},
        {"llama__attention__head_count_kv": ["a", "b", "c", "d"]},
        {"llama__attention__head_count_kv": Array(5, [1, 1, -1, 1])},
        {"general__file_type": "Q4"},
        {"general__type": 3},
        {"tokenizer__chat_template": 3},
    ],
)
def test_keys_of_wrong_types_are_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    found = header(tmp_path, **changes)
    with pytest.raises(GGUFError):
        arch.check(found)


def test_a_model_without_tensors_is_none(tmp_path: Path) -> None:
    with pytest.raises(GGUFError, match="no tensors"):
        arch.check(read_header(write_gguf(tmp_path / "x.gguf", BASE)))


def test_adapters_and_projectors_are_known(tmp_path: Path) -> None:
    assert arch.kind(header(tmp_path, general__type="adapter")) == "adapter"
    assert arch.kind(header(tmp_path, general__type="mmproj")) == "projector"
    projector = header(tmp_path, general__architecture="clip", clip__has_audio_encoder=True)
    arch.check(projector)
    assert arch.kind(projector) == "projector"
    assert arch.projector_capabilities(projector) == {"audio"}
    both = header(tmp_path, clip__has_audio_encoder=True, clip__has_vision_encoder=True)
    assert arch.projector_capabilities(both) == {"vision", "audio"}
    unnamed = header(tmp_path, general__architecture="clip")
    assert arch.projector_capabilities(unnamed) == {"vision"}
    assert arch.split_count(header(tmp_path, split__count=Typed(2, 3))) == 3


@pytest.mark.parametrize(
    ("keys", "tokens"),
    [
        ({"clip__projector_type": "gemma3"}, 256),
        ({"clip__vision__projector_type": "gemma4v", "clip__audio__projector_type": "x"}, 1120),
        ({"clip__projector_type": "mlp"}, 0),
        ({}, 0),
    ],
)
def test_some_projectors_want_an_image_in_one_step(
    tmp_path: Path, keys: dict[str, str], tokens: int
) -> None:
    assert arch.image_step(header(tmp_path, **keys)) == tokens


def test_weights_tell_what_a_model_can_do(tmp_path: Path) -> None:
    assert arch.capabilities(header(tmp_path)) == {"completion"}
    assert arch.capabilities(header(tmp_path, llama__pooling_type=1)) == {"embedding"}
    assert arch.pools(header(tmp_path, llama__pooling_type=0))
    seeing = header(tmp_path, llama__vision__block_count=2, llama__audio__block_count=1)
    assert arch.capabilities(seeing) == {"completion", "vision", "audio"}


@pytest.mark.parametrize(
    ("kvs", "tensor", "ranks"),
    [
        ({"pooling_type": 4}, "t", True),
        ({"pooling_type": 4, "classifier.output_labels": ["yes", "no"]}, "t", True),
        ({"pooling_type": 2, "attention.causal": False}, "cls.output.weight", True),
        ({"attention.causal": False}, "cls.weight", True),
        ({"attention.causal": False, "classifier.output_labels": ["a"]}, "cls.weight", True),
        ({"attention.causal": False, "classifier.output_labels": ["a", "b"]}, "cls.weight", False),
        ({"attention.causal": False}, "t", False),
        ({"attention.causal": True}, "cls.weight", False),
        ({"pooling_type": 1}, "t", False),
        ({}, "cls.weight", False),
    ],
)
def test_a_reranker_is_known(tmp_path: Path, kvs: dict[str, Any], tensor: str, ranks: bool) -> None:
    named = {"general.architecture": "bert"} | {f"bert.{key}": item for key, item in kvs.items()}
    found = read_header(write_gguf(tmp_path / "x", named, {tensor: np.zeros(32, np.float32)}))
    assert arch.ranks(found) is ranks
    assert ("rerank" in arch.capabilities(found)) is ranks
    assert arch.has_rank_head(found) is tensor.startswith("cls")


@pytest.mark.parametrize(
    ("jinja", "found"),
    [
        (None, set()),
        (CHATML, set()),
        (CHATML_TOOLS_THINK, {"tools", "thinking"}),
        ("{{ m.content.split('</think>')[-1] }}", {"thinking"}),
        ("{{ m.reasoning_content }}{{ m.content.split('</think>')[-1] }}", set()),
        ("{{ m.tool_calls }}", {"tools"}),
    ],
)
def test_chat_templates_tell_what_they_can_do(jinja: str | None, found: set[str]) -> None:
    assert arch.template_capabilities(jinja) == found


def test_the_chat_template_is_found(tmp_path: Path) -> None:
    path = make_successor_model(tmp_path / "x.gguf", chat_template=CHATML)
    assert arch.chat_template(read_header(path)) == CHATML


@pytest.mark.parametrize(
    ("name", "tensor", "how"),
    [
        ("llama", "t", "draft-simple"),
        ("eagle3", "t", "draft-eagle3"),
        ("dflash", "t", "draft-dflash"),
        ("dflash", "markov_w1.weight", "draft-dspark"),
        ("qwen3next", "blk.1.nextn.eh_proj.weight", "draft-mtp"),
        ("qwen3next", "blk.0.nextn.eh_proj.weight", "draft-simple"),
    ],
)
def test_a_draft_tells_how_it_drafts(tmp_path: Path, name: str, tensor: str, how: str) -> None:
    kvs = {"general.architecture": name, f"{name}.block_count": 2}
    header = read_header(write_gguf(tmp_path / "x", kvs, {tensor: np.zeros(32, np.float32)}))
    assert arch.speculation(header) == how
