"""Other words in the place of some of a prompt's: what is answered is not to hang on single ones.

Few examples teach more in this way where many questions have one answer. Sources: EDA (Wei and Zou,
2019, arXiv:1901.11196) and SwitchOut (Wang et al., 2018, arXiv:1808.07512); measured on mini by
`bench/tune.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ayllu.trainer.examples import Example, Examples
from ayllu.trainer.spec import Settings


class Noise:
    """A function of the settings, the step and the place alone, as the order of the examples is.

    A share of each prompt's words are others, drawn from all prompts. What the template says stays,
    and so do the vocabulary's `marks`, what is to be learned, and the base's own texts.
    """

    def __init__(self, examples: Examples, settings: Settings, marks: Iterable[int]) -> None:
        self._share, self._seed = settings.noise or 0.0, settings.seed
        openings = examples.openings
        said = (*openings.starts, openings.turn, openings.answer, openings.ends)
        self._kept = np.array([*marks, *chain.from_iterable(said)], np.int64)
        training = examples.training if self._share else ()
        parts = [example.tokens[self._words(example)] for example in training]
        self._pool = np.concatenate(parts) if parts else np.empty(0, np.int64)

    def change(self, example: Example, step: int, place: int) -> Example:
        """The example that a step takes from a place in the data."""
        if example.shares or not self._pool.size:
            return example
        random = np.random.default_rng([self._seed, step, place, 2])
        chosen = self._words(example) & (random.random(len(example.tokens)) < self._share)
        others = random.choice(self._pool, len(example.tokens))
        return example._replace(tokens=np.where(chosen, others, example.tokens))

    def _words(self, example: Example) -> NDArray[np.bool_]:
        if example.shares:
            return np.zeros(len(example.tokens), np.bool_)
        return ~(example.trained | np.isin(example.tokens, self._kept))
