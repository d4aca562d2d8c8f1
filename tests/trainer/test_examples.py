from __future__ import annotations

from collections import Counter
from itertools import chain
from pathlib import Path

import pytest
from training import make_job, rows_of, settings_of

from ayllu.errors import BadRequestError
from ayllu.trainer.examples import Course, Examples, read_examples
from ayllu.trainer.spec import EXAMPLES


@pytest.fixture
def examples(tmp_path: Path) -> Examples:
    make_job(tmp_path, tmp_path / "model.gguf", rows_of(23), held=rows_of(2))
    return read_examples(tmp_path / EXAMPLES, context=128, vocabulary=512)


def taken(course: Course) -> list[int]:
    steps = chain.from_iterable(course.batches(step) for step in range(course.steps))
    return list(chain.from_iterable(steps))


@pytest.mark.parametrize("packing", [True, False])
def test_each_epoch_takes_every_example_once(examples: Examples, *, packing: bool) -> None:
    course = Course(examples, settings_of(epochs=3, batch=2, accumulate=2, packing=packing))
    assert course.steps == 18
    assert Counter(taken(course)) == dict.fromkeys(range(23), 3)
    assert course.epoch(18) == 3


def test_the_order_is_the_seeds_and_differs_from_epoch_to_epoch(examples: Examples) -> None:
    course = Course(examples, settings_of(epochs=2, batch=1))
    first, second = taken(course)[:23], taken(course)[23:]
    assert sorted(first) == sorted(second)
    assert first != second
    assert taken(Course(examples, settings_of(epochs=2, batch=1))) == first + second
    assert taken(Course(examples, settings_of(epochs=2, batch=1, seed=7))) != first + second


def test_padded_batches_hold_examples_of_like_lengths(examples: Examples) -> None:
    def padding(*, packing: bool) -> int:
        course = Course(examples, settings_of(epochs=4, batch=4, packing=packing))
        batches = chain.from_iterable(course.batches(step) for step in range(course.steps))
        lengths = [[len(examples.training[one].tokens) for one in batch] for batch in batches]
        return sum(max(batch) * len(batch) - sum(batch) for batch in lengths)

    assert padding(packing=False) < padding(packing=True) / 3


def test_steps_bound_the_epochs(examples: Examples) -> None:
    assert Course(examples, settings_of(epochs=3, batch=2, steps=5)).steps == 5
    assert Course(examples, settings_of(epochs=0.5, batch=2)).steps == 6


def test_examples_are_cut_to_the_context_and_left_out_where_nothing_counts(tmp_path: Path) -> None:
    rows = [([1, 2, 3, 4, 5], [0, 1, 1, 1, 1]), ([1, 2, 3, 4, 5], [0, 0, 0, 0, 1])]
    make_job(tmp_path, tmp_path / "model.gguf", rows)
    (only,) = read_examples(tmp_path / EXAMPLES, context=3, vocabulary=6).training
    assert only.tokens.tolist() == [1, 2, 3]
    with pytest.raises(BadRequestError, match="no example has a part that counts"):
        read_examples(tmp_path / EXAMPLES, context=1, vocabulary=6)
    with pytest.raises(BadRequestError, match="beyond the model's vocabulary of 5"):
        read_examples(tmp_path / EXAMPLES, context=3, vocabulary=5)
