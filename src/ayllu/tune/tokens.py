"""Rendered conversations and documents become tokens, each of which is to be learned or not."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

from msgspec import Struct

from ayllu.runner.client import RunnerClient
from ayllu.tune.render import Manner, Rendered
from ayllu.tune.rows import Text

_MOST_AT_ONCE = 1 << 20
"""Characters that are sent to the tokenizer together, more or less."""

_ANCHOR = "\n"
"""What goes before a text that is the rest of one: many tokenizers put a space before a start."""


class Example(Struct, frozen=True):
    """Tokens (int32), and which of them are to be learned (a byte for each, 0 or 1)."""

    tokens: array[int]
    trained: bytes


async def tokenize_chats(
    client: RunnerClient, manner: Manner, chats: Sequence[Rendered]
) -> list[list[Example]]:
    """The examples of each conversation: as many as it was rendered to, or one for each turn.

    The latter where the tokens of a prompt are not those that begin the whole.
    """
    ids = iter(
        await tokenize_all(client, [t for c in chats for s in c for t in (s.prompt, s.text)])
    )
    pairs = [[_Pair(next(ids), next(ids)) for _ in chat] for chat in chats]
    rests = [
        (pair, turn.text[len(turn.prompt) :])
        for chat, turns in zip(chats, pairs, strict=True)
        for turn, pair in zip(chat, turns, strict=True)
        if not _begins(pair.prompt, pair.text)
    ]
    answers = await tokenize_rests(client, [text for _, text in rests])
    for (pair, _), answer in zip(rests, answers, strict=True):
        pair.text = [*pair.prompt, *answer]
    return [_examples(turns, manner) for turns in pairs]


async def tokenize_rests(client: RunnerClient, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of texts that go on with others."""
    if not texts:
        return []
    anchor, *found = await tokenize_all(client, [_ANCHOR, *(_ANCHOR + text for text in texts)])
    merged = [text for text, ids in zip(texts, found, strict=True) if not _begins(anchor, ids)]
    alone = iter(await tokenize_all(client, merged))
    return [ids[len(anchor) :] if _begins(anchor, ids) else next(alone) for ids in found]


async def tokenize_all(client: RunnerClient, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of texts, some at a time; without a head."""
    found: list[list[int]] = []
    first = size = 0
    for number, text in enumerate(texts):
        size += len(text)
        if size > _MOST_AT_ONCE:
            found += await client.tokenize_all(texts[first : number + 1])
            first, size = number + 1, 0
    return found + (await client.tokenize_all(texts[first:]) if first < len(texts) else [])


class Cutter:
    """Cuts documents into examples of at most `context` tokens."""

    def __init__(self, manner: Manner, context: int) -> None:
        self._manner = manner
        self._size = max(context - len(manner.head), 1)
        self._held: list[int] = []

    def cut(self, part: Text, ids: Sequence[int]) -> Iterator[Example]:
        """The examples that are whole now that a part of a document has come."""
        self._held += ids
        if part.ends and self._manner.last is not None:
            self._held.append(self._manner.last)
        while len(self._held) >= self._size or (part.ends and self._held):
            piece, self._held = self._held[: self._size], self._held[self._size :]
            example = _example(self._manner, piece, [(0, len(piece))])
            if 1 in example.trained:
                yield example


class _Pair(Struct):
    """The tokens of a prompt, and those of it with its answer."""

    prompt: list[int]
    text: list[int]


def _examples(turns: Sequence[_Pair], manner: Manner) -> list[Example]:
    whole = turns[-1].text
    spans = [_span(turn, manner) for turn in turns]
    ended = all(
        end is not None and _begins(t.text, whole) for t, (_, end) in zip(turns, spans, strict=True)
    )
    if len(turns) > 1 and not ended:
        return [example for turn in turns for example in _examples([turn], manner)]
    if ended:
        closed = [(start, end) for start, end in spans if end is not None]
        return [_example(manner, whole[: closed[-1][1]], closed)]
    added = [] if manner.last is None else [manner.last]
    tokens = [*whole, *added]
    return [_example(manner, tokens, [(spans[0][0], len(tokens))])]


def _span(turn: _Pair, manner: Manner) -> tuple[int, int | None]:
    """Where an answer begins, and where it ends: behind its first token that ends answers."""
    start = len(turn.prompt)
    places = range(start, len(turn.text))
    return start, next((n + 1 for n in places if turn.text[n] in manner.ends), None)


def _example(manner: Manner, tokens: Sequence[int], spans: Sequence[tuple[int, int]]) -> Example:
    """Nothing can be learned of the first token, which nothing comes before."""
    ahead = len(manner.head)
    trained = bytearray(ahead + len(tokens))
    for start, end in spans:
        first, last = max(ahead + start, 1), ahead + end
        trained[first:last] = b"\1" * (last - first)
    return Example(array("i", [*manner.head, *tokens]), bytes(trained))


def _begins(start: Sequence[int], whole: Sequence[int]) -> bool:
    return list(whole[: len(start)]) == list(start)
