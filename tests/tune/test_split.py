"""What is held back: the share, the seed, rows together, and nothing that is there twice."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayllu.tune.split import hold_back


def unlike(count: int) -> list[tuple[int, bytes]]:
    return [(number, b"%d" % number) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "share", "held"),
    [(2, 0.1, 0), (9, 0.05, 0), (10, 0.01, 1), (100, 0.1, 10), (100, 0.0, 0), (3, 1.0, 2)],
)
def test_the_share_is_held_back(count: int, share: float, held: int) -> None:
    assert sum(hold_back(unlike(count), share, 1)) == held


def test_the_same_seed_holds_back_the_same() -> None:
    first, again, other = (hold_back(unlike(200), 0.2, seed) for seed in (7, 7, 8))
    assert first == again != other


UNITS = st.lists(st.tuples(st.integers(0, 30), st.sampled_from([b"a", b"b", b"c", b"d", b"e"])))


@given(UNITS | st.integers(1, 60).map(unlike), st.floats(0, 1), st.integers(0, 9))
def test_what_is_held_back_is_not_trained_on(
    units: list[tuple[int, bytes]], share: float, seed: int
) -> None:
    held = hold_back(units, share, seed)
    assert len(held) == len(units)
    count = Counter(digest for _, digest in units)
    assert all(
        count[digest] == 1 for (_, digest), is_held in zip(units, held, strict=True) if is_held
    )
    rows = {
        is_held: {row for (row, _), one in zip(units, held, strict=True) if one is is_held}
        for is_held in (True, False)
    }
    assert not rows[True] & rows[False]
    assert not units or rows[False]
