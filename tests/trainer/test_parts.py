"""Who computes how much of a step: pure arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayllu.trainer.parts import Pace, cut, divide

PACES = st.lists(st.builds(Pace, st.floats(0, 10), st.floats(1e-4, 1)), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("paces", "shares"),
    [
        ([Pace(0, 1)], [12]),
        ([Pace(0, 1), Pace(0, 1)], [6, 6]),
        ([Pace(0, 2), Pace(0, 1)], [4, 8]),
        ([Pace(0, 1), Pace(4, 1)], [8, 4]),
        ([Pace(0, 1), Pace(12, 0.001)], [12, 0]),
        ([Pace(0, 1), Pace(20, 1), Pace(0, 1)], [6, 0, 6]),
    ],
)
def test_all_are_done_at_the_same_time(paces: list[Pace], shares: list[float]) -> None:
    assert divide(12, paces) == pytest.approx(shares)


@given(st.floats(1, 1e6), PACES)
def test_nobody_is_done_later_than_another(tokens: float, paces: list[Pace]) -> None:
    shares = divide(tokens, paces)
    assert sum(shares) == pytest.approx(tokens)
    assert min(shares) >= 0
    ends = [pace.fixed + pace.per_token * share for pace, share in zip(paces, shares, strict=True)]
    busy = [end for end, share in zip(ends, shares, strict=True) if share]
    assert max(busy) == pytest.approx(min(busy))
    idle = [pace.fixed for pace, share in zip(paces, shares, strict=True) if not share]
    assert all(fixed >= max(busy) * (1 - 1e-9) for fixed in idle)


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=40),
    st.lists(st.floats(0, 100), min_size=1, max_size=5).filter(lambda wanted: sum(wanted) > 1),
    st.integers(1, 8),
)
def test_every_example_is_in_one_part_and_in_order(
    lengths: list[int], wanted: list[float], size: int
) -> None:
    places = list(range(len(lengths)))
    batches = [places[start : start + size] for start in range(0, len(places), size)]
    parts = cut(batches, lengths, wanted, size)
    assert len(parts) == len(wanted)
    assert [one for part in parts for batch in part for one in batch] == places
    assert all(0 < len(batch) <= size for part in parts for batch in part)
    factor = sum(lengths) / sum(wanted)
    for part, share in zip(parts, wanted, strict=True):
        tokens = sum(lengths[one] for batch in part for one in batch)
        assert abs(tokens - share * factor) <= max(lengths) + 1e-6
