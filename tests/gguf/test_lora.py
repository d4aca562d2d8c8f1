from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_maker import make_adapter, make_successor_model
from gguf_writer import write_gguf

from ayllu.gguf.lora import misfit
from ayllu.gguf.read import Header, read_header

ADAPTER = {
    "general.architecture": "llama",
    "general.type": "adapter",
    "adapter.type": "lora",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Header:
    """A model of 262 tokens and 288 numbers."""
    return read_header(make_successor_model(tmp_path_factory.mktemp("model") / "x.gguf"))


def pair(name: str, a: tuple[int, int], b: tuple[int, int]) -> dict[str, Any]:
    shapes = {"lora_a": a, "lora_b": b}
    return {f"{name}.{end}": np.zeros(shape, np.float32) for end, shape in shapes.items()}


OUTPUT = pair("output.weight", (2, 288), (262, 2))
NORM = {"output_norm.weight": np.ones(288, np.float32)}


def test_an_adapter_for_this_model_fits(model: Header, tmp_path: Path) -> None:
    assert misfit(read_header(make_adapter(tmp_path / "a")), model) == ""
    embeddings = pair("token_embd.weight", (262, 2), (288, 2))
    whole = write_gguf(tmp_path / "b", ADAPTER, OUTPUT | NORM | embeddings)
    assert misfit(read_header(whole), model) == ""


@pytest.mark.parametrize(
    ("kvs", "tensors", "sentence"),
    [
        ({"adapter.type": "control"}, OUTPUT, "of the type control: only lora is supported"),
        ({"general.architecture": "gpt2"}, OUTPUT, "for gpt2 models, and this one is llama"),
        ({}, {}, "holds no tensors"),
        ({}, NORM, "holds no tensors"),
        ({}, {"output.weight": OUTPUT["output.weight.lora_a"]}, "no part of a LoRA adapter"),
        (
            {},
            {"output.weight.lora_a": OUTPUT["output.weight.lora_a"]},
            "only one of the two matrices for output.weight",
        ),
        (
            {},
            pair("blk.1.attn_q.weight", (2, 288), (288, 2)),
            "changes the tensor blk.1.attn_q.weight, which this model does not have",
        ),
        (
            {},
            pair("output.weight", (2, 320), (262, 2)),
            "it changes output.weight as one of 320 by 262 numbers, and this model's has 288 by",
        ),
        ({}, pair("output.weight", (2, 288), (300, 2)), "as one of 288 by 300 numbers"),
        ({}, pair("output.weight", (3, 288), (262, 2)), "two matrices for output.weight that do"),
        ({}, pair("token_embd.weight", (2, 288), (262, 2)), "token_embd.weight as one of 262 by"),
    ],
)
def test_what_does_not_fit_is_told(
    model: Header, tmp_path: Path, kvs: dict[str, Any], tensors: dict[str, Any], sentence: str
) -> None:
    adapter = read_header(write_gguf(tmp_path / "a", ADAPTER | kvs, tensors))
    assert sentence in misfit(adapter, model)


def test_an_adapter_without_a_type_is_told(model: Header, tmp_path: Path) -> None:
    kvs = {name: value for name, value in ADAPTER.items() if name != "adapter.type"}
    adapter = read_header(write_gguf(tmp_path / "a", kvs, OUTPUT))
    assert misfit(adapter, model) == "does not say what type of adapter it is (adapter.type)"
