"""Drafting in a real engine, asked through its client: what is accepted, and the same text."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest
from gguf_maker import make_successor_model, walk

from ayllu.config import load_settings
from ayllu.models.model import Model
from ayllu.models.name import parse_name
from ayllu.runner.chunks import Chunk, EngineTimings
from ayllu.runner.engine import find_engine
from ayllu.runner.pool import Pool
from ayllu.types import Options


def complete(home: Path, model: Model, count: int, options: Options) -> tuple[str, EngineTimings]:
    """A greedy answer to `abc`, and what the engine says about it."""

    async def whole() -> tuple[str, EngineTimings]:
        settings = load_settings({"AYLLU_HOME": str(home)})
        pool = Pool(settings, find_engine(settings))
        body = {"prompt": "abc", "n_predict": count, "temperature": 0}
        chunks: list[Chunk] = []
        try:
            async with (
                pool.acquire(model, options) as lease,
                aclosing(lease.client.complete(body)) as answer,
            ):
                chunks = [chunk async for chunk in answer]
        finally:
            await pool.close()
        timings = chunks[-1].timings
        assert timings is not None
        return "".join(chunk.text for chunk in chunks), timings

    return asyncio.run(whole())


@pytest.mark.parametrize(
    ("successor", "accepted"),
    [
        ({}, "all"),
        ({"x": "q", "e": "c"}, "some"),
        (dict.fromkeys("abcdefghi", "z"), "some"),
    ],
)
def test_a_drafted_answer_is_the_same_whatever_the_draft_proposes(
    tmp_path_factory: pytest.TempPathFactory,
    base_gguf: Path,
    successor: dict[str, str],
    accepted: str,
) -> None:
    home = tmp_path_factory.mktemp("home")
    other = make_successor_model(home / "draft.gguf", successor=successor)
    model = Model(name=parse_name("m"), digest="d", path=base_gguf, drafts=(other,))
    text, timings = complete(home, model, 300, Options())
    assert text == walk(300, "d")
    assert timings.predicted_n == 300
    assert 0 < timings.draft_n_accepted <= timings.draft_n
    assert (timings.draft_n_accepted == timings.draft_n) is (accepted == "all")


def test_an_answer_without_drafting_counts_none(
    tmp_path_factory: pytest.TempPathFactory, base_gguf: Path
) -> None:
    home = tmp_path_factory.mktemp("home")
    model = Model(name=parse_name("m"), digest="d", path=base_gguf, drafts=(base_gguf,))
    for options in (Options(draft_num_predict=0), Options(draft_num_predict=10**6)):
        text, timings = complete(home, model, 100, options)
        assert text == walk(100, "d")
        assert bool(timings.draft_n) is bool(options.draft_num_predict)
