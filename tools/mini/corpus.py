"""The texts as token ids on disk, and their batches of about the same length."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from mini.mix import texts
from mini.net import CONTEXT
from mini.tokenizer import END, START, THINK

BATCH_TOKENS = 8192
BUCKET = 4096
"""Samples that are sorted by length together."""

QUIET = 0.1
"""The weight of tokens that the model does not have to write."""

Ids = NDArray[np.uint16]
Weights = NDArray[np.float32]


def write(
    path: Path, tokenizer: Tokenizer, *, seed: int, count: int, shares: dict[str, float]
) -> None:
    """Make the texts and store their ids and where each begins."""
    ids: list[Ids] = []
    chunk: list[str] = []
    for place, text in enumerate(texts(seed, count, shares), 1):
        chunk.append(text)
        if len(chunk) == BUCKET or place == count:
            encoded = tokenizer.encode_batch(chunk)
            ids += [np.array(item.ids[: CONTEXT + 1], np.uint16) for item in encoded]
            chunk = []
    starts = np.cumsum([0, *map(len, ids)]).astype(np.int64)
    np.savez(path, ids=np.concatenate(ids), starts=starts)


class Corpus:
    """The stored ids in batches of about the same length, shuffled by a seed."""

    def __init__(self, path: Path, tokenizer: Tokenizer, *, seed: int) -> None:
        stored = np.load(path)
        self.ids, self.starts = stored["ids"], stored["starts"]
        self.marker = Marker(tokenizer)
        self.groups = list(self._groups(random.Random(seed)))

    def batch(self, place: int) -> tuple[Ids, Weights]:
        """Token ids [batch, time] and the weight of each as a target, padded at the end with 0."""
        samples = [self.ids[self.starts[i] : self.starts[i + 1]] for i in self.groups[place]]
        longest = max(map(len, samples))
        ids = np.zeros((len(samples), longest), np.uint16)
        weights = np.zeros((len(samples), longest), np.float32)
        for row, sample in enumerate(samples):
            ids[row, : len(sample)] = sample
            weights[row, : len(sample)] = self.marker.weights(sample)
        return ids, weights

    def _groups(self, rng: random.Random) -> Iterator[list[int]]:
        lengths = np.diff(self.starts).tolist()
        order = list(range(len(lengths)))
        rng.shuffle(order)
        for first in range(0, len(order), BUCKET):
            groups: list[list[int]] = [[]]
            for i in sorted(order[first : first + BUCKET], key=lengths.__getitem__):
                if (len(groups[-1]) + 1) * lengths[i] > BATCH_TOKENS:
                    groups.append([])
                groups[-1].append(i)
            rng.shuffle(groups)
            yield from (group for group in groups if len(group) > 1)  # something for each worker


class Marker:
    """Which tokens count: those of an answer, not the mark that the template opens thinking by."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.start, self.end = tokenizer.token_to_id(START), tokenizer.token_to_id(END)
        self.think = tokenizer.token_to_id(THINK)
        self.middle = tokenizer.token_to_id("<|fim_middle|>")
        self.head = tuple(tokenizer.encode(f"{START}assistant\n").ids)

    def weights(self, ids: Ids) -> Weights:
        """The weight of each token as something to be said."""
        weights = np.full(len(ids), QUIET, np.float32)
        size = len(self.head)
        for place in np.flatnonzero(ids == self.start):
            first = int(place) + size
            if tuple(ids[place:first]) != self.head:
                continue
            ends = np.flatnonzero(ids[first:] == self.end)
            last = first + int(ends[0]) + 1 if len(ends) else len(ids)
            weights[first:last] = 1
            if first < len(ids) and ids[first] == self.think:
                weights[first : first + 2] = 0
        for place in np.flatnonzero(ids == self.middle):
            weights[int(place) + 1 :] = 1
        return weights
