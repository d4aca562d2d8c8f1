"""What GGUF files in somebody's folders are called, and which of them belong together."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayllu.models.gguf_names import is_projector, models_among, name_of
from ayllu.models.name import full_name, is_valid, short_name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("mistral-7b.Q4_K_M.gguf", "mistral-7b.Q4_K_M:latest"),
        ("Meta Llama 3 (8B).gguf", "Meta-Llama-3-8B:latest"),
        ("vision/llava.gguf", "vision/llava:latest"),
        ("big.models/x.gguf", "big-models/x:latest"),
        ("a/b/c/d/x.gguf", "a-b-c-d/x:latest"),
        ("ñandú.gguf", "and:latest"),
        ("漢字.gguf", "model:latest"),
        (f"{'x' * 200}.gguf", f"{'x' * 80}:latest"),
        ("x.GGUF", "x:latest"),
        ("big-00001-of-00003.gguf", "big:latest"),
        ("big-00009-of-00003.gguf", "big-00009-of-00003:latest"),
        ("lmstudio-community/Qwen3-8B-GGUF/Qwen3-8B-Q4_K_M.gguf", "Q4_K_M"),
        ("lmstudio-community/Qwen3-8B-GGUF/Qwen3-8B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("lmstudio-community/Qwen3-8B-GGUF/qwen3-8b-f16-00001-of-00002.gguf", "f16"),
        ("lmstudio-community/Qwen3-8B-GGUF/Qwen3-8B.IQ4_XS.gguf", "IQ4_XS"),
        ("lmstudio-community/Qwen3-8B-GGUF/gpt-oss-MXFP4.gguf", "MXFP4"),
        ("lmstudio-community/Qwen3-8B-GGUF/Qwen3-8B.gguf", "latest"),
        ("models--lmstudio-community--Qwen3-8B-GGUF/snapshots/0a1b/Qwen3-8B-Q8_0.gguf", "Q8_0"),
        ("models--lmstudio-community--Qwen3-8B-GGUF/snapshots/0a1b/Q8_0/x-Q8_0.gguf", "Q8_0"),
    ],
)
def test_names_come_of_paths(path: str, name: str) -> None:
    whole = name if ":" in name else f"hf.co/lmstudio-community/Qwen3-8B-GGUF:{name}"
    assert short_name(name_of(path)) == whole


def test_the_first_part_stands_for_all() -> None:
    paths = [f"m-{part:05d}-of-00003.gguf" for part in (2, 3, 1)]
    assert [(short_name(m.name), m.path) for m in models_among(paths)] == [
        ("m:latest", "m-00001-of-00003.gguf")
    ]
    assert models_among(paths[:2]) == ()


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (["m-Q4_0.gguf", "m-Q8_0.gguf", "mmproj-F16.gguf"], {"m-Q4_0": "mmproj-F16"}),
        (["m.gguf", "mmproj-model-f32.gguf", "mmproj-model-f16.gguf"], {"m": "mmproj-model-f16"}),
        (["m.gguf", "m-mmproj-BF16.gguf", "m-mmproj-Q8_0.gguf"], {"m": "m-mmproj-BF16"}),
        (
            ["a-7b.gguf", "b-7b.gguf", "mmproj-a-7b-f16.gguf"],
            {"a-7b": "mmproj-a-7b-f16", "b-7b": ""},
        ),
        (["a.gguf", "b.gguf", "mmproj.gguf"], {"a": "", "b": ""}),
        (["mmproj-only.gguf"], {}),
    ],
)
def test_a_projector_belongs_to_the_models_beside_it(
    files: list[str], wanted: dict[str, str]
) -> None:
    found = {m.path.removesuffix(".gguf"): m.projectors for m in models_among(files)}
    assert {name: found[name] for name in wanted} == {
        name: (f"{projector}.gguf",) if projector else () for name, projector in wanted.items()
    }
    assert not any(is_projector(path) for path in found)
    elsewhere = models_among([f"folder/{name}" if is_projector(name) else name for name in files])
    assert not any(model.projectors for model in elsewhere)


def test_two_files_never_have_one_name() -> None:
    paths = ["a b.gguf", "a-b.gguf", "a_b.gguf", "A-B.gguf", "p/r/x-Q8_0.gguf", "p/r/y-Q8_0.gguf"]
    names = {model.path: short_name(model.name) for model in models_among(paths)}
    assert names["a b.gguf"] != names["a-b.gguf"] != names["A-B.gguf"]
    assert len({name.lower() for name in names.values()}) == len(paths)
    assert names["p/r/x-Q8_0.gguf"] == "hf.co/p/r:Q8_0"
    assert names["p/r/y-Q8_0.gguf"].startswith("hf.co/p/r:Q8_0-")


@given(st.sets(st.text(min_size=1, max_size=30).filter(lambda text: "\0" not in text), max_size=8))
def test_any_paths_give_valid_names_of_their_own(paths: set[str]) -> None:
    files = [f"{path.strip('/')}.gguf" for path in paths]
    found = models_among(files)
    assert all(is_valid(model.name) for model in found)
    assert len({full_name(model.name).lower() for model in found}) == len(found)
    random.Random(0).shuffle(files)
    assert models_among(files) == found
