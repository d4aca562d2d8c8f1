from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from ayllu.runner.fit import ModelFacts, choose_context, choose_parallel, footprint, serves
from ayllu.runner.options import LoadOptions
from ayllu.types import Options

LOADED = LoadOptions(model=Path("m"), context=512, parallel=4, batch=128)


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
        ({"adapters": (Path("a"),)}, Options(), False),
        ({"parallel": 1}, Options(), True),
    ],
)
def test_a_loaded_model_serves_what_asks_for_nothing_else(
    changes: dict[str, object], options: Options, fits: bool
) -> None:
    assert serves(LOADED, structs.replace(LOADED, **changes), options) is fits
