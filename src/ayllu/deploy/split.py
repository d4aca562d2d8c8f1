"""How a model's layers are shared out over several machines: a pure search.

The fastest machines are filled to their limit first, for a token passes all layers in turn: a slow
machine gets what is left, not a share by its memory. The machine that answers holds the first
layers, the embedding and the output.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations, islice

from msgspec import Struct

from ayllu.deploy.case import Case
from ayllu.deploy.predict import Block
from ayllu.deploy.types import Machine

FEW_WORKERS = 2
"""Sets of more are taken only where nothing else has room (llama.cpp #28487, not excluded)."""
MOST_WORKERS = 16
"""The engine's own limit (GGML_RPC_MAX_SERVERS)."""
MORE = 1.1
"""How much longer a token may take for one machine less on its way."""
TRIED = 8
"""Workers of which every set is tried: the fastest and the largest."""
FAST = 64
"""Workers whose way from a head is looked at."""
HEADS = 4


class Split(Struct, frozen=True):
    """Layers shared out: the first block is the head's. The least `rank` is the best."""

    blocks: tuple[Block, ...]
    rank: tuple[bool, float]


class Search:
    """Ways to split one model over some machines."""

    def __init__(self, case: Case) -> None:
        self._needs = case.needs
        self._pace = case.pace
        self._machines = case.machines
        self._here = case.here
        self._workers = [one for one in case.machines if one.may_work and self.worker_room(one) > 0]
        self._largest = sorted(self._workers, key=lambda one: -one.worker_room)
        self._fastest = sorted(self._workers, key=lambda one: -self._pace.rate(one))[:FAST]

    def heads(self) -> list[Machine]:
        """Machines that could answer: this one, then the fastest and those with the most room."""
        able = [one for one in self._machines if one.holds and self.head_room(one) >= 0]
        others = [one for one in able if one.node != self._here and one.may_work]
        fast = sorted(others, key=lambda one: -self._pace.rate(one, answers=True))
        large = sorted(others, key=lambda one: -self.head_room(one))
        mixed = (one for pair in zip(fast, large, strict=True) for one in pair)
        return _first((*(one for one in able if one.node == self._here), *mixed), HEADS)

    def best(self, head: Machine) -> Split | None:
        """The best way with this head; None where all machines together have no room."""
        tried = self._tried(head)
        found = None
        for count in range(1, len(tried) + 1):
            if found is not None and count > FEW_WORKERS:
                break
            for chosen in combinations(tried, count):
                blocks = self._filled(head, chosen)
                if blocks is not None:
                    found = _better(found, self._scored(blocks))
        if found is None:
            blocks = self._any_order(head, tried) or self.most(head)
            if blocks[-1].end == self._needs.count:
                found = self._scored(blocks)
        return found

    def most(self, head: Machine) -> tuple[Block, ...]:
        """As many layers as fit the head and the largest workers, a stretch of the first ones."""
        others = (one for one in self._largest if one.node != head.node)
        return self.in_order(head, islice(others, MOST_WORKERS))

    def in_order(self, head: Machine, workers: Iterable[Machine]) -> tuple[Block, ...]:
        """As many of the first layers as fit the head, then the workers in turn."""
        end = self._needs.forward(0, self.head_room(head))
        blocks = [Block(head, 0, end)]
        for worker in workers:
            stop = self._needs.forward(end, self.worker_room(worker))
            if stop > end:
                blocks.append(Block(worker, end, stop))
            end = stop
        return tuple(blocks)

    def lacking(self, blocks: Sequence[Block], one: Block) -> int:
        """Bytes that a machine would need more, to take whatever these machines leave."""
        head, *workers = blocks
        others = [block.machine for block in workers if block is not one]
        if one is not head:
            start = self.in_order(head.machine, others)[-1].end
            return self._needs.of(start, self._needs.count) - self.worker_room(one.machine)
        end = self._needs.count
        for worker in others:
            end = self._needs.back(end, self.worker_room(worker))
        return self._needs.of(0, end) - self.head_room(head.machine)

    def worker_room(self, machine: Machine) -> int:
        """What layers alone may take there."""
        return machine.worker_room - self._needs.worker

    def head_room(self, machine: Machine) -> int:
        """What layers alone may take on a machine that answers."""
        return machine.room - machine.vram - self._needs.head

    def _tried(self, head: Machine) -> list[Machine]:
        """The workers of which every set is tried: half of them the best for what they take."""

        def slowness(one: Machine) -> float:
            """Seconds for a share of all layers as of one, the way's part among them."""
            share = min(self.worker_room(one) / max(self._needs.layers, 1), 1.0)
            hop = self._pace.hop(self._pace.way(head.node, one.node))
            return self._needs.count / self._pace.rate(one) + hop / share

        fast = sorted((one for one in self._fastest if one.node != head.node), key=slowness)
        large = [one for one in self._largest[: TRIED + 1] if one.node != head.node]
        half = TRIED // 2
        return _first((*fast[:half], *large[:half], *fast[half:], *large[half:]), TRIED)

    def _have_room(self, head: Machine, workers: Iterable[Machine]) -> bool:
        """Whether the layers could fit at all, were they no lumps."""
        rooms = sum(map(self.worker_room, workers))
        return rooms + max(self.head_room(head), 0) >= self._needs.layers

    def _filled(self, head: Machine, workers: Sequence[Machine]) -> tuple[Block, ...] | None:
        """All layers on these machines, the fastest one full; None where one would have none.

        Who is faster than the head takes the last layers, and the head what these leave.
        """
        needs = self._needs
        if not self._have_room(head, workers):
            return None
        rates = {one.node: self._pace.rate(one) for one in workers}
        ranked = sorted(workers, key=lambda one: -rates[one.node])
        own = self._pace.rate(head, answers=True)
        end, last = needs.count, []
        for worker in (one for one in ranked if rates[one.node] > own):
            first = needs.back(end, self.worker_room(worker))
            last.append(Block(worker, first, end))
            end = first
        done = min(needs.forward(0, self.head_room(head)), end)
        blocks = [Block(head, 0, done)]
        for worker in ranked[len(last) :]:
            stop = min(needs.forward(done, self.worker_room(worker)), end)
            blocks.append(Block(worker, done, stop))
            done = stop
        blocks += reversed(last)
        is_whole = done == end and all(block.first < block.end for block in blocks[1:])
        return tuple(blocks) if is_whole else None

    def _any_order(self, head: Machine, workers: Sequence[Machine]) -> tuple[Block, ...] | None:
        """All layers in whatever order has room for them: layers need not be of one size."""
        if not self._have_room(head, workers):
            return None
        start = self._needs.forward(0, self.head_room(head))
        reached: dict[int, tuple[Block, ...]] = {0: (Block(head, 0, start),)}
        for chosen in range(1, 1 << len(workers)):
            for place, worker in enumerate(workers):
                if not chosen >> place & 1:
                    continue
                before = reached[chosen & ~(1 << place)]
                end = before[-1].end
                stop = self._needs.forward(end, self.worker_room(worker))
                blocks = (*before, Block(worker, end, stop)) if stop > end else before
                if chosen not in reached or stop > reached[chosen][-1].end:
                    reached[chosen] = blocks
            if reached[chosen][-1].end == self._needs.count:
                return reached[chosen]
        return None

    def _scored(self, blocks: tuple[Block, ...]) -> Split:
        workers = len(blocks) - 1
        seconds = self._pace.token(blocks)
        away = 0 if blocks[0].machine.node == self._here else 1
        return Split(blocks, (workers > FEW_WORKERS, seconds * MORE ** (workers + away)))


def _better(one: Split | None, other: Split) -> Split:
    return other if one is None or other.rank < one.rank else one


def _first(machines: Iterable[Machine], count: int) -> list[Machine]:
    """So many different ones, in their order."""
    return list({one.node: one for one in machines}.values())[:count]
