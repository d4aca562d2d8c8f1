"""What the engine would abort on, or read beyond, is found in the header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_maker import make_successor_model
from gguf_writer import Array, Typed, write_gguf
from projector_maker import vision

from ayllu.errors import GGUFError
from ayllu.gguf import arch
from ayllu.gguf.read import read_header


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ({"tokenizer.ggml.tokens": "abc"}, "tokens of another type"),
        ({"tokenizer.ggml.tokens": Array(5, [1, 2])}, "tokens of another type"),
        ({"tokenizer.ggml.scores": Array(6, [0.5])}, "1 items in tokenizer.ggml.scores for 262"),
        ({"tokenizer.ggml.scores": Array(0, [1] * 262)}, "scores of another type"),
        ({"tokenizer.ggml.token_type": Array(5, [1] * 261)}, "261 items in"),
        ({"tokenizer.ggml.token_type": Array(3, [1] * 262)}, "token_type of another type"),
        ({"tokenizer.ggml.token_type": 7}, "token_type of another type"),
    ],
)
def test_a_vocabulary_whose_arrays_do_not_fit_is_refused(
    tmp_path: Path, extra: dict[str, Any], sentence: str
) -> None:
    header = read_header(make_successor_model(tmp_path / "x.gguf", extra=extra))
    with pytest.raises(GGUFError, match=sentence):
        arch.check(header)


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("clip.has_vision_encoder", 1, "bool"),
        ("clip.vision.projector_type", 7, "string"),
        ("clip.vision.image_size", 64.0, "uint32"),
        ("clip.vision.image_size", Typed(5, 64), "uint32"),
        ("clip.vision.patch_size", "8", "uint32"),
        ("clip.vision.block_count", [1], "uint32"),
        ("clip.vision.attention.head_count", Typed(10, 1), "uint32"),
        ("clip.vision.attention.layer_norm_epsilon", Typed(12, 1e-5), "float32"),
        ("clip.use_gelu", "yes", "bool"),
    ],
)
def test_a_projector_with_a_key_of_another_type_is_refused(
    tmp_path: Path, key: str, value: Any, kind: str
) -> None:
    keys, tensors = vision()
    kvs = {"general.architecture": "clip"} | keys | {key: value}
    header = read_header(write_gguf(tmp_path / "p.gguf", kvs, tensors))
    with pytest.raises(GGUFError, match=f"a {key} that is no {kind}"):
        arch.check(header)


def test_sound_ones_pass(tmp_path: Path) -> None:
    keys, tensors = vision()
    arch.check(
        read_header(write_gguf(tmp_path / "p", {"general.architecture": "clip"} | keys, tensors))
    )
    extra = {
        "tokenizer.ggml.scores": Array(6, [0.5] * 300),
        "tokenizer.ggml.merges": Array(8, []),
        "tokenizer.ggml.token_type": Array(4, np.ones(262, int).tolist()),
    }
    arch.check(read_header(make_successor_model(tmp_path / "x", extra=extra)))
