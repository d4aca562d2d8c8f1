"""A machine's own record: when it is kept, and what is news to others.

The rest of it is tested by the server's routes.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cluster_maker import GIB

from ayllu.cluster.own import OwnRecord, Parts, better, is_news
from ayllu.cluster.record import Load, Speed
from ayllu.config import load_settings
from ayllu.models.shelf import PackagedShelf
from ayllu.models.store import Store, StoredManifest
from ayllu.runner.engine import find_engine
from ayllu.runner.pool import Pool

LOAD = Load(ram_free=16 * GIB, disk_free=200 * GIB, running=1, waiting=0, cpu=0.2)


@pytest.mark.parametrize(
    ("new", "news"),
    [
        (LOAD, False),
        (Load(16 * GIB - (64 << 20), 200 * GIB - 5, 1, 0, 0.25), False),
        (Load(15 * GIB, 200 * GIB, 1, 0, 0.2), True),
        (Load(16 * GIB, 190 * GIB, 1, 0, 0.2), True),
        (Load(16 * GIB, 200 * GIB, 2, 0, 0.2), True),
        (Load(16 * GIB, 200 * GIB, 1, 1, 0.2), True),
        (Load(16 * GIB, 200 * GIB, 1, 0, 0.9), True),
    ],
)
def test_a_load_is_news_where_it_differs_by_a_good_part(new: Load, news: bool) -> None:
    assert is_news(LOAD, new, 32 * GIB) is news


def test_the_best_of_two_measurements_counts() -> None:
    first, second = Speed(0.2, 20, 900, 1.0), Speed(0.1, 25, 0, 2.0)
    assert better(None, first) == first
    assert better(first, second) == Speed(0.2, 25, 900, 2.0)


class CountedStore(Store):
    """A store that counts how often it is listed."""

    listed = 0

    def models(self) -> tuple[StoredManifest, ...]:
        self.listed += 1
        return super().models()


def test_nothing_is_looked_at_until_somebody_asks(tmp_path: Path) -> None:
    async def work() -> None:
        settings = load_settings({"AYLLU_HOME": str(tmp_path)})
        engine = find_engine(settings)
        store, pool = CountedStore(settings.models, [PackagedShelf()]), Pool(settings, engine)
        before = asyncio.all_tasks()
        own = OwnRecord(Parts(settings, engine, (), store, pool))
        await asyncio.sleep(0)
        assert (asyncio.all_tasks(), store.listed) == (before, 0)
        changed = asyncio.Event()
        own.subscribe(changed.set)
        async with asyncio.timeout(30):
            while not own.record.models:
                await changed.wait()
                changed.clear()
        assert "mini:latest" in [model.name for model in own.record.models]
        await own.close()
        assert asyncio.all_tasks() == before
        await pool.close()

    asyncio.run(work())
