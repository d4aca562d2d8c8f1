"""What a model's size would be: the engine's dry run, held against what it then makes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from gguf_maker import WIDE, make_successor_model

from ayllu.errors import AylluError, BadRequestError, EngineError
from ayllu.gguf.quantize import quantize
from ayllu.gguf.read import read_header
from ayllu.gguf.sizes import Size, predict_all, size_of
from ayllu.models.shelf import ASSETS
from ayllu.runner.engine import built_folder, tool_path

MINI = ASSETS / "mini-f16.gguf"
NEW_KEYS = 512
"""Bytes that the engine adds to the header, at most."""


@pytest.fixture(scope="module")
def program() -> Path:
    folder = built_folder()
    if folder is None:
        pytest.skip("the engine is not built here: run `make setup`")
    return tool_path(folder, "llama-quantize")


def predicted(program: Path, model: Path, *kinds: str) -> dict[str, Size]:
    return asyncio.run(predict_all(program, model, kinds))


def made(program: Path, model: Path, target: Path, kind: str) -> Size:
    async def whole() -> None:
        async for _ in quantize(program, model, target, kind, threads=1, again=True):
            pass

    asyncio.run(whole())
    return size_of(read_header(target))


def test_sizes_are_those_of_what_is_then_made(program: Path, tmp_path: Path) -> None:
    odd = make_successor_model(tmp_path / "odd.gguf", replies=WIDE, dtype=np.float16)
    narrow = make_successor_model(tmp_path / "narrow.gguf")  # rows that no K type can store
    quantized = tmp_path / "q4_0.gguf"
    made(program, MINI, quantized, "Q4_0")
    for model in (MINI, odd, narrow, quantized):
        kinds = ("F32", "BF16", "Q8_0", "Q6_K", "Q4_K_M", "Q4_0", "Q2_K", "IQ4_XS", "TQ1_0")
        for kind, size in predicted(program, model, *kinds).items():
            real = made(program, model, tmp_path / "out", kind)
            assert size.bits_per_weight == pytest.approx(real.bits_per_weight)
            assert 0 <= real.file - size.file <= NEW_KEYS, (model.name, kind)
            assert not size.needs_matrix


def test_a_type_that_cannot_store_the_rows_is_not_planned_and_not_made(
    program: Path, tmp_path: Path
) -> None:
    narrow = make_successor_model(tmp_path / "narrow.gguf")
    assert set(predicted(program, narrow, "Q1_0", "Q8_0")) == {"Q8_0"}
    with pytest.raises(BadRequestError, match="Q1_0 cannot store this model's rows"):
        made(program, narrow, tmp_path / "out", "Q1_0")


def test_types_that_need_a_matrix_are_told_apart(program: Path) -> None:
    sizes = predicted(program, MINI, "IQ1_S", "IQ2_XXS", "Q2_K_S", "IQ3_XXS", "Q2_K", "IQ3_S")
    needing = {kind for kind, size in sizes.items() if size.needs_matrix}
    assert needing == {"IQ1_S", "IQ2_XXS", "Q2_K_S", "IQ3_XXS"}


def test_a_model_that_the_engine_does_not_know_is_told(program: Path, tmp_path: Path) -> None:
    extra = {"general.architecture": "nova", "nova.block_count": 1}
    path = make_successor_model(tmp_path / "nova", extra=extra, dtype=np.float16)
    with pytest.raises(EngineError, match="does not know the architecture 'nova'"):
        predicted(program, path, "Q8_0", "Q4_0")


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("exit 0", "the engine does not say what it would make of this model"),
        ("echo 'unknown argument: --dry-run'; exit 1", "planning ended with code 1"),
        ("kill -9 $$", "planning was killed"),
    ],
)
def test_an_engine_that_cannot_say_is_told(tmp_path: Path, script: str, sentence: str) -> None:
    path = tmp_path / "llama-quantize"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    with pytest.raises(AylluError, match=sentence):
        predicted(path, MINI, "Q8_0", "Q4_0")
