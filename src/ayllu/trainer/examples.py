"""The tokens to train on, and in which order: a function of the settings and the seed alone.

So where training has come to is told by the number of steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ayllu.errors import BadRequestError
from ayllu.trainer.spec import Openings, Settings, example_count, step_count

WINDOW = 8
"""So many steps' examples are sorted by length among each other where they are padded."""


class Shares(NamedTuple):
    """What the base says may follow each token: the likeliest `tokens` (count, K).

    `logs` are the logarithms of their shares. What they lack of 1 is all others' together.
    """

    tokens: NDArray[np.int32]
    logs: NDArray[np.float32]


class Example(NamedTuple):
    """The tokens of an example, and which of them count: those that the model should say.

    With `shares` it is one that the base made up: what counts is how the base goes on anywhere.
    """

    tokens: NDArray[np.int64]
    trained: NDArray[np.bool_]
    shares: Shares | None = None


class Examples(NamedTuple):
    """What is trained on, what is held back for validation, and how the base's own may begin."""

    training: tuple[Example, ...]
    held: tuple[Example, ...]
    openings: Openings


def read_examples(path: Path, *, context: int, vocabulary: int) -> Examples:
    """The examples of `examples.npz`, cut to `context` tokens.

    Those of which nothing counts then are left out. Raises BadRequestError where none is left to
    train on, or a token is beyond the model's vocabulary.
    """
    with np.load(path, allow_pickle=False) as arrays:
        tokens, trained, ends, held = (
            arrays[name] for name in ("tokens", "trained", "ends", "held")
        )
        openings = _openings(arrays) if "starts" in arrays else Openings(((int(tokens[0]),),))
    if tokens.size and not 0 <= int(tokens.min()) <= int(tokens.max()) < vocabulary:
        raise BadRequestError(
            f"the examples hold tokens beyond the model's vocabulary of {vocabulary}"
        )
    groups: tuple[list[Example], list[Example]] = ([], [])
    start = 0
    for end, is_held in zip(ends.tolist(), held.tolist(), strict=True):
        stop = min(end, start + context)
        example = Example(tokens[start:stop].astype(np.int64), trained[start:stop] != 0)
        start = end
        if example.trained[1:].any():  # nothing stands before the first that it could follow from
            groups[bool(is_held)].append(example)
    if not groups[0]:
        raise BadRequestError("there is nothing to train on: no example has a part that counts")
    return Examples(tuple(groups[0]), tuple(groups[1]), openings)


def _openings(arrays: Mapping[str, NDArray[Any]]) -> Openings:
    starts = np.split(arrays["starts"], arrays["start_ends"][:-1])
    turn, answer, last = (arrays[name].tolist() for name in ("turn", "answer", "last"))
    every = tuple(tuple(start.tolist()) for start in starts)
    return Openings(every, tuple(turn), tuple(answer), tuple(last))


class Course:
    """Which examples each step takes; `steps` is how many there are."""

    def __init__(self, examples: Examples, settings: Settings) -> None:
        self._lengths = [len(example.tokens) for example in examples.training]
        self._settings = settings
        self._per_step = settings.batch * settings.accumulate
        self._total = example_count(settings, len(self._lengths))
        self.steps = step_count(settings, len(self._lengths))

    def batches(self, step: int) -> list[list[int]]:
        """The examples of a step, from 0, as they go through the model together."""
        chosen = self._chosen(step)
        size = self._settings.batch
        return [chosen[start : start + size] for start in range(0, len(chosen), size)]

    def epoch(self, step: int) -> float:
        """How often the data were gone through after so many steps."""
        return min(step * self._per_step, self._total) / len(self._lengths)

    def _chosen(self, step: int) -> list[int]:
        if self._settings.packing:
            return self._sequence(step * self._per_step, (step + 1) * self._per_step)
        first = step // WINDOW * WINDOW
        chosen = self._sequence(first * self._per_step, (first + WINDOW) * self._per_step)
        chosen.sort(key=lambda example: self._lengths[example])
        size = self._per_step
        parts = [chosen[start : start + size] for start in range(0, len(chosen), size)]
        if len(parts) < WINDOW:  # the last step is the one that may be smaller
            return parts[step - first]
        order = np.random.default_rng([self._settings.seed, first, 1]).permutation(WINDOW)
        return parts[order[step - first]]

    def _sequence(self, start: int, stop: int) -> list[int]:
        """A part of all epochs' examples behind one another, each epoch in an order of its own."""
        count = len(self._lengths)
        stop = min(stop, self._total)
        epochs = range(start // count, (stop - 1) // count + 1)
        seeds = [[self._settings.seed, epoch, 0] for epoch in epochs]
        orders = [np.random.default_rng(seed).permutation(count) for seed in seeds]
        skipped = start // count * count
        both: list[int] = np.concatenate(orders)[start - skipped : stop - skipped].tolist()
        return both
