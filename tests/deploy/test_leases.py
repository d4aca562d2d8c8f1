"""How much a lease may have: pure arithmetic, in bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayllu.deploy.leases import room_left
from ayllu.deploy.machines import HEADROOM, WORKER_SHARE
from ayllu.system import Memory

SIZES = st.integers(0, 1 << 40)


@pytest.mark.parametrize(
    ("ram", "limit", "taken", "room"),
    [
        (Memory(1000, 1000), None, [], 700),
        (Memory(1000, 500), None, [], 450),
        (Memory(1000, 1000), 300, [], 300),
        (Memory(1000, 1000), 0, [], 0),
        (Memory(1000, 600), None, [(400, 400)], 300),
        (Memory(1000, 900), None, [(400, 100)], 300),
        (Memory(1000, 500), None, [(400, 100)], 150),
        (Memory(1000, 1000), 500, [(400, 400)], 100),
        (Memory(1000, 1000), None, [(700, 0)], 0),
    ],
)
def test_the_least_of_all_limits_counts(
    ram: Memory, limit: int | None, taken: list[tuple[int, int]], room: int
) -> None:
    assert room_left(ram, limit, taken) == room


@given(SIZES, SIZES, st.none() | SIZES, st.lists(st.tuples(SIZES, SIZES), max_size=5))
def test_leases_together_never_take_more_than_there_is(
    total: int, free: int, limit: int | None, taken: list[tuple[int, int]]
) -> None:
    room = room_left(Memory(total, min(free, total)), limit, taken)
    given_in_all = sum(most for most, _ in taken) + room
    assert room >= 0
    if room:
        assert given_in_all <= WORKER_SHARE * total + 1
        assert room <= (1 - HEADROOM) * min(free, total)
        assert limit is None or given_in_all <= limit
