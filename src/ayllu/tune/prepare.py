"""From rows to tokens: what a training reads, rendered and tokenized as the model is served."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
from msgspec import Struct, field, structs

from ayllu.chat.tokens import ask_beside
from ayllu.errors import AylluError, BadRequestError
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.gguf.tool import Step
from ayllu.models.describe import capabilities
from ayllu.models.files import draft, using
from ayllu.models.model import Model
from ayllu.runner.options import DEFAULTS, merge_options, parse_options
from ayllu.runner.place import Lease
from ayllu.runner.pool import Pool
from ayllu.runner.process import EngineDiedError
from ayllu.trainer.spec import EXAMPLES, Settings
from ayllu.tune.data import MOST_BAD, Data, check_strict
from ayllu.tune.render import Manner, Rendered, Renderer
from ayllu.tune.rows import BadRow, Chat, Row, RowError, Text
from ayllu.tune.split import hold_back
from ayllu.tune.tokens import Cutter, Example, tokenize_all, tokenize_chats, tokenize_rests

T = TypeVar("T")

CONTEXT = 2048
"""Tokens of an example at most, unless told otherwise: memory grows with them."""

SAMPLES = 4
LEAST = 2
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
    lost all that is to be learned. `tokens` are of all examples, `trained_tokens` those whose
    prediction counts, `longest` is the longest example's count. `context` is the one asked for, or
    the one that suits the data. `digest` is the data's.
    """

    examples: int
    held: int
    rows: int
    shapes: dict[str, int]
    bad: tuple[BadRow, ...]
    bad_count: int
    truncated: int
    dropped: int
    tokens: int
    trained_tokens: int
    longest: int
    context: int
    digest: str
    samples: tuple[Sample, ...]


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
    maker = _Maker(pool, model, Renderer(model, model.system if system is None else system))
    manner = await maker.ask(maker.renderer.manner)
    made = _Made(bad=list(data.bad), bad_count=data.bad_count)
    cutter = Cutter(manner, most)
    limit = asyncio.Semaphore(_ASKERS)
    rows, done = data.read(), 0
    while chunk := await asyncio.to_thread(lambda: list(islice(rows, _CHUNK))):
        found = await maker.ask(lambda lease: maker.make(lease, manner, chunk, limit))
        for row, one in zip(chunk, found, strict=True):
            made.add(row, one, cutter)
            done += not isinstance(row.example, Text) or row.example.ends
        yield Step(done, data.rows)
    if strict:
        check_strict(made.bad, made.bad_count)
    longest = max((len(example.tokens) for example in made.examples), default=0)
    context = settings.context or min(most, longest)
    made.truncate(context)
    made.check(context)
    held = hold_back(made.units(), settings.validation, settings.seed)
    await asyncio.to_thread(_write, folder, made.examples, held)
    samples = await maker.ask(lambda lease: _samples(lease, made))
    yield Prepared(
        examples=len(made.examples),
        held=sum(held),
        rows=data.rows,
        shapes=data.shapes,
        bad=tuple(made.bad),
        bad_count=made.bad_count,
        truncated=made.truncated,
        dropped=made.dropped,
        tokens=sum(len(example.tokens) for example in made.examples),
        trained_tokens=sum(int(example.trained.sum()) for example in made.examples),
        longest=max(len(example.tokens) for example in made.examples),
        context=context,
        digest=data.digest,
        samples=tuple(samples),
    )


def choose_context(model: Model, asked: int = 0) -> int:
    """The most tokens of an example; `asked` is 0 where nobody says.

    Raises BadRequestError for a model that writes no text, or was made for less.
    """
    if "completion" not in capabilities(model):
        raise BadRequestError("the model writes no text: only models that do can be trained")
    trained = arch.context_length(cached_header(model.path))
    if trained and asked > trained:
        raise BadRequestError(
            f"a context of {asked} tokens is longer than the {trained} that the model was made for"
        )
    return asked or min(CONTEXT, trained or CONTEXT)


class _Part(Struct, frozen=True):
    """A part of a document with its tokens."""

    part: Text
    ids: list[int]


_Result = list[Example] | _Part | BadRow


class _Maker(Struct, frozen=True):
    """Has the engine make examples of rows."""

    pool: Pool
    model: Model
    renderer: Renderer

    async def ask(self, ask: Callable[[Lease], Awaitable[T]]) -> T:
        """What the loaded model tells."""
        options = merge_options(DEFAULTS, parse_options(self.model.params))
        found, _ = await ask_beside(self.pool, self.model, ask, options=options, keep_alive=None)
        return found

    async def make(
        self, lease: Lease, manner: Manner, rows: Sequence[Row], limit: asyncio.Semaphore
    ) -> list[_Result]:
        """A conversation's examples, the tokens of a document's part, or why there are none."""
        asked = (self._render(lease, manner, row, limit) for row in rows)
        rendered = await asyncio.gather(*asked)
        chats = [chat for one in rendered if isinstance(one, list) for chat in one]
        examples = iter(await tokenize_chats(lease.client, manner, chats))
        texts = [row.example for row in rows if isinstance(row.example, Text)]
        starts = iter(await tokenize_all(lease.client, [t.text for t in texts if t.begins]))
        rests = iter(await tokenize_rests(lease.client, [t.text for t in texts if not t.begins]))
        found: list[_Result] = []
        for row, one in zip(rows, rendered, strict=True):
            if isinstance(row.example, Text):
                ids = next(starts if row.example.begins else rests)
                found.append(_Part(row.example, ids))
            elif isinstance(one, list):
                found.append([example for _ in one for example in next(examples)])
            elif one is not None:
                found.append(one)
        return found

    async def _render(
        self, lease: Lease, manner: Manner, row: Row, limit: asyncio.Semaphore
    ) -> list[Rendered] | BadRow | None:
        if not isinstance(row.example, Chat):
            return None
        try:
            return await self.renderer.render(lease, manner, row.example, limit)
        except EngineDiedError:
            raise
        except (RowError, AylluError) as error:
            return BadRow(row.file, row.line, str(error))


class _Made(Struct):
    """The examples so far, each with the row that it is of, and the rows without any."""

    examples: list[Example] = field(default_factory=list)
    rows: list[tuple[int, Row]] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    bad_count: int = 0
    truncated: int = 0
    dropped: int = 0
    count: int = 0

    def add(self, row: Row, made: _Result, cutter: Cutter) -> None:
        """Take up what was made of a row. Each piece of a document stands for itself."""
        if isinstance(made, BadRow):
            self.bad_count += 1
            if len(self.bad) < MOST_BAD:
                self.bad.append(made)
            return
        self.count += 1
        origin = structs.replace(row, example=Text(""))  # the tokens are enough
        for example in cutter.cut(made.part, made.ids) if isinstance(made, _Part) else made:
            self.examples.append(example)
            self.rows.append((self.count, origin))
            self.count += isinstance(made, _Part)

    def truncate(self, context: int) -> None:
        """Cut what is longer than the context at its end."""
        kept = []
        for example, row in zip(self.examples, self.rows, strict=True):
            cut = Example(example.tokens[:context], example.trained[:context])
            if not cut.trained.any():
                self.dropped += 1
                continue
            self.truncated += len(cut.tokens) < len(example.tokens)
            kept.append((cut, row))
        self.examples = [example for example, _ in kept]
        self.rows = [row for _, row in kept]

    def check(self, context: int) -> None:
        """Raise BadRequestError where there is too little to train on."""
        if len(self.examples) >= LEAST:
            return
        if self.dropped:
            raise BadRequestError(
                f"{self.dropped:,} examples are so long that nothing to learn is within the "
                f"context of {context} tokens: give a longer context, or shorter examples"
            )
        if self.bad:
            raise BadRequestError(f"there is nothing to train on: {self.bad[0].sentence}")
        raise BadRequestError(
            "the data has only one example, which would be learned by heart: give more"
        )

    def units(self) -> list[tuple[int, bytes]]:
        """Each example's row and digest."""
        return [
            (number, hashlib.blake2b(one.tokens.tobytes() + one.trained.tobytes()).digest())
            for one, (number, _) in zip(self.examples, self.rows, strict=True)
        ]


def _write(folder: Path, examples: Sequence[Example], held: Sequence[bool]) -> None:
    """Write the file that the trainer reads (`trainer.spec`)."""
    with using(folder), draft(folder) as file:
        np.savez(
            file.file,
            tokens=np.concatenate([example.tokens for example in examples]),
            trained=np.concatenate([example.trained for example in examples]),
            ends=np.cumsum([len(example.tokens) for example in examples], dtype=np.int64),
            held=np.array(held, np.uint8),
        )
        file.publish(folder / EXAMPLES)


async def _samples(lease: Lease, made: _Made) -> list[Sample]:
    return [
        Sample(row.file, row.line, tuple([s async for s in _segments(lease, example)]))
        for example, (_, row) in islice(zip(made.examples, made.rows, strict=True), SAMPLES)
    ]


async def _segments(lease: Lease, example: Example) -> AsyncGenerator[Segment]:
    """An example's parts that count, and those that do not, as they alternate."""
    changes = np.flatnonzero(np.diff(example.trained)) + 1
    for tokens, trained in zip(
        np.split(example.tokens, changes), np.split(example.trained, changes), strict=True
    ):
        text = await lease.client.detokenize(tokens.tolist())
        yield Segment(text, bool(trained[0]), len(tokens))
