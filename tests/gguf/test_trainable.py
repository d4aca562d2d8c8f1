"""Which architectures can be trained: what PyTorch reads of them is what the engine computes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_writer import write_gguf
from tune_maker import run_models

import ayllu.gguf.convert
from ayllu.gguf.convert import converters_folder
from ayllu.gguf.lora import BASES
from ayllu.gguf.read import read_header
from ayllu.gguf.score import Score, score
from ayllu.gguf.tool import Step
from ayllu.gguf.trainable import TRAINABLE, untrainable
from ayllu.tune.result import companions

CHILD = Path(ayllu.gguf.convert.__file__).with_name("convert_child.py")


def tensors_of(path: Path) -> dict[str, bytes]:
    header, data = read_header(path), path.read_bytes()
    starts = {one.name: header.data_offset + one.offset for one in header.tensors}
    return {one.name: data[starts[one.name] :][: one.size] for one in header.tensors}


def engine_loss(folder: Path) -> float:
    async def run() -> tuple[Score, ...]:
        plan: dict[str, Any] = {"answers": 0, "longest": 0, "context": 256, "gpus": 0}
        work = score(folder / "base.gguf", [], folder / "examples.npz", range(3), **plan)
        return [item async for item in work if not isinstance(item, Step)].pop()

    scores = asyncio.run(run())
    return sum(one.nll for one in scores) / sum(one.count for one in scores)


def test_each_architecture_is_read_and_found_again_or_is_said_to_be_untrainable(
    tmp_path: Path, torch_python: Path
) -> None:
    arguments = CHILD, converters_folder(), tmp_path
    said = {one["name"]: one for one in run_models(torch_python, "read", *arguments, *BASES)}
    assert {name for name, one in said.items() if "error" not in one} == set(TRAINABLE)
    for name in BASES:
        base = read_header(tmp_path / name / "base.gguf")
        assert bool(untrainable(base)) == (name not in TRAINABLE)
        if name in TRAINABLE:
            for file, data in companions(base).items():
                (tmp_path / name / "back" / file).write_bytes(data)
    run_models(torch_python, "weights", *arguments, *TRAINABLE)
    for name in TRAINABLE:
        folder = tmp_path / name
        assert said[name]["differ"] == []
        assert said[name]["losses"][1] == pytest.approx(said[name]["losses"][0], abs=1e-6)
        assert engine_loss(folder) == pytest.approx(said[name]["losses"][1], abs=1e-3)
        assert tensors_of(folder / "back.gguf") == tensors_of(folder / "base.gguf")


def header(
    tmp_path: Path, architecture: str, tensors: dict[str, Any] | None = None, **more: Any
) -> Any:
    keys = {
        "general.architecture": architecture,
        f"{architecture}.attention.head_count": 4,
        **{f"{architecture}.{key.replace('__', '.')}": value for key, value in more.items()},
    }
    return read_header(write_gguf(tmp_path / "m.gguf", keys, tensors or {}))


def test_what_cannot_be_trained_is_told_with_what_can(tmp_path: Path) -> None:
    assert untrainable(header(tmp_path, "llama")) == ""
    why = untrainable(header(tmp_path, "mamba"))
    assert why.startswith("models of the architecture mamba cannot be trained here: those of ")
    assert "gemma2, gemma3, llama (and Mistral), phi3, qwen2, qwen3, starcoder2 can" in why
    assert "experts" in untrainable(header(tmp_path, "llama", expert_count=8))
    assert untrainable(header(tmp_path, "qwen3", attention__key_length=128)) == ""
    assert untrainable(header(tmp_path, "gemma2", attention__key_length=128)) == (
        "gemma2 models can be trained here with heads of 256 numbers, and not of 128"
    )


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"rope__scaling__type": "yarn"}, "yarn"),
        ({"rope__scaling__type": "linear", "rope__scaling__factor": 8.0}, "linear"),
        ({"rope__scaling__factor": 2.0}, "linear"),
        ({"rope__scale_linear": 4.0}, "linear"),
        ({"rope__scaling__type": "none", "rope__scaling__factor": 8.0}, ""),
        ({"rope__scaling__factor": 1.0}, ""),
        ({"tensors": {"rope_factors_long.weight": np.ones(4, np.float32)}}, "longrope"),
        ({"tensors": {"rope_freqs.weight": np.ones(4, np.float32)}}, ""),
    ],
)
def test_a_model_whose_positions_are_stretched_is_refused(
    tmp_path: Path, more: dict[str, Any], kind: str
) -> None:
    why = f"its positions are stretched ({kind}), which cannot be trained here yet" if kind else ""
    assert untrainable(header(tmp_path, "llama", **more)) == why
