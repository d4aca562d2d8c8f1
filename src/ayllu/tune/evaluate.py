"""How much better a tuned model is than its base, on examples that neither was trained on.

Both read the same tokens: those of the tuned model's prompts. What counts is what training counts,
the assistant's parts; and the answers that each gives to the same prompts, greedily, are compared
with the data's.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from msgspec import Struct

from ayllu.errors import BadRequestError
from ayllu.gguf import arch, vocab
from ayllu.gguf.cache import cached_header
from ayllu.gguf.read import Header
from ayllu.gguf.score import Answer, Score, score
from ayllu.gguf.tool import Step
from ayllu.models.model import Model
from ayllu.models.name import short_name
from ayllu.models.tools import Tools, check_form
from ayllu.runner.fit import adapter_scales
from ayllu.runner.options import parse_options

_SPACE = re.compile(r"\s+")
_MOST = 700.0
"""The largest loss whose exponential is a number."""

_STEP = 256
"""Contexts are multiples of this."""


class Subject(Struct, frozen=True):
    """What is evaluated: a GGUF with adapters, each at its scale. `name` is what it is called."""

    name: str
    path: Path
    adapters: tuple[tuple[Path, float], ...]


class Examples(Struct, frozen=True):
    """A file of examples (trainer.spec), which of them are read, and the tokens of the longest."""

    path: Path
    which: tuple[int, ...]
    longest: int


class Sample(Struct, frozen=True):
    """A prompt's end, what the data has there, and what the two models say."""

    prompt: str
    expected: str
    base: str
    tuned: str


class Figures(Struct, frozen=True, kw_only=True):
    """How well a model did.

    `loss` is the mean of -log p in nats over `tokens`, `perplexity` its exponential. Of the
    `answers`, `exact` are the data's to the letter, spaces around them apart, and `matching` are so
    but for capitals and spaces.
    """

    model: str
    perplexity: float
    loss: float
    tokens: int
    answers: int
    exact: int
    matching: int


class Comparison(Struct, frozen=True):
    """What came of an evaluation; all samples are there."""

    base: Figures
    tuned: Figures
    samples: tuple[Sample, ...]


def subject(model: Model, *, bare: bool = False) -> Subject:
    """A model as it is served; `bare` leaves out its adapters. Raises BadRequestError."""
    header = cached_header(model.path)
    arch.check(header)
    if "completion" not in arch.capabilities(header):
        raise BadRequestError(f"{short_name(model.name)} writes no text: it cannot be evaluated")
    check_form(model.path)
    scales = adapter_scales(model, parse_options(model.params))
    adapters = () if bare else tuple(scales.items())
    return Subject(short_name(model.name), model.path, adapters)


def check_same_words(base: Subject, tuned: Subject) -> None:
    """Raise BadRequestError for models that cannot read the same tokens."""
    if why := vocab.mismatch(cached_header(base.path), cached_header(tuned.path)):
        raise BadRequestError(f"{base.name} cannot be compared with {tuned.name}: {why}")


def read_examples(path: Path, most: int, *, held: bool) -> Examples:
    """The first of a file's examples, at most so many; only those `held` back where that is asked.

    Raises BadRequestError where there are none.
    """
    import numpy as np  # noqa: PLC0415 - it takes 11 MB, and only who trains needs it

    try:
        with np.load(path, allow_pickle=False) as file:
            ends, marks = file["ends"], file["held"]
    except FileNotFoundError:
        raise BadRequestError("the job's examples are gone: give data to evaluate on") from None
    which = tuple(int(place) for place in range(len(ends)) if marks[place] or not held)[:most]
    if not which:
        raise BadRequestError("the job held no examples back: give data to evaluate on")
    sizes = np.diff(ends, prepend=0)
    return Examples(path, which, int(max(sizes[place] for place in which)))


async def compare(
    base: Subject,
    tuned: Subject,
    examples: Examples,
    *,
    answers: int,
    longest: int,
    tools: Tools,
) -> AsyncGenerator[tuple[str, Step] | Comparison]:
    """Evaluate two models, one after the other; yields whose turn it is with its step in tokens.

    Of the examples, the first `answers` are answered too, in at most `longest` tokens. The result
    comes last. Raises BadRequestError where nothing counts, BusyError without the memory,
    EngineError. Closing the generator ends the work.
    """
    scores: list[tuple[Score, ...]] = []
    headers = [cached_header(one.path) for one in (base, tuned)]
    room = min(_room(header, examples, longest if answers else 0) for header in headers)
    context = -(-(examples.longest + room) // _STEP) * _STEP
    async with tools.turn:
        for one, header in zip((base, tuned), headers, strict=True):
            tools.check_memory(header, context)
            work = score(
                one.path,
                one.adapters,
                examples.path,
                examples.which,
                answers=answers if room else 0,
                longest=room,
                context=context,
                gpus=tools.gpus,
            )
            async with aclosing(work) as items:
                async for item in items:
                    if isinstance(item, Step):
                        yield one.name, item
                    else:
                        scores.append(item)
    before, after = scores
    yield Comparison(_figures(base, before), _figures(tuned, after), _samples(before, after))


def _room(header: Header, examples: Examples, longest: int) -> int:
    """How long answers may be in the context that a model was made for. Raises BadRequestError."""
    trained = arch.context_length(header) or examples.longest + longest
    if examples.longest > trained:
        raise BadRequestError(
            f"the longest example has {examples.longest} tokens, and the model was made for "
            f"{trained}: give a `context` that cuts them"
        )
    return min(longest, trained - examples.longest)


def _figures(one: Subject, scores: Sequence[Score]) -> Figures:
    tokens = sum(item.count for item in scores)
    if not tokens:
        raise BadRequestError("none of the examples has a part of the assistant's")
    loss = sum(item.nll for item in scores) / tokens
    if not math.isfinite(loss):
        raise BadRequestError(f"the loss of {one.name} is no number: the model is damaged")
    answers = [answer for item in scores for answer in item.answers]
    return Figures(
        model=one.name,
        perplexity=math.exp(min(loss, _MOST)),
        loss=loss,
        tokens=tokens,
        answers=len(answers),
        exact=sum(answer.given.strip() == answer.expected.strip() for answer in answers),
        matching=sum(_plain(answer.given) == _plain(answer.expected) for answer in answers),
    )


def _plain(text: str) -> str:
    """A text without what is often of no account: capitals and the length of spaces."""
    return _SPACE.sub(" ", text).strip().casefold()


def _samples(base: Sequence[Score], tuned: Sequence[Score]) -> tuple[Sample, ...]:
    pairs = zip(_answers(base), _answers(tuned), strict=True)
    return tuple(Sample(b.prompt, b.expected, b.given, t.given) for b, t in pairs)


def _answers(scores: Sequence[Score]) -> list[Answer]:
    return [answer for item in scores for answer in item.answers]
