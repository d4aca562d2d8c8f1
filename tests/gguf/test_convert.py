"""The converter's child: what it makes of sound models, and of those that mean harm."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hf_maker import (
    BYTES,
    SPLIT,
    SPLITS,
    make_hf,
    run_torch,
    write_json,
    write_safetensors,
)

from ayllu.errors import AylluError, BadRequestError, UnsupportedError
from ayllu.gguf.convert import convert_model, known_architectures
from ayllu.gguf.convert_child import pre_tokenizer_name
from ayllu.gguf.read import GGUFArray, read_header
from ayllu.gguf.tool import Step

MARKS = "import pathlib; pathlib.Path({marker!r}).write_text('ran')\n"
"""What code that a model brings would do."""


async def steps_of(steps: AsyncGenerator[Step]) -> list[Step]:
    return [step async for step in steps]


def convert(python: Path, folder: Path) -> list[Step]:
    target, projector = folder / "made.gguf", folder / "projector.gguf"
    work = convert_model(python, folder, target, projector=projector, fp8="q8_0")
    return asyncio.run(steps_of(work))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, mini_gguf: Path) -> Path:
    return make_hf(tmp_path_factory.mktemp("hf") / "mini", mini_gguf)


@pytest.fixture
def folder(tmp_path: Path, sound: Path) -> Path:
    """A copy of a sound model, to be spoilt."""
    return shutil.copytree(sound, tmp_path / "model")


def change(path: Path, **values: Any) -> None:
    write_json(path, json.loads(path.read_text("utf-8")) | values)


def listed(value: Any) -> Any:
    return value.items() if isinstance(value, GGUFArray) else value


def would_run(python: Path, marker: Path, control: str, folder: Path) -> None:
    """Make sure that the trap is one, and set it again."""
    run_torch(python, control, folder)
    assert marker.read_text("utf-8") == "ran"
    marker.unlink()


def test_a_model_is_what_it_was_before(torch_python: Path, folder: Path, mini_gguf: Path) -> None:
    steps = convert(torch_python, folder)
    made, original = (read_header(path) for path in (folder / "made.gguf", mini_gguf))
    assert steps[-1] == Step(*[sum(tensor.size for tensor in made.tensors)] * 2)
    assert [step.completed for step in steps] == sorted(step.completed for step in steps)
    for key in ("tokens", "token_type", "merges", "pre", "model"):
        here, there = (header.kvs[f"tokenizer.ggml.{key}"] for header in (made, original))
        assert listed(here) == listed(there)
    data = {}
    for path, header in ((folder / "made.gguf", made), (mini_gguf, original)):
        whole = path.read_bytes()
        starts = ((one.name, header.data_offset + one.offset, one.size) for one in header.tensors)
        data[path] = {name: whole[start : start + size] for name, start, size in starts}
    assert data[folder / "made.gguf"] == data[mini_gguf]
    assert not (folder / "projector.gguf").exists()


def test_code_that_a_model_brings_never_runs(
    torch_python: Path, folder: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    code = MARKS.format(marker=str(marker))
    (folder / "own.py").write_text(
        f"{code}from transformers import LlamaConfig, PreTrainedTokenizerFast\n"
        "class OwnConfig(LlamaConfig): model_type = 'own'\n"
        "class OwnTokenizer(PreTrainedTokenizerFast): pass\n",
        "utf-8",
    )
    own = {"AutoConfig": "own.OwnConfig", "AutoTokenizer": ["own.OwnTokenizer", None]}
    change(folder / "config.json", auto_map=own, model_type="own")
    change(folder / "tokenizer_config.json", auto_map=own, tokenizer_class="OwnTokenizer")
    control = (
        "import sys; from transformers import AutoTokenizer;"
        "AutoTokenizer.from_pretrained(sys.argv[1], trust_remote_code=True)"
    )
    would_run(torch_python, marker, control, folder)
    with pytest.raises(BadRequestError, match="trust_remote_code"):
        convert(torch_python, folder)
    assert not marker.exists()


def test_pickles_are_not_opened(torch_python: Path, folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    (folder / "model.safetensors").unlink()
    script = (
        "import sys, torch\n"
        "class Trap:\n"
        f"    def __reduce__(self): return exec, ({MARKS.format(marker=str(marker))!r},)\n"
        "torch.save({'a': Trap()}, sys.argv[1] + '/pytorch_model.bin')"
    )
    run_torch(torch_python, script, folder)
    control = (
        "import sys, torch; torch.load(sys.argv[1] + '/pytorch_model.bin', weights_only=False)"
    )
    would_run(torch_python, marker, control, folder)
    with pytest.raises(
        BadRequestError, match="holds more than tensors, which is never opened: take safetensors"
    ):
        convert(torch_python, folder)
    assert not marker.exists()


def not_a_number(folder: Path) -> None:
    weights = {"model.norm.weight": np.full(256, np.nan, np.float32)}
    write_safetensors(folder / "model_2.safetensors", weights)


SPOILT: list[tuple[Any, str]] = [
    ({"num_attention_heads": 7}, "the model cannot be converted: "),
    (lambda folder: (folder / "tokenizer.json").write_text("{}"), "its tokenizer cannot be used: "),
    (not_a_number, "its weights hold numbers that are none (NaN or infinity)"),
]


@pytest.mark.parametrize(("spoil", "sentence"), SPOILT, ids=[words[:30] for _, words in SPOILT])
def test_what_is_wrong_with_a_model_is_said_in_a_sentence(
    torch_python: Path, folder: Path, spoil: Any, sentence: str
) -> None:
    if isinstance(spoil, dict):
        change(folder / "config.json", **spoil)
    else:
        spoil(folder)
    with pytest.raises(BadRequestError) as caught:
        convert(torch_python, folder)
    assert sentence in caught.value.sentence
    assert caught.value.sentence.startswith("the model cannot be converted: ")
    assert str(folder) not in caught.value.sentence
    assert "\n" not in caught.value.sentence


def test_a_python_without_pytorch_is_named(folder: Path) -> None:
    with pytest.raises(UnsupportedError, match=f"{sys.executable} has no torch: `pip install"):
        convert(Path(sys.executable), folder)


def test_a_program_that_is_no_python_is_said(folder: Path) -> None:
    with pytest.raises(AylluError, match="converting the model ended with code 1"):
        convert(Path("/bin/false"), folder)


def test_how_a_tokenizer_splits_has_a_name(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"

    def name(steps: list[Any], **model: Any) -> str | None:
        splits = steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": steps}
        write_json(path, {"pre_tokenizer": splits, "model": model})
        return pre_tokenizer_name(path)

    digits = {"type": "Digits", "individual_digits": True}
    threes = SPLITS["qwen2"][0] | {"pattern": {"Regex": SPLIT.replace(r"\p{N}|", r"\p{N}{1,3}|")}}
    assert name(SPLITS["qwen2"]) == "qwen2"
    assert name(SPLITS["gpt-2"]) == "gpt-2"
    assert name([digits, *SPLITS["gpt-2"]]) == "smollm"
    assert name([threes, BYTES]) == "dbrx"
    assert name([threes, BYTES], ignore_merges=True) == "llama-bpe"
    assert name([digits, *SPLITS["qwen2"]]) is None
    assert name([{"type": "Metaspace"}]) is None
    assert name([threes | {"pattern": {"Regex": "x+"}}, BYTES]) is None
    assert name([threes | {"invert": True}, BYTES]) is None
    path.unlink()
    assert pre_tokenizer_name(path) is None


def test_the_architectures_that_can_be_converted_are_read_from_the_converter() -> None:
    known = known_architectures()
    assert {"LlamaForCausalLM", "Qwen3ForCausalLM", "Gemma3ForConditionalGeneration"} <= known
    assert len(known) > 150
