"""What the answer of /api/tune/evaluate looks like, as far as the command line reads it."""

from __future__ import annotations

from msgspec import Struct

from ayllu.cli.wire import ProgressLine


class Figures(Struct, frozen=True, kw_only=True):
    """How well a model did: mean loss in nats over `tokens`, and how many answers were right."""

    model: str = ""
    perplexity: float = 0
    loss: float = 0
    tokens: int = 0
    answers: int = 0
    exact: int = 0
    matching: int = 0


class Sample(Struct, frozen=True):
    """A prompt's end, what the data has there, and what the two models say."""

    prompt: str
    expected: str
    base: str
    tuned: str


class Evaluated(ProgressLine, frozen=True, omit_defaults=True):
    """A line of the answer; what comes after the progress is in the last one alone."""

    examples: int = 0
    base: Figures = Figures()
    tuned: Figures = Figures()
    samples: tuple[Sample, ...] = ()
