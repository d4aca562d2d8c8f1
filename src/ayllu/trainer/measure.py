"""What training will take, from a few real steps whose changes nobody keeps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch

from ayllu.trainer.examples import Example, Examples
from ayllu.trainer.loop import Trainer
from ayllu.trainer.memory import peak
from ayllu.trainer.network import Network, count
from ayllu.trainer.spec import Measured


def measure_steps(
    folder: Path, network: Network, examples: Examples, steps: int, threads: int
) -> Measured:
    """Do the heaviest step there is, for the peak, and `steps` ordinary ones, for the time.

    With more threads than one, one is tried as well: small models are quicker with it, since
    threads wait for each other after every layer.
    """
    trainer = Trainer(folder, network, examples)
    for step in _heaviest(trainer, examples.training):
        trainer.advance(step)
    chosen = [
        round(place * (trainer.course.steps - 1) / max(1, steps - 1)) for place in range(steps)
    ]
    rates = {number: _rate(trainer, chosen, number) for number in {1, threads}}
    best = max(rates, key=lambda number: rates[number])
    torch.set_num_threads(best)
    per_step = _tokens_per_step(trainer, examples.training)
    began = time.monotonic()
    if examples.held:
        trainer.evaluate()
    evaluation = time.monotonic() - began
    parameters, all_parameters = count(network)
    return Measured(
        steps=trainer.course.steps,
        seconds_per_step=per_step / rates[best],
        tokens_per_step=per_step,
        evaluation_seconds=evaluation,
        peak=peak(),
        parameters=parameters,
        all_parameters=all_parameters,
        device=network.device,
        dtype=network.dtype,
        threads=best,
    )


def _rate(trainer: Trainer, steps: Sequence[int], threads: int) -> float:
    """Tokens per second."""
    torch.set_num_threads(threads)
    rates = []
    for step in steps:
        began, before = time.monotonic(), trainer.tokens
        trainer.advance(step)
        rates.append((trainer.tokens - before) / (time.monotonic() - began))
    return median(rates)


def _heaviest(trainer: Trainer, training: Sequence[Example]) -> set[int]:
    """The steps that hold the batch of the most tokens, and of the most targets."""
    tokens = [len(example.tokens) for example in training]
    targets = [int(example.trained.sum()) for example in training]

    def weight(step: int, sizes: Sequence[int]) -> int:
        batches = [[sizes[one] for one in batch] for batch in trainer.course.batches(step)]
        return max(sum(batch) if packing else max(batch) * len(batch) for batch in batches)

    packing = trainer.settings.packing
    steps = range(trainer.course.steps)
    return {max(steps, key=lambda step: weight(step, sizes)) for sizes in (tokens, targets)}


def _tokens_per_step(trainer: Trainer, training: Sequence[Example]) -> float:
    course = trainer.course
    sizes = [len(example.tokens) for example in training]
    batches = (batch for step in range(course.steps) for batch in course.batches(step))
    return sum(sizes[one] for batch in batches for one in batch) / course.steps
