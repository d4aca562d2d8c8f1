from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayllu.gotime import FOREVER
from ayllu.runner.pace import LEAST_SECONDS, PATIENCE, Pace, longest_silence

GENEROUS = 120.0


def pace(*gaps: float) -> Pace:
    """A stream that was heard first, and then after each of the gaps."""
    made = Pace()
    for gap in (60.0, *gaps):
        made.heard(gap)
    return made


@pytest.mark.parametrize(
    ("paces", "seconds"),
    [
        ([Pace()], GENEROUS),
        ([pace()], GENEROUS),
        ([pace(0.01)], LEAST_SECONDS),
        ([pace(2.0)], 10.0),
        ([pace(0.01, 0.01), pace(2.0)], 10.0),
        ([pace(0.01, 0.01), pace()], GENEROUS),
        ([pace(50.0)], GENEROUS),
        ([pace(*[0.01] * 100, 9.0)], LEAST_SECONDS),
        ([pace(*[0.01] * 50, 9.0)], 45.0),
        ([pace(9.0, *[0.01] * 200)], LEAST_SECONDS),
    ],
)
def test_the_slowest_stream_is_the_measure(paces: list[Pace], seconds: float) -> None:
    assert longest_silence(paces, GENEROUS) == seconds


def test_a_limit_that_is_none_stays_none_until_there_is_a_rhythm() -> None:
    assert longest_silence([pace()], FOREVER) == FOREVER
    assert longest_silence([pace(0.1)], FOREVER) == LEAST_SECONDS


@given(st.lists(st.floats(0, 30), min_size=1, max_size=300))
def test_a_gap_as_usual_is_never_too_long(gaps: list[float]) -> None:
    seconds = longest_silence([pace(*gaps)], math.inf)
    assert seconds >= LEAST_SECONDS
    assert seconds >= PATIENCE * sorted(gaps[-128:])[len(gaps[-128:]) * 98 // 100 - 1]
