"""From rows to tokens: what a training reads, rendered and tokenized as the model is served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeVar

from msgspec import Struct

from ayllu.chat.prompt import model_template
from ayllu.chat.request import ChatRequest
from ayllu.chat.tokens import ask_beside
from ayllu.errors import BadRequestError
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.gguf.evaluate import LEAST_CONTEXT, within_context
from ayllu.gguf.tool import Step
from ayllu.models.describe import capabilities
from ayllu.models.files import draft, using
from ayllu.models.model import Model
from ayllu.runner.options import DEFAULTS, merge_options, parse_options
from ayllu.runner.place import Lease
from ayllu.runner.pool import Pool
from ayllu.trainer.spec import EXAMPLES, Openings, Settings
from ayllu.tune.data import Data, check_strict
from ayllu.tune.making import Made, Result, make_examples
from ayllu.tune.openings import find_openings
from ayllu.tune.render import Renderer
from ayllu.tune.rows import BadRow, Text
from ayllu.tune.skeletons import OtherwiseError, Skeletons
from ayllu.tune.split import hold_back
from ayllu.tune.thoughts import Thoughts
from ayllu.tune.tokens import Cutter, Example

T = TypeVar("T")

Work = Callable[..., Awaitable[list[Result]]]

CONTEXT = 2048
"""Tokens of an example at most, unless told otherwise: memory grows with them."""

SAMPLES = 4
"""Examples that are shown."""

_CHUNK = 32
"""Rows that are made ready together."""

_ASKERS = 8
"""Prompts that the engine is asked for at the same time."""


class Segment(Struct, frozen=True):
    """A part of an example: `tokens` of them, which all count for the loss, or none does."""

    text: str
    trained: bool
    tokens: int


class Sample(Struct, frozen=True):
    """An example as the model will see it, and the row that it is made of."""

    file: str
    line: int
    segments: tuple[Segment, ...]


class Prepared(Struct, frozen=True, kw_only=True):
    """What was written to `examples.npz`, and what was not.

    `examples` are all, `held` of them for validation. `bad` are the first of the `bad_count` rows
    that were left out. `truncated` examples lost their ends to `context`, `dropped` ones would have
    lost all that is to be learned. `unthought` ones have thoughts that the model's template leaves
    out. `tokens` are of all examples, `trained_tokens` those whose prediction counts, of which
    there are `answers` different sequences. `longest` is the longest example's count, `context` the
    one asked for, or the one that suits the data. `digest` is the data's.
    """

    examples: int
    held: int
    rows: int
    shapes: dict[str, int]
    bad: tuple[BadRow, ...]
    bad_count: int
    truncated: int
    dropped: int
    unthought: int
    tokens: int
    trained_tokens: int
    longest: int
    context: int
    digest: str
    samples: tuple[Sample, ...]
    answers: int = 0


async def prepare(
    pool: Pool,
    model: Model,
    data: Data,
    settings: Settings,
    folder: Path,
    *,
    system: str | None = None,
    strict: bool = False,
) -> AsyncGenerator[Step | Prepared]:
    """Render and tokenize the data as the model is served, and write `examples.npz` to a folder.

    Steps count rows; what was made comes last. Of the `settings`, `context`, `validation` and
    `seed` count. `system` is the system prompt of the model that is to be; None: that of the
    `model`. Raises BadRequestError where too little is left, StoreError where the disk is full.
    """
    most = choose_context(model, settings.context)
    engine, made = _Engine(pool, model), Made()
    for quick in (True, False):
        made = Made(bad=list(data.bad), bad_count=data.bad_count)
        skeletons = Skeletons(arch.chat_template(cached_header(model.path)) or "", quick=quick)
        system = model.system if system is None else system
        template = model_template(model, ChatRequest())
        limit = asyncio.Semaphore(_ASKERS)
        renderer = Renderer(model, system, template, skeletons, Thoughts(), limit)
        try:
            manner = await engine.ask(renderer.manner)
            openings = await engine.ask(partial(find_openings, renderer=renderer, manner=manner))
            work = partial(make_examples, renderer=renderer, manner=manner)
            cutter = Cutter(manner, most)
            async with aclosing(_make(engine, work, data, cutter, made)) as steps:
                async for done in steps:
                    yield Step(done, data.rows)
        except OtherwiseError:
            continue
        break
    if strict:
        check_strict(made.bad, made.bad_count)
    longest = max((len(example.tokens) for example in made.examples), default=0)
    context = settings.context or min(most, longest)
    made.truncate(context)
    made.check(context)
    held = hold_back(made.units(), settings.validation, settings.seed)
    if not openings.starts:
        firsts = {example.tokens[0] for example in made.examples}
        openings = Openings(tuple((first,) for first in sorted(firsts)))
    await asyncio.to_thread(_write, folder, made.examples, held, openings)
    samples = await engine.ask(lambda lease: _samples(lease, made))
    yield Prepared(
        examples=len(made.examples),
        held=sum(held),
        rows=data.rows,
        shapes=data.shapes,
        bad=tuple(made.bad),
        bad_count=made.bad_count,
        truncated=made.truncated,
        dropped=made.dropped,
        unthought=made.unthought,
        tokens=sum(len(example.tokens) for example in made.examples),
        trained_tokens=sum(example.trained.count(1) for example in made.examples),
        longest=max(len(example.tokens) for example in made.examples),
        context=context,
        digest=data.digest,
        samples=tuple(samples),
        answers=await asyncio.to_thread(made.answers),
    )


def choose_context(model: Model, asked: int = 0) -> int:
    """The most tokens of an example; `asked` is 0 where nobody says.

    Raises BadRequestError for a model that writes no text, or was made for less, and for too few.
    """
    if "completion" not in capabilities(model):
        raise BadRequestError("the model writes no text: only models that do can be trained")
    if 0 < asked < LEAST_CONTEXT:
        raise BadRequestError(f"a context of {asked} tokens is too short: {LEAST_CONTEXT} at least")
    return within_context(cached_header(model.path), asked, CONTEXT)


class _Engine(NamedTuple):
    """What is asked, loaded as it serves best."""

    pool: Pool
    model: Model

    async def ask(self, ask: Callable[[Lease], Awaitable[T]]) -> T:
        """What the loaded model tells."""
        options = merge_options(DEFAULTS, parse_options(self.model.params))
        found, _ = await ask_beside(self.pool, self.model, ask, options=options, keep_alive=None)
        return found


async def _make(
    engine: _Engine, work: Work, data: Data, cutter: Cutter, made: Made
) -> AsyncGenerator[int]:
    """Make the examples of all rows; yields how many rows are done. Raises OtherwiseError."""
    rows, done = data.read(), 0
    while chunk := await asyncio.to_thread(lambda: list(islice(rows, _CHUNK))):
        found = await engine.ask(partial(work, rows=chunk))
        for row, one in zip(chunk, found, strict=True):
            made.add(row, one, cutter)
            done += not isinstance(row.example, Text) or row.example.ends
        yield done


def _write(
    folder: Path, examples: Sequence[Example], held: Sequence[bool], openings: Openings
) -> None:
    """Write the file that the trainer reads (`trainer.spec`)."""
    import numpy as np  # noqa: PLC0415 - it takes 11 MB, and only who trains needs it

    with using(folder), draft(folder) as file:
        np.savez(
            file.file,
            tokens=np.concatenate([example.tokens for example in examples]),
            trained=np.frombuffer(b"".join(example.trained for example in examples), np.uint8),
            ends=np.cumsum([len(example.tokens) for example in examples], dtype=np.int64),
            held=np.array(held, np.uint8),
            starts=np.concatenate(openings.starts, dtype=np.int32),
            start_ends=np.cumsum([len(start) for start in openings.starts], dtype=np.int64),
            turn=np.array(openings.turn, np.int32),
            answer=np.array(openings.answer, np.int32),
            last=np.array(openings.ends, np.int32),
        )
        file.publish(folder / EXAMPLES)


async def _samples(lease: Lease, made: Made) -> list[Sample]:
    return [
        Sample(row.file, row.line, tuple([s async for s in _segments(lease, example)]))
        for example, (_, row) in islice(zip(made.examples, made.rows, strict=True), SAMPLES)
    ]


async def _segments(lease: Lease, example: Example) -> AsyncGenerator[Segment]:
    """An example's parts that count, and those that do not, as they alternate."""
    marked = zip(example.tokens, example.trained, strict=True)
    for trained, part in groupby(marked, itemgetter(1)):
        tokens = [token for token, _ in part]
        yield Segment(await lease.client.detokenize(tokens), bool(trained), len(tokens))
