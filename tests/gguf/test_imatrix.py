"""Importance matrices of users are checked before the engine sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_maker import make_successor_model
from gguf_writer import Array, write_gguf

from ayllu.errors import BadRequestError
from ayllu.gguf.imatrix import check_matrix
from ayllu.gguf.read import Header, read_header

KVS: dict[str, Any] = {
    "general.type": "imatrix",
    "imatrix.datasets": Array(8, ["text.txt"]),
    "imatrix.chunk_count": 3,
    "imatrix.chunk_size": 512,
}
NAME = "blk.0.attn_q.weight"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Header:
    return read_header(make_successor_model(tmp_path_factory.mktemp("model") / "a.gguf"))


def columns(model: Header) -> int:
    return next(tensor.shape[0] for tensor in model.tensors if tensor.name == NAME)


def pair(count: int, *, name: str = NAME, value: float = 1.0) -> dict[str, Any]:
    return {
        f"{name}.in_sum2": np.full((1, count), value, np.float32),
        f"{name}.counts": np.full((1, 1), 512.0, np.float32),
    }


def test_a_matrix_of_the_model_is_taken(model: Header, tmp_path: Path) -> None:
    check_matrix(write_gguf(tmp_path / "m", KVS, pair(columns(model))), model)
    others = pair(columns(model)) | pair(7, name="a.tensor.of.a.head.that.this.model.lacks")
    check_matrix(write_gguf(tmp_path / "m", KVS, others), model)


DAMAGED = "is damaged: its sums and counts do not match"
ANOTHER = "the importance matrix was made for another model"


def bad(model: Header) -> list[tuple[dict[str, Any], dict[str, Any], str]]:
    """Keys, tensors, and what is said of them."""
    good = pair(columns(model))
    sums, counts = ({name: good[name]} for name in good)
    no_matrix = "a GGUF, but no importance matrix"
    return [
        ({"general.type": "model"}, good, no_matrix),
        ({"imatrix.datasets": "text"}, good, no_matrix),
        ({"imatrix.datasets": Array(4, [1])}, good, no_matrix),
        ({"imatrix.chunk_count": "3"}, good, no_matrix),
        ({"imatrix.chunk_size": 2.5}, good, no_matrix),
        ({}, sums, DAMAGED),
        ({}, counts, DAMAGED),
        ({}, good | {"more": np.ones(3, np.float32)}, DAMAGED),
        ({}, {name: data.astype(np.float16) for name, data in good.items()}, DAMAGED),
        ({}, pair(columns(model) + 1), ANOTHER),
        ({}, good | {f"{NAME}.counts": np.ones((2, 1), np.float32)}, ANOTHER),
        ({}, pair(columns(model), name="blk.99.attn_q.weight"), ANOTHER),
        ({}, {}, "is damaged"),
        *(({}, pair(columns(model), value=value), "damaged at") for value in (np.nan, np.inf, -1)),
    ]


def test_anything_else_is_refused_with_what_is_wrong(model: Header, tmp_path: Path) -> None:
    for kvs, tensors, sentence in bad(model):
        path = write_gguf(tmp_path / "m", KVS | kvs, tensors)
        with pytest.raises(BadRequestError, match=sentence):
            check_matrix(path, model)


@pytest.mark.parametrize("key", ["general.type", "imatrix.datasets", "imatrix.chunk_count"])
def test_every_key_is_needed(model: Header, tmp_path: Path, key: str) -> None:
    kvs = {name: value for name, value in KVS.items() if name != key}
    path = write_gguf(tmp_path / "m", kvs, pair(columns(model)))
    with pytest.raises(BadRequestError, match="but no importance matrix"):
        check_matrix(path, model)


@pytest.mark.parametrize("cut", [0, 3, 30, 200, -40])
def test_a_file_that_was_cut_is_refused_by_its_own_name(
    model: Header, tmp_path: Path, cut: int
) -> None:
    whole = write_gguf(tmp_path / "whole", KVS, pair(columns(model))).read_bytes()
    path = tmp_path / "sha256-0123"
    path.write_bytes(whole[:cut])
    with pytest.raises(BadRequestError, match="the importance matrix") as caught:
        check_matrix(path, model)
    assert path.name not in caught.value.sentence
