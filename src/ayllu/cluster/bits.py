"""Sets of pieces as numbers: bit n is piece n.

A model of 70 GB is a number of 9 kB, and a union is one instruction for 64 pieces.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_

RARITIES = 4


def bits(found: Iterable[int]) -> int:
    """The set of some pieces."""
    return union(1 << number for number in found)


def union(sets: Iterable[int]) -> int:
    """All pieces of some sets."""
    return reduce(or_, sets, 0)


def lowest(pieces: int) -> int:
    """The first piece of a set that has one."""
    return (pieces & -pieces).bit_length() - 1


def span(start: int, end: int) -> int:
    """The pieces from `start` to before `end`."""
    return (1 << end) - (1 << start) if start < end else 0


def run(pieces: int, longest: int) -> int:
    """How many pieces there are from the first one without a gap, at most `longest`."""
    gaps = ~pieces
    return min(lowest(gaps), longest)


def rarities(maps: list[int]) -> list[int]:
    """The pieces that one machine has, that two have, ... and that RARITIES or more have."""
    at_least = [0] * (RARITIES + 1)
    for has in maps:
        for level in range(RARITIES, 1, -1):
            at_least[level] |= at_least[level - 1] & has
        at_least[1] |= has
    exact = [at_least[n] & ~at_least[n + 1] for n in range(1, RARITIES)]
    return [*exact, at_least[RARITIES]]
