"""Texts that the base model makes up, to be gone over beside the user's: so it stays what it was.

What it was first trained on nobody has here. So it writes texts of its own, and with each token the
shares that it gave the likeliest ones; training then counts how far the model goes from those (the
Kullback-Leibler divergence). That is nothing at first, and says of all likely tokens what a sample
says of one. Since the base tells of any text how it goes on, questions need not be as likely as it
finds them: rare ones are drawn more often than they would be, for they are forgotten first. That is
done by a high temperature among tokens that are not too unlikely (min-p: Nguyen et al.,
https://arxiv.org/abs/2407.01082). Answers are drawn as they come.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import DynamicCache

from ayllu.trainer.examples import Example, Examples, Shares
from ayllu.trainer.files import replacing
from ayllu.trainer.network import Network
from ayllu.trainer.spec import LIKELIEST, LONGEST_REPLAY, REPLAY, Openings, replay_count

HEATS = (4.0, 4.0, 4.0, 1.5)
"""Temperatures: of the first tokens of a question, of its others."""
LEAST = 0.005
"""There a token has at least this much of the likeliest one's share, or it is not drawn."""
LONG = 8
"""Of so many texts one goes on after its first answer."""

_ROWS = 64
_FEW = 8
"""So many texts are written together, and the last of so many are cut short: they cost too much."""


class _Made(NamedTuple):
    """Texts behind one another: `tokens`, and for each what may follow it (tokens, K).

    `lengths` are those of the texts. What follows the last token of each is of no use.
    """

    tokens: Any
    likeliest: Any
    logs: Any
    lengths: Any


def replays(folder: Path, network: Network, examples: Examples) -> list[Example]:
    """The base's own examples for a job, which are made once and kept in its folder.

    Raises OSError where they cannot be kept.
    """
    settings = network.settings
    count = replay_count(settings, len(examples.training))
    if not count:
        return []
    path = folder / REPLAY
    if not path.exists():
        length = min(LONGEST_REPLAY, network.model.config.max_position_embeddings)
        parts = [
            _sample(network, rows, length, settings.seed + number)
            for number, rows in enumerate(_rows(examples.openings, count))
        ]
        with replacing(path) as new, new.open("wb") as file:
            whole = _Made(*map(np.concatenate, zip(*parts, strict=True)))
            np.savez(file, **whole._asdict())
    with np.load(path, allow_pickle=False) as arrays:
        made = _Made(*(arrays[name] for name in _Made._fields))
    ends = np.cumsum(made.lengths)[:-1]
    pieces = (np.split(array, ends) for array in made[:3])
    return [
        Example(tokens.astype(np.int64), np.arange(len(tokens)) > 0, Shares(likeliest, logs))
        for tokens, likeliest, logs in zip(*pieces, strict=True)
    ]


class _Row:
    """A text in the making, which begins with `start`.

    `answers`: its first answer begins as the openings have it. `ends`: it ends after that answer.
    """

    def __init__(
        self, openings: Openings, start: Sequence[int], *, answers: bool, ends: bool
    ) -> None:
        self.tokens: list[int] = []
        self.asks = bool(openings.turn)
        self.ended = False
        self._openings = openings
        self._said = list(start)
        self._opened = len(start)
        self._answer = openings.answer if answers else ()
        self._ends = openings.ends if ends else ()

    @property
    def heat(self) -> float:
        """The temperature to draw the next token at."""
        drawn = len(self.tokens) - self._opened
        return HEATS[max(0, min(drawn, len(HEATS) - 1))] if self.asks else 1.0

    def add(self, drawn: int) -> int:
        """The next token: the one drawn, if none has to be."""
        token = self._said.pop(0) if self._said else drawn
        self.tokens.append(token)
        turn = self._openings.turn
        if self.asks and tuple(self.tokens[-len(turn) :]) == turn:
            self.asks, self._said = False, list(self._answer)
        elif not self.asks and token in self._ends:
            self.ended = True
        return token


def _rows(openings: Openings, count: int) -> Iterator[list[_Row]]:
    """The texts to be written, those that are alike together, for they end at about once."""
    starts = openings.starts
    rows: list[tuple[bool, int, _Row]] = []
    for place in range(count):
        number, first = divmod(place, len(starts))
        ends = number // 2 % LONG > 0
        row = _Row(openings, starts[first], answers=number % 2 == 1, ends=ends)
        rows.append((ends, first, row))
    rows.sort(key=lambda one: one[:2])
    for place in range(0, count, _ROWS):
        yield [row for _, _, row in rows[place : place + _ROWS]]


def _sample(network: Network, rows: Sequence[_Row], length: int, seed: int) -> _Made:
    """Let the model write texts of at most so many tokens."""
    model, count = network.model, min(LIKELIEST, network.model.config.vocab_size)
    random = torch.Generator(network.device).manual_seed(seed)
    likeliest = np.zeros((len(rows), length, count), np.int32)
    found = np.zeros(likeliest.shape, np.float32)
    cache, going = DynamicCache(config=model.config), list(range(len(rows)))
    drawn = [0] * len(rows)
    model.eval()
    with torch.no_grad(), network.computing(), network.base():
        for place in range(length):
            said = [rows[row].add(token) for row, token in zip(going, drawn, strict=True)]
            on = [number for number, row in enumerate(going) if not rows[row].ended]
            if len(on) <= len(rows) // _FEW:
                break
            if len(on) < len(going):
                cache.batch_select_indices(torch.tensor(on, device=network.device))
                going, said = [going[number] for number in on], [said[number] for number in on]
            tokens = torch.tensor(said, device=network.device)[:, None]
            logits = model(
                input_ids=tokens,
                position_ids=torch.full_like(tokens, place),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            logs = torch.log_softmax(logits.float(), dim=-1)
            best = logs.topk(count)
            likeliest[going, place] = best.indices.cpu().numpy()
            found[going, place] = best.values.cpu().numpy()
            heat = torch.tensor([[rows[row].heat] for row in going], device=network.device)
            far = (heat > 1) & (logs < best.values[:, :1] + math.log(LEAST))
            chance = -torch.empty_like(logs).exponential_(generator=random).log()
            drawn = ((logs / heat).masked_fill(far, -torch.inf) + chance).argmax(dim=-1).tolist()
    model.train()
    lengths = [len(row.tokens) for row in rows]
    written = np.arange(length) < np.array(lengths)[:, None]
    texts = np.concatenate([row.tokens for row in rows]).astype(np.int32)
    return _Made(texts, likeliest[written], found[written], np.array(lengths))
