from __future__ import annotations

from pathlib import Path

import pytest
from gguf_maker import make_successor_model
from gguf_writer import write_gguf
from msgspec import structs
from projector_maker import make_projector

from ayllu.config import load_settings
from ayllu.models.model import Model
from ayllu.models.name import parse_name
from ayllu.runner.fit import (
    CPU_BATCH,
    MIN_MEDIA_CONTEXT,
    ModelFacts,
    choose_context,
    choose_parallel,
    footprint,
    load_facts,
    model_facts,
    plan_load,
    serves,
)
from ayllu.runner.options import LoadOptions
from ayllu.types import Options

ADAPTERS = (Path("a"), Path("b"))
LOADED = LoadOptions(model=Path("m"), context=512, parallel=4, batch=128, adapters=ADAPTERS)


@pytest.mark.parametrize(
    ("asked", "trained", "context"),
    [(None, 8192, 4096), (None, 256, 256), (10**9, 8192, 8192), (0, 8192, 4), (-1, 0, 4),
     (10**6, 0, 10**6), (1000, 8192, 1000)],
)  # fmt: skip
def test_the_context_is_what_was_asked_within_what_was_trained(
    asked: int | None, trained: int, context: int
) -> None:
    assert choose_context(asked, 4096, trained) == context


@pytest.mark.parametrize(("available", "slots"), [(1000, 4), (500, 3), (400, 2), (300, 1), (10, 1)])
def test_slots_are_as_many_as_memory_holds_and_at_least_one(available: int, slots: int) -> None:
    assert choose_parallel(4, weights=100, kv_per_slot=100, available=available) == slots


def test_a_model_takes_its_weights_and_a_cache_per_slot() -> None:
    facts = ModelFacts(weights=1000, trained_context=0, kv_per_token=2, pools=False)
    assert footprint(facts, LOADED) == 1000 + 2 * 512 * 4


@pytest.mark.parametrize(
    ("changes", "options", "fits"),
    [
        ({}, Options(), True),
        ({"context": 4096}, Options(), True),
        ({"context": 4096}, Options(num_ctx=4096), False),
        ({"batch": 512}, Options(), True),
        ({"batch": 512}, Options(num_batch=512), False),
        ({"gpu_layers": -1}, Options(num_gpu=-1), True),
        ({"gpu_layers": 3}, Options(num_gpu=3), False),
        ({"threads": 3}, Options(num_thread=3), False),
        ({"adapters": (Path("a"),)}, Options(), True),
        ({"adapters": (Path("b"), Path("a"))}, Options(), True),
        ({"adapters": (Path("c"),)}, Options(), False),
        ({"parallel": 1}, Options(), True),
        ({"draft_tokens": 4}, Options(), True),
        ({"draft_tokens": 4}, Options(draft_num_predict=4), False),
        ({"draft": Path("d")}, Options(), False),
    ],
)
def test_a_loaded_model_serves_what_asks_for_nothing_else(
    changes: dict[str, object], options: Options, fits: bool
) -> None:
    assert serves(LOADED, structs.replace(LOADED, **changes), options) is fits


@pytest.mark.parametrize(
    ("asked", "embedding", "tokens"),
    [(None, False, 4), (9, False, 9), (-1, False, 0), (9, True, 0)],
)
def test_a_draft_is_loaded_for_answers_and_counts(
    tmp_path: Path,
    chat_gguf: Path,
    base_gguf: Path,
    asked: int | None,
    embedding: bool,
    tokens: int,
) -> None:
    model = Model(name=parse_name("m"), digest="d", path=chat_gguf, drafts=(base_gguf,))
    options = Options(draft_num_predict=asked)
    settings = load_settings({"AYLLU_HOME": str(tmp_path)})
    load = plan_load(model, options, settings, gpus=0, embedding=embedding)
    assert load.draft_tokens == tokens
    assert load.draft == (None if embedding else base_gguf)
    own, draft = (model_facts(path, "f16") for path in (chat_gguf, base_gguf))
    facts = load_facts(load)
    assert facts.weights == own.weights + (draft.weights if tokens else 0)
    assert facts.kv_per_token == own.kv_per_token + (draft.kv_per_token if tokens else 0)


def test_a_draft_of_another_width_is_left_out_beside_a_projector(
    tmp_path: Path, chat_gguf: Path, base_gguf: Path
) -> None:
    extra = {"llama.embedding_length": 64}
    narrow = make_successor_model(tmp_path / "narrow.gguf", extra=extra)
    make_projector(tmp_path / "p")
    settings = load_settings({"AYLLU_HOME": str(tmp_path)})
    for projectors in ((), (tmp_path / "p",)):
        for path in (base_gguf, narrow):
            model = Model(
                name=parse_name("m"),
                digest="d",
                path=chat_gguf,
                drafts=(path,),
                projectors=projectors,
            )
            load = plan_load(model, Options(), settings, gpus=0, embedding=False)
            assert load.draft == (None if projectors and path == narrow else path)


def test_a_model_that_sees_has_room_for_images(tmp_path: Path, endless_gguf: Path) -> None:
    settings = load_settings({"AYLLU_HOME": str(tmp_path)})
    kvs = {"general.architecture": "clip", "clip.projector_type": "gemma4v"}
    whole = write_gguf(tmp_path / "whole", kvs)
    model = Model(name=parse_name("m"), digest="d", path=endless_gguf)
    for projector, batch in ((make_projector(tmp_path / "p"), CPU_BATCH), (whole, 1120)):
        seeing = structs.replace(model, projectors=(projector,))
        load = plan_load(seeing, Options(num_ctx=100), settings, gpus=0, embedding=False)
        assert (load.context, load.batch) == (MIN_MEDIA_CONTEXT, batch)
        asked = Options(num_batch=64)
        assert plan_load(seeing, asked, settings, gpus=0, embedding=False).batch == 64
    blind = plan_load(model, Options(num_ctx=100), settings, gpus=0, embedding=False)
    assert (blind.context, blind.batch) == (100, CPU_BATCH)


def test_adapters_and_projectors_count(tmp_path: Path, chat_gguf: Path) -> None:
    for name in ("a", "p"):
        (tmp_path / name).write_bytes(bytes(1000))
    load = LoadOptions(
        model=chat_gguf, context=8, adapters=(tmp_path / "a",), projectors=(tmp_path / "p",)
    )
    assert load_facts(load).weights == chat_gguf.stat().st_size + 2000
