"""How fast a model would be on some machines: pure arithmetic over what was measured of them.

A token passes all layers one after the other, so their times add up: each machine reads its layers
from memory, and each hop costs round trips. More machines give room for a model, never speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from ayllu.deploy.needs import FLOAT, sums
from ayllu.deploy.types import Demand, Machine, Way, Ways
from ayllu.gguf.layers import LayerSizes
from ayllu.runner.options import DRAFT_TOKENS

PROMPT = 512
"""Tokens of the prompt that a prediction is for; its KV cache is read for each token."""
ANSWER = 256
"""Tokens of an answer, where the time until its end counts."""
READS = 0.8
"""The share of the measured memory rate at which an engine reads weights. Measured: 0.69 to 0.81
with Q8_0 and tiles, where the reading is what takes the time (bench/split.py)."""
ROUND_TRIPS = 1.8
"""Per step and worker. Measured: 48.5 to 65.8 ms a token over two workers from 0 to 5 ms of round
trip is 1.6 to 2.1 of them; 15.6 to 31.3 ms with 4 ms is 1.95 (bench/plan.py has the table)."""
HOP_SECONDS = 0.0018
"""Per step and worker, whatever the way: 0.45 ms for the worker's own messages (11.78 ms a token
with one, 12.68 ms with three), and 1.4 ms for both ends of a tunnel with TLS."""
ENGINE_SECONDS = 0.0004
"""Per step: sampling, and the words about it (mini, 10 MB: 1308 tokens/s)."""
DRAFTING_GBS = 75.0
"""GB/s of a draft model that cores of one measured TFLOPS decode, however fast their memory is."""


class Kernels(NamedTuple):
    """What an engine reaches of the measured FP32 rate, for one token and for more of a batch.

    Measured on one thread (bench/split.py has a model to repeat it): one token of Q8_0, Q4_0 and
    Q4_K_M 0.09 to 0.2, a batch of 128 of Q8_0 and Q4_0 0.5 to 0.6.
    """

    token: float
    batch: float


PLAIN = Kernels(0.13, 0.55)
TILES = Kernels(0.45, 1.3)
"""With weights rearranged for AMX, of a whole model and on a head: a worker's never are. Measured:
0.42 and 1.55 with Q4_K_M, 0.58 and 2.3 with Q4_0, with Q8_0 as fast as the memory, 1.8 and (within
a server) 1.1."""
UNKNOWN_GBS, UNKNOWN_TFLOPS = 5.0, 0.05
"""Of a machine that has not been measured yet: a slow one."""
UNKNOWN_WAY = Way(rtt_ms=20.0, mbs=10.0)
"""A way that has not been measured yet: a bad one."""


class Prediction(Struct, frozen=True):
    """Tokens per second of one stream, and seconds to the first token of a prompt of PROMPT."""

    tokens_per_second: float
    first_token: float


class Block(NamedTuple):
    """Some layers on a machine: from `first` up to `end`, that one left out."""

    machine: Machine
    first: int
    end: int


class Pace:
    """What a model costs in time, for a demand, with these ways between machines."""

    def __init__(self, sizes: LayerSizes, demand: Demand, ways: Ways) -> None:
        self._demand = demand
        self._ways = ways
        self._layers = sizes.layers
        self._output = sizes.output
        self._row = sizes.width * FLOAT
        self._reads = sums(a + kv * PROMPT for a, kv in zip(sizes.active, sizes.kv, strict=True))
        self._operations = sums(sizes.operations)

    def predict(self, blocks: Sequence[Block]) -> Prediction:
        """Of a model whose layers lie so; the first block is on the machine that answers."""
        full, rest = divmod(PROMPT, max(self._demand.batch, 1))
        first = full * self._step(blocks, self._demand.batch)
        if rest:
            first += self._step(blocks, rest)
        return Prediction(1 / self.token(blocks), first)

    def token(self, blocks: Sequence[Block]) -> float:
        """Seconds for a token of an answer. With a draft model, a step yields several of them."""
        if not self._demand.draft:
            return self._step(blocks, 1)
        size = DRAFT_TOKENS * self._demand.draft
        step = self._step(blocks, DRAFT_TOKENS + 1)
        return (size / _bytes_per_second(blocks[0].machine) + step) / max(self._demand.accepted, 1)

    def rate(self, machine: Machine, *, answers: bool = False) -> float:
        """Layers per second that a machine works through for a token, if all were there."""
        block = Block(machine, 0, self._layers)
        seconds = self._work(block, 1, TILES if answers and machine.tiles else PLAIN)
        return self._layers / max(seconds, 1e-9)

    def hop(self, way: Way, tokens: int = 1) -> float:
        """Seconds that a worker costs per step, however fast it reads its layers."""
        there_and_back = 2 * tokens * self._row / (1e6 * (way.mbs or UNKNOWN_WAY.mbs))
        return HOP_SECONDS + ROUND_TRIPS * way.rtt_ms / 1000 + there_and_back

    def way(self, one: str, other: str) -> Way:
        """The way between two machines, by their ids; a bad one where it was not measured."""
        return self._ways.get(frozenset((one, other)), UNKNOWN_WAY)

    def sending(self, size: int, one: Machine, other: Machine) -> float:
        """Seconds that some bytes take from a machine to another one."""
        return size / (1e6 * (self.way(one.node, other.node).mbs or UNKNOWN_WAY.mbs))

    def _step(self, blocks: Sequence[Block], tokens: int) -> float:
        """Seconds of one pass of some tokens through all layers."""
        head, *workers = blocks
        seconds = ENGINE_SECONDS + self._output / _bytes_per_second(head.machine)
        seconds += self._work(head, tokens, TILES if head.machine.tiles else PLAIN)
        for one in workers:
            way = self.way(head.machine.node, one.machine.node)
            seconds += self._work(one, tokens, PLAIN) + self.hop(way, tokens)
        return seconds

    def _work(self, block: Block, tokens: int, kernels: Kernels) -> float:
        """Seconds that a machine takes for its layers."""
        machine, first, end = block
        reading = (self._reads[end] - self._reads[first]) / (1e9 * READS * _memory_gbs(machine))
        operations = self._operations[end] - self._operations[first]
        rate = 1e12 * (machine.tflops or UNKNOWN_TFLOPS)
        # What reads and what computes do so side by side: the slower one counts.
        one = max(reading, operations / (kernels.token * rate))
        return one + (tokens - 1) * operations / (kernels.batch * rate)


def _memory_gbs(machine: Machine) -> float:
    return machine.memory_gbs or UNKNOWN_GBS


def _bytes_per_second(machine: Machine) -> float:
    """What a machine decodes of a small model, or of what belongs to no layer."""
    cores = DRAFTING_GBS * (machine.tflops or UNKNOWN_TFLOPS)
    return 1e9 * min(_memory_gbs(machine), cores)
