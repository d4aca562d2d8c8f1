"""Who computes how much of a step, so that all are done at the same time. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

Batches = list[list[int]]
"""Examples by their numbers, as they go through the model together."""


class Pace(NamedTuple):
    """What a machine takes: `fixed` seconds however little it computes, and those for a token."""

    fixed: float
    per_token: float


def divide(tokens: float, paces: Sequence[Pace]) -> list[float]:
    """How many tokens each machine computes for all of them to be done at the same time.

    Nothing for one whose fixed seconds alone are longer than that.
    """
    order = sorted(range(len(paces)), key=lambda place: paces[place].fixed)
    rate = work = end = 0.0
    for place in order:
        pace = paces[place]
        if rate and pace.fixed >= end:
            break
        rate += 1 / pace.per_token
        work += pace.fixed / pace.per_token
        end = (tokens + work) / rate
    return [max(0.0, (end - pace.fixed) / pace.per_token) for pace in paces]


def cut(
    batches: Batches, lengths: Sequence[int], wanted: Sequence[float], size: int
) -> list[Batches]:
    """A step's examples in as many parts as are `wanted`, in order, each of about so many tokens.

    Those of a part go through the model `size` at a time.
    """
    chosen = [example for batch in batches for example in batch]
    ends = [0, *accumulate(lengths[example] for example in chosen)]
    factor = ends[-1] / sum(wanted)
    borders = [
        min(range(len(ends)), key=lambda place: abs(ends[place] - border * factor))
        for border in (0, *accumulate(wanted))
    ]
    return [
        [chosen[start : min(start + size, stop)] for start in range(first, stop, size)]
        for first, stop in pairwise(borders)
    ]
