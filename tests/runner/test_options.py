from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from ayllu.errors import BadRequestError
from ayllu.runner.options import (
    DEFAULTS,
    LARGEST,
    LoadOptions,
    Worker,
    engine_arguments,
    merge_options,
    parse_options,
    sampling_fields,
)
from ayllu.types import Options

LOAD = LoadOptions(model=Path("m.gguf"), context=1024)
DRAFTS: dict[str, Any] = {"draft": Path("d.gguf"), "speculation": "draft-simple", "draft_tokens": 4}
WORKERS: dict[str, Any] = {"workers": (Worker("h:1", 3), Worker("h:2", 2))}


def arguments(**changes: Any) -> str:
    load = structs.replace(LOAD, **changes)
    return " ".join(engine_arguments(load, host="/run/e.sock", slots=Path("/slots")))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "--model m.gguf --host /run/e.sock --offline --no-ui"),
        ({"parallel": 4}, "-c 4096 -np 4"),
        ({"batch": 128}, "-b 128 -ub 128"),
        ({"cache_ram": 256 << 20}, "--cache-ram 256 --slot-save-path /slots"),
        ({"flash_attention": "on"}, "--flash-attn on"),
        ({"kv_cache_type": "q8_0"}, "--cache-type-k q8_0 --cache-type-v q8_0"),
        ({}, "--context-shift"),
        ({"embedding": True, "pooling": "mean"}, "--embeddings --pooling mean"),
        ({"threads": 3}, "-t 3"),
        ({"gpu_layers": 0}, "-ngl 0"),
        ({"main_gpu": 1}, "--split-mode none --main-gpu 1"),
        ({"mmap": True}, "--load-mode mmap"),
        ({"mmap": False}, "--load-mode none"),
        ({"projectors": (Path("p.gguf"),)}, "--mmproj p.gguf"),
        ({"adapters": (Path("a"), Path("b"))}, "--lora a --lora b --lora-init-without-apply"),
        ({"adapters": (Path("a"),), "cache_ram": 256 << 20}, "--cache-ram 0"),
        (DRAFTS, "--spec-type draft-simple --spec-draft-model d.gguf --spec-draft-n-max 4"),
        (
            DRAFTS | {"kv_cache_type": "q8_0"},
            "--spec-draft-type-k q8_0 --spec-draft-type-v q8_0",
        ),
        (DRAFTS | {"gpu_layers": 0}, "--spec-draft-ngl 0"),
        (DRAFTS | {"draft_tokens": 99, "batch": 128, "parallel": 4}, "--spec-draft-n-max 31"),
        (WORKERS, "--rpc h:1,h:2 --device RPC0,RPC1 -ngl 6 -ts 3,3 -fit off -ot ^output_norm"),
        (WORKERS | {"tensor_split": True}, "-ts 3,3 -fit off --split-mode tensor"),
        (WORKERS | DRAFTS | {"gpu_layers": 0}, "-devd none"),
    ],
)
def test_each_load_option_has_its_flag(changes: dict[str, Any], expected: str) -> None:
    assert expected in arguments(**changes)


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        ({}, "-t "),
        ({}, "-ngl"),
        ({"gpu_layers": -1}, "-ngl"),
        ({}, "--load-mode"),
        ({"embedding": True}, "--context-shift"),
        ({"projectors": (Path("p"),)}, "--context-shift"),
        ({}, "--port"),
        ({}, "--spec"),
        (DRAFTS | {"draft_tokens": 0}, "--spec"),
        (DRAFTS | {"batch": 32, "parallel": 32}, "--spec"),
        (DRAFTS, "--spec-draft-ngl"),
        (WORKERS | {"tensor_split": True}, "-ot"),
        (WORKERS | {"main_gpu": 1}, "--main-gpu"),
    ],
)
def test_what_is_left_open_has_no_flag(changes: dict[str, Any], absent: str) -> None:
    assert absent not in arguments(**changes)


def test_on_an_address_the_engine_chooses_its_port() -> None:
    assert "--port 0" in " ".join(engine_arguments(LOAD, host="127.0.0.1", slots=Path("s")))


def test_options_are_read_by_their_types() -> None:
    values = {"num_ctx": 4096.7, "temperature": 1, "stop": ["a", "b"], "use_mmap": True}
    assert parse_options(values) == Options(
        num_ctx=4096, temperature=1.0, stop=("a", "b"), use_mmap=True
    )


def test_unknown_options_and_nulls_are_left_out() -> None:
    assert parse_options({"mirostat": 1, "num_ctx": None}) == Options()


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("num_ctx", "big", "integer"),
        ("num_ctx", True, "integer"),
        ("temperature", [], "float32"),
        ("use_mmap", 1, "boolean"),
        ("stop", "a", "array"),
        ("stop", [1], "an array of strings"),
    ],
)
def test_a_wrong_type_is_named_as_ollama_names_it(name: str, value: Any, kind: str) -> None:
    with pytest.raises(BadRequestError, match=f'option "{name}" must be of type {kind}'):
        parse_options({name: value})


@pytest.mark.parametrize(("name", "value"), [("num_keep", -2), ("repeat_penalty", 0)])
def test_what_the_engine_does_not_take_is_refused_before_it(name: str, value: float) -> None:
    with pytest.raises(BadRequestError, match=f'option "{name}" is out of range'):
        parse_options({name: value})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30, 10**400, -(10**400)])
def test_numbers_must_be_finite_and_fit_the_engine(value: float) -> None:
    with pytest.raises(BadRequestError, match="out of range"):
        parse_options({"num_ctx": value})


def test_a_large_seed_is_cut_to_what_the_engine_takes() -> None:
    assert parse_options({"seed": (1 << 40) + 5}).seed == 5
    assert parse_options({"seed": -7}).seed == -1


def test_later_options_outrank_earlier_ones() -> None:
    merged = merge_options(DEFAULTS, Options(top_k=1, seed=3), Options(top_k=2))
    assert (merged.top_k, merged.seed, merged.top_p) == (2, 3, 0.9)


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        (Options(num_predict=-1), "n_predict", 1000),
        (Options(num_predict=5), "n_predict", 5),
        (Options(num_predict=10**9), "n_predict", 1000),
        (Options(), "seed", 7),
        (Options(seed=-1), "seed", 7),
        (Options(seed=3), "seed", 3),
        (Options(repeat_last_n=-1), "repeat_last_n", 100),
        (Options(repeat_last_n=5), "repeat_last_n", 5),
        (Options(repeat_last_n=LARGEST), "repeat_last_n", 100),
        (Options(stop=("x",)), "stop", ["x"]),
    ],
)
def test_options_become_the_engines_fields(options: Options, field: str, value: Any) -> None:
    assert sampling_fields(options, context=100, seed=7)[field] == value
