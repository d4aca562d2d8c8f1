"""What becomes of Ollama's odd GGUFs, told by headers of each kind; the real engine is elsewhere.

tests/server/test_odd_models.py loads those that tests/odd_maker.py can make.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from correcting import EYES, F32, model, named, odd, plain, projector, written
from gguf_maker import make_successor_model
from gguf_writer import Array, Raw, Typed, write_gguf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odd_maker import KINDS, make_odd
from projector_maker import make_projector

from ayllu.errors import GGUFError
from ayllu.gguf.compat import Correction, correction
from ayllu.gguf.read import read_header


def test_a_model_of_another_converter_is_left_alone(tmp_path: Path) -> None:
    kvs = named("qwen3vl", rope__dimension_sections=Array(5, [1, 1, 1, 0]))
    for path in (
        make_successor_model(tmp_path / "x.gguf"),
        make_projector(tmp_path / "p.gguf"),
        write_gguf(tmp_path / "q.gguf", kvs, {"token_embd.weight": F32}),
        write_gguf(tmp_path / "g.gguf", named("gemma4"), {"token_embd.weight": F32}),
        write_gguf(tmp_path / "m.gguf", named("mistral3"), {"token_embd.weight": F32}),
        write_gguf(tmp_path / "l.gguf", named("laguna"), {"token_embd.weight": F32}),
    ):
        assert correction(path, read_header(path)) is None


def test_what_is_wrong_in_keys_alone_takes_no_copy(tmp_path: Path) -> None:
    path = make_odd(tmp_path / "x.gguf", "gemma3_text")
    found = correction(path, read_header(path))
    assert found == Correction(
        {
            "gemma3.rope.freq_base": 1e6,
            "gemma3.rope.freq_base_swa": 1e4,
            "gemma3.attention.layer_norm_rms_epsilon": 1e-6,
        }
    )
    path = make_odd(tmp_path / "y.gguf", "llama3")
    assert correction(path, read_header(path)) == Correction({"tokenizer.ggml.pre": "llama-bpe"})


def test_a_long_gemma3_scales_its_rotation(tmp_path: Path) -> None:
    found = odd(tmp_path, named("gemma3", context_length=131072), {"token_embd.weight": F32})
    assert found.overrides["gemma3.rope.scaling.type"] == "linear"
    assert found.overrides["gemma3.rope.scaling.factor"] == 8.0


def test_tokens_without_an_embedding_are_cut(tmp_path: Path) -> None:
    path = make_odd(tmp_path / "x.gguf", "gemma3")
    before = read_header(path)
    found = correction(path, before)
    assert found is not None
    assert found.model is not None
    header = written(found.model, tmp_path / "model.gguf")
    words = before.kvs["tokenizer.ggml.tokens"].items()
    assert header.kvs["tokenizer.ggml.tokens"].items() == words[:-3]
    assert len(header.kvs["tokenizer.ggml.token_type"]) == len(words) - 3
    assert not any(t.name.startswith(("v.", "mm.")) for t in header.tensors)
    assert "gemma3.attention.layer_norm_rms_epsilon" in header.kvs


def test_gemma3n_is_cut_to_its_text_tokens(tmp_path: Path) -> None:
    kvs = named("gemma3n") | {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": ["<0x0A>", "<unused1>", "a", "<image>"],
        "tokenizer.ggml.token_type": Array(5, [3, 3, 1, 3]),
        "tokenizer.ggml.eos_token_ids": Array(5, [1]),
    }
    rows = np.arange(32, dtype=np.float32).reshape(4, 8)
    tensors = {"token_embd.weight": rows, "per_layer_token_embd.weight": F32[:3]}
    found = odd(tmp_path, kvs, tensors)
    assert found.model is not None
    header = written(found.model, tmp_path / "model.gguf")
    keys = plain(header)
    assert keys["tokenizer.ggml.model"] == "llama"
    assert keys["tokenizer.ggml.tokens"] == ["<0x0A>", "<unused1>", "a"]
    assert keys["tokenizer.ggml.token_type"] == [6, 1, 1]
    assert keys["tokenizer.ggml.eos_token_ids"] == [1, 106]
    data = (tmp_path / "model.gguf").read_bytes()[header.data_offset :]
    assert header.tensors[0].shape == (8, 3)
    assert data[:96] == rows[:3].tobytes()


def test_gemma4_is_another_tokenizer(tmp_path: Path) -> None:
    kvs = named("gemma4", **EYES) | {"tokenizer.ggml.model": "llama"}
    tensors = {
        "blk.0.ffn_gate_inp.per_expert_scale": F32[0],
        "a.x.weight": F32,
        "mm.a.fc.weight": F32,
        "mm.input_projection.weight": F32,
        "v.patch_embd.weight": F32.astype(np.float16),
    }
    keys, shapes = model(tmp_path, kvs, tensors)
    assert keys["tokenizer.ggml.model"] == "gemma4"
    assert list(shapes) == ["blk.0.ffn_down_exps.scale"]
    keys, shapes = projector(tmp_path, kvs, tensors)
    assert list(shapes) == ["mm.input_projection.weight", "v.patch_embd.weight"]
    assert (keys["clip.projector_type"], keys["clip.vision.image_size"]) == ("gemma4v", 224)
    assert "clip.use_gelu" not in keys


def test_qwen35_and_qwen3next_name_their_biases(tmp_path: Path) -> None:
    tensors = {"blk.0.ssm_dt": F32, "mtp.fc.weight": F32}
    kvs = named(
        "qwen35moe",
        attention__head_count_kv=[0, 2, 0],
        rope__dimension_sections=Array(5, [1, 2, 3]),
        rope__mrope_interleaved=True,
    )
    keys, shapes = model(tmp_path, kvs, tensors)
    assert keys["qwen35moe.attention.head_count_kv"] == 2
    assert keys["qwen35moe.rope.dimension_sections"] == [1, 2, 3, 0]
    assert list(shapes) == ["blk.0.ssm_dt.bias"]
    del tensors["mtp.fc.weight"]
    kvs = named("qwen3next", attention__head_count_kv=[0, 4])
    keys, shapes = model(tmp_path, kvs, tensors)
    assert (keys["qwen3next.attention.head_count_kv"], list(shapes)) == (4, ["blk.0.ssm_dt.bias"])


def test_deepseekocr_says_what_its_experts_are(tmp_path: Path) -> None:
    tensors = {
        "blk.1.ffn_down_exps.weight": np.zeros((2, 4, 8), np.float32),
        "blk.1.ffn_down_shexp.weight": np.zeros((4, 16), np.float32),
        "s.position_embd": F32,
        "s.blk.0.norm1.weight": F32[0],
        "s.blk.0.attn.rel_pos_h": F32,
        "v.blk.0.self_attn.qkv_proj.weight": F32,
        "v.blk.0.layer_norm1.weight": F32[0],
        "mm.layers.weight": F32,
        "mm.image_newline": F32[0],
    }
    kvs = named("deepseekocr", sam__block_count=12, vision__head_count=16)
    keys, shapes = model(tmp_path, kvs, tensors)
    assert keys["general.architecture"] == "deepseek2-ocr"
    assert keys["deepseek2-ocr.expert_feed_forward_length"] == 8
    assert keys["deepseek2-ocr.expert_shared_count"] == 2
    assert list(shapes) == ["blk.1.ffn_down_exps.weight", "blk.1.ffn_down_shexp.weight"]
    keys, shapes = projector(tmp_path, kvs, tensors)
    assert keys["clip.vision.sam.block_count"] == 12
    assert keys["clip.vision.attention.head_count"] == 16
    assert list(shapes) == [
        "v.sam.pos_embd.weight",
        "v.sam.blk.0.pre_ln.weight",
        "v.sam.blk.0.attn.pos_h.weight",
        "v.blk.0.attn_qkv.weight",
        "v.blk.0.ln1.weight",
        "mm.model.fc.weight",
        "v.image_newline",
    ]


def test_glmocr_has_its_gate_before_its_up(tmp_path: Path) -> None:
    kvs = named(
        "glmocr",
        attention__key_length=64,
        embedding_length=99,
        vision__out_hidden_size=8,
        rope__mrope_section=Array(5, [1, 2, 3]),
        vision__intermediate_size=32,
        vision__attention__layer_norm_rms_epsilon=0.25,
        vision__image_mean=[0.5, 0.25, 0.125],
    )
    tensors = {
        "blk.0.attn_out.weight": F32,
        "blk.0.post_attn_norm.weight": F32[0],
        "blk.0.ffn_gate.weight": F32 + 1,
        "blk.0.ffn_up.weight": F32 + 2,
        "v.patch_embd_0.weight": F32.astype(np.float16),
        "v.patch_embd_1.weight": F32.astype(np.float16),
    }
    keys, shapes = model(tmp_path, kvs, tensors)
    assert keys["general.architecture"] == "glm4"
    assert keys["glm4.rope.dimension_sections"] == [1, 2, 3, 0]
    assert keys["glm4.rope.dimension_count"] == 64
    assert shapes == {
        "blk.0.attn_output.weight": (8, 4),
        "blk.0.post_attention_norm.weight": (8,),
        "blk.0.ffn_up.weight": (8, 8),
    }
    header = read_header(tmp_path / "model.gguf")
    data = (tmp_path / "model.gguf").read_bytes()[header.data_offset :]
    joined = data[header.tensors[-1].offset :][:256]
    assert joined == (F32 + 1).tobytes() + (F32 + 2).tobytes()
    keys, shapes = projector(tmp_path, kvs, tensors)
    assert keys["clip.vision.projection_dim"] == 8
    assert keys["clip.vision.feed_forward_length"] == 32
    assert keys["clip.vision.attention.layer_norm_epsilon"] == 0.25
    assert keys["clip.vision.image_mean"] == [0.5, 0.25, 0.125]
    assert list(shapes) == ["v.patch_embd.weight", "v.patch_embd.weight.1"]


def test_glm4moelite_tells_the_sizes_of_its_cache(tmp_path: Path) -> None:
    kvs = named(
        "glm4moelite",
        attention__key_length=256,
        attention__kv_lora_rank=512,
        attention__head_count_kv=20,
        rope__dimension_count=64,
    ) | {"tokenizer.ggml.eos_token_ids": Array(5, [7, 8, 9])}
    keys, _ = model(tmp_path, kvs, {"token_embd.weight": F32})
    assert keys["general.architecture"] == "deepseek2"
    own = {key.removeprefix("deepseek2.attention."): value for key, value in keys.items()}
    assert [own[key] for key in ("head_count_kv", "key_length", "value_length")] == [1, 576, 512]
    assert (own["key_length_mla"], own["value_length_mla"]) == (256, 256)
    assert keys["deepseek2.expert_group_count"] == 1
    assert keys["tokenizer.ggml.eot_token_id"] == 8
    assert keys["tokenizer.ggml.eom_token_id"] == 9


def test_laguna_nemotron_and_llama4(tmp_path: Path) -> None:
    kvs = named("laguna", rope__swa__dimension_count=64, rope__swa__freq_base=0.5)
    keys, shapes = model(tmp_path, kvs, {"blk.0.attn_g.weight": F32})
    assert keys["laguna.rope.dimension_count_swa"] == 64
    assert (keys["laguna.rope.freq_base_swa"], *shapes) == (0.5, "blk.0.attn_gate.weight")
    latent = {"blk.1.ffn_latent_in.weight": F32, "blk.1.ffn_latent_out.weight": F32}
    keys, shapes = model(tmp_path, named("nemotron_h_moe"), latent | {"mtp.x": F32})
    assert keys["nemotron_h_moe.moe_latent_size"] == 4
    assert list(shapes) == ["blk.1.ffn_latent_down.weight", "blk.1.ffn_latent_up.weight"]
    parts = {"blk.0.x.weight": F32, "v.x": F32, "a.x": F32, "mm.x": F32}
    omni = named("nemotron_h_omni", expert_count=4, vision__block_count=1)
    assert odd(tmp_path, omni, dict(parts)).projector is None
    keys, shapes = model(tmp_path, omni, dict(parts))
    assert (keys["general.architecture"], *shapes) == ("nemotron_h_moe", "blk.0.x.weight")
    assert not any("vision" in key for key in keys)
    tower = {
        "v.positional_embedding_vlm": F32,
        "v.vision_adapter.mlp.fc1.weight": F32,
        "mm.linear_1.weight": F32,
        "v.blk.0.mlp.fc1.weight": F32,
        "v.class_embedding": F32[0],
    }
    kvs = named("llama4", vision__pixel_shuffle_ratio=0.25, vision__layer_norm_epsilon=0.5)
    keys, shapes = projector(tmp_path, kvs, {"blk.0.x.weight": F32, **tower})
    assert keys["clip.vision.projector.scale_factor"] == 4
    assert keys["clip.vision.attention.layer_norm_epsilon"] == 0.5
    assert list(shapes) == [
        "v.position_embd.weight",
        "mm.model.mlp.1.weight",
        "mm.model.fc.weight",
        "v.blk.0.ffn_up.weight",
        "v.class_embd",
    ]


def test_arctic_gets_its_table_as_bytes(tmp_path: Path) -> None:
    letters = list(base64.b64encode(bytes(range(200))).decode())
    kvs = named("bert") | {"tokenizer.ggml.precompiled_charsmap": letters}
    keys, _ = model(tmp_path, kvs, {"token_embd.weight": F32})
    assert keys["tokenizer.ggml.precompiled_charsmap"] == list(range(200))
    kvs["tokenizer.ggml.precompiled_charsmap"] = ["?", "!"]
    with pytest.raises(GGUFError, match="not base64"):
        odd(tmp_path, kvs, {"token_embd.weight": F32})


def test_an_old_llava_projector_is_named(tmp_path: Path) -> None:
    kvs = {"general.architecture": "clip", "clip.has_vision_encoder": True}
    keys, shapes = model(tmp_path, kvs, {"v.x": F32})
    assert (keys["clip.projector_type"], list(shapes)) == ("mlp", ["v.x"])


@pytest.mark.parametrize(
    ("kvs", "tensors", "sentence"),
    [
        (named("gptoss"), {"blk.0.attn_out.weight": F32, "blk.0.attn_output.weight": F32}, "old"),
        (named("mistral3", **EYES), {"v.blk.0.attn_q.weight": F32[:3]}, "2 heads in 3 rows"),
        (named("qwen35", vision__block_count=9999), {"v.x": F32}, "9999 layers in its vision"),
        (named("qwen35", **EYES), {"v.blk.0.attn_q.weight": F32}, "lacks one of the tensors"),
        (named("qwen35", **EYES), {"v.patch_embed.weight": F32}, "of another shape"),
        (named("qwen35", vision__patch_size=Typed(10, 2**40)), {"v.x": F32}, "a number of"),
        (
            named("gemma3"),
            {"v.patch_embedding.weight": Raw(12, (256, 1), bytes(144))},
            "holds the tensor v.patch_embd.weight in Q4_K",
        ),
    ],
)
def test_an_odd_file_that_is_damaged_besides_is_refused(
    tmp_path: Path, kvs: dict[str, Any], tensors: Mapping[str, Any], sentence: str
) -> None:
    with pytest.raises(GGUFError, match=sentence):
        odd(tmp_path, kvs, tensors)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("sound")
    kinds = [kind for kind in KINDS if kind != "llama3"]
    return {kind: make_odd(folder / kind, kind).read_bytes() for kind in kinds}


@given(
    kind=st.sampled_from([kind for kind in KINDS if kind != "llama3"]),
    edits=st.lists(
        st.tuples(st.integers(24, 9000), st.binary(min_size=1, max_size=4)), min_size=1, max_size=3
    ),
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_mutated_odd_file_ends_in_a_copy_or_a_sentence(
    tmp_path: Path, sound: dict[str, bytes], kind: str, edits: list[tuple[int, bytes]]
) -> None:
    data = bytearray(sound[kind])
    for at, new in edits:
        data[at : at + len(new)] = new
    path = tmp_path / "mutated.gguf"
    path.write_bytes(data)
    with suppress(GGUFError):
        found = correction(path, read_header(path))
        for sheet in (found.model, found.projector) if found else ():
            if sheet:
                written(sheet, tmp_path / "copy.gguf")
