from __future__ import annotations

import numpy as np
import pytest
from training import settings_of

from ayllu.trainer.examples import Example, Examples, Shares
from ayllu.trainer.noise import Noise
from ayllu.trainer.spec import Openings

START, TURN, MARK = (1, 2), (3, 4), 5
WORDS, ANSWER = range(100, 200), range(200, 240)


def example(*, shares: bool = False) -> Example:
    """A prompt of a hundred words with a mark in it, as a template has it, and its answer."""
    tokens = np.array([*START, *WORDS, MARK, *TURN, *ANSWER])
    logs = np.zeros((len(tokens), 1), np.float32)
    own = Shares(logs.astype(np.int32), logs) if shares else None
    return Example(tokens, tokens >= ANSWER.start, own)


def noise_of(*examples: Example, share: float | None = 0.3, seed: int = 0) -> Noise:
    openings = Openings((START,), TURN)
    settings = settings_of(noise=share, seed=seed)
    return Noise(Examples(examples, (), openings), settings, [MARK])


def test_a_share_of_the_words_are_other_words_and_nothing_else_is() -> None:
    one = example()
    noise = noise_of(one)
    changed = [noise.change(one, step, 0) for step in range(200)]
    is_word = np.isin(one.tokens, WORDS)
    for other in changed:
        assert (other.tokens[~is_word] == one.tokens[~is_word]).all()
        assert set(other.tokens[is_word].tolist()) <= set(WORDS)
        assert other.trained is one.trained
    words = np.stack([other.tokens[is_word] for other in changed])
    differs = words != one.tokens[is_word]
    assert differs.mean() == pytest.approx(0.3 * 0.99, abs=0.01)  # one in a hundred is itself
    assert (differs.mean(axis=0) > 0.15).all()
    assert set(words.ravel().tolist()) == set(WORDS)


def test_it_hangs_on_the_seed_the_step_and_the_place_alone() -> None:
    one = example()
    first = noise_of(one).change(one, 7, 3).tokens.tolist()
    noise = noise_of(one)
    noise.change(one, 1, 1)
    assert noise.change(one, 7, 3).tokens.tolist() == first
    assert noise.change(one, 8, 3).tokens.tolist() != first
    assert noise.change(one, 7, 4).tokens.tolist() != first
    assert noise_of(one, seed=1).change(one, 7, 3).tokens.tolist() != first


def test_the_bases_own_texts_stay_and_lend_no_words() -> None:
    one, own = example(), example(shares=True)
    own = own._replace(tokens=np.where(own.tokens == WORDS[0], 999, own.tokens))
    noise = noise_of(one, own)
    assert all(noise.change(own, step, 1) is own for step in range(20))
    assert not any(999 in noise.change(one, step, 0).tokens for step in range(200))


@pytest.mark.parametrize("share", [0.0, None])
def test_without_noise_all_stays(share: float | None) -> None:
    one = example()
    assert noise_of(one, share=share).change(one, 0, 0) is one


def test_a_text_without_a_prompt_stays() -> None:
    text = example()
    text = text._replace(trained=np.arange(len(text.tokens)) > 0)
    assert noise_of(text).change(text, 0, 0) is text
