"""Which examples are held back for validation, by a seed. Pure."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

LEAST = 10
"""Examples from which on one at least is held back."""


def hold_back(units: Sequence[tuple[int, bytes]], share: float, seed: int) -> list[bool]:
    """Whether each example is held back. A unit is its row and a digest of the example.

    Examples of one row stay together, for they have much in common. What is there twice is trained
    on: held back it would be known, or count twice.
    """
    wanted = round(share * len(units))
    if share > 0 and len(units) >= LEAST:
        wanted = max(wanted, 1)
    count = Counter(digest for _, digest in units)
    rows: dict[int, list[int]] = {}
    for place, (row, _) in enumerate(units):
        rows.setdefault(row, []).append(place)
    alone = [places for places in rows.values() if all(count[units[n][1]] == 1 for n in places)]
    random.Random(seed).shuffle(alone)  # noqa: S311 - to be drawn again the same way
    held = [False] * len(units)
    for places in alone[: len(rows) - 1]:
        if len(places) > wanted:
            continue
        for place in places:
            held[place] = True
        wanted -= len(places)
    return held
