"""Rows become examples, some at a time, and what was made of them is taken up."""

from __future__ import annotations

import asyncio
import hashlib
from array import array
from collections.abc import Sequence
from itertools import compress

from msgspec import Struct, field, structs

from ayllu.errors import BadRequestError
from ayllu.runner.place import Lease
from ayllu.tune.data import MOST_BAD
from ayllu.tune.render import Manner, Rendered, Renderer
from ayllu.tune.rows import BadRow, Chat, Row, RowError, Text
from ayllu.tune.tokens import Cutter, Example, tokenize_all, tokenize_chats, tokenize_rests

LEAST = 2
"""Examples that there have to be."""


_REASON = 300
"""Characters of a reason: the engine's may have a whole template in them."""


class Part(Struct, frozen=True):
    """A part of a document with its tokens."""

    part: Text
    ids: list[int]


class Taught(Struct, frozen=True):
    """The examples of a conversation, and whether thoughts are not in there."""

    examples: list[Example]
    unthought: bool


Result = Taught | Part | BadRow


async def make_examples(
    lease: Lease, renderer: Renderer, manner: Manner, rows: Sequence[Row]
) -> list[Result]:
    """A conversation's examples, the tokens of a document's part, or why there are none.

    Raises OtherwiseError (`skeletons`).
    """
    rendered = await asyncio.gather(*(_render(lease, renderer, manner, row) for row in rows))
    chats = [chat for one in rendered if isinstance(one, list) for chat in one]
    examples = iter(await tokenize_chats(lease.client, manner, chats))
    texts = [row.example for row in rows if isinstance(row.example, Text)]
    starts = iter(await tokenize_all(lease.client, [t.text for t in texts if t.begins]))
    rests = iter(await tokenize_rests(lease.client, [t.text for t in texts if not t.begins]))
    found: list[Result] = []
    for one in rendered:
        if isinstance(one, Text):
            found.append(Part(one, next(starts if one.begins else rests)))
        elif isinstance(one, list):
            taught = [example for _ in one for example in next(examples)]
            found.append(Taught(taught, any(turn.lost for chat in one for turn in chat)))
        else:
            found.append(one)
    return found


async def _render(
    lease: Lease, renderer: Renderer, manner: Manner, row: Row
) -> list[Rendered] | BadRow | Text:
    if not isinstance(row.example, Chat):
        return row.example
    try:
        return await renderer.render(lease, manner, row.example)
    except (RowError, BadRequestError) as error:
        return BadRow(row.file, row.line, " ".join(str(error).split())[:_REASON])


class Made(Struct):
    """The examples so far, each with the row that it is of, and the rows without any."""

    examples: list[Example] = field(default_factory=list)
    rows: list[tuple[int, Row]] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    bad_count: int = 0
    truncated: int = 0
    dropped: int = 0
    unthought: int = 0
    count: int = 0

    def add(self, row: Row, made: Result, cutter: Cutter) -> None:
        """Take up what was made of a row. Each piece of a document stands for itself."""
        if isinstance(made, BadRow):
            self.bad_count += 1
            if len(self.bad) < MOST_BAD:
                self.bad.append(made)
            return
        self.count += 1
        origin = structs.replace(row, example=Text(""))  # the tokens are enough
        is_part = isinstance(made, Part)
        found = cutter.cut(made.part, made.ids) if isinstance(made, Part) else made.examples
        self.unthought += isinstance(made, Taught) and made.unthought
        for example in found:
            self.examples.append(example)
            self.rows.append((self.count, origin))
            self.count += is_part

    def truncate(self, context: int) -> None:
        """Cut what is longer than the context at its end."""
        kept = []
        for example, row in zip(self.examples, self.rows, strict=True):
            cut = Example(example.tokens[:context], example.trained[:context])
            if 1 not in cut.trained:
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
            (number, hashlib.blake2b(one.tokens.tobytes() + one.trained).digest())
            for one, (number, _) in zip(self.examples, self.rows, strict=True)
        ]

    def answers(self) -> int:
        """How many different sequences of tokens there are to learn."""
        learned = (array("i", compress(one.tokens, one.trained)) for one in self.examples)
        return len({tokens.tobytes() for tokens in learned})
