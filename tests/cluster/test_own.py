"""What of a machine's load is news to others; the rest of its record is tested by the server's."""

from __future__ import annotations

import pytest
from cluster_maker import GIB

from ayllu.cluster.own import better, is_news
from ayllu.cluster.record import Load, Speed

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
