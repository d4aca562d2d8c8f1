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
ROUND_TRIPS = 2.0
"""Per step and worker. Measured: 48.5 to 65.8 ms a token over two workers from 0 to 5 ms of round
trip is 1.6 to 2.1 of them; 15.6 to 31.3 ms with 4 ms is 1.95 (bench/plan.py has the table)."""
HOP_SECONDS = 0.0018
"""Per step and worker, whatever the way: 0.45 ms for the worker's own messages (11.78 ms a token
with one, 12.68 ms with three), and 1.4 ms for both ends of a tunnel with TLS."""
ENGINE_SECONDS = 0.0004
"""Per step: sampling, and the words about it (mini, 10 MB: 1308 tokens/s)."""
CORES_GBS = 75.0
"""GB/s of weights that cores of one measured TFLOPS decode, however fast their memory is: 72 to 80
with Q8_0 on one and two threads, 80 with Q4_K_M, 58 with Q4_0."""
PROMPT_SHARE = 0.7
"""What prompts reach of the measured FP32 rate: 0.6 with Q8_0 and Q4_0, 0.8 with Q4_K_M, where the
weights are not rearranged for the processor, as on workers."""
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
        drafting = DRAFT_TOKENS * self._demand.draft / _bytes_per_second(blocks[0].machine)
        step = self._step(blocks, DRAFT_TOKENS + 1)
        return (drafting + step) / max(self._demand.accepted, 1.0)

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
        head = blocks[0].machine
        seconds = ENGINE_SECONDS + self._output / _bytes_per_second(head)
        for machine, first, end in blocks:
            # What reads and what computes do so side by side: the slower one counts.
            reading = (self._reads[end] - self._reads[first]) / _bytes_per_second(machine)
            operations = tokens * (self._operations[end] - self._operations[first])
            tflops = PROMPT_SHARE * (machine.tflops or UNKNOWN_TFLOPS)
            seconds += max(reading, operations / (1e12 * tflops))
        hops = (self.hop(self.way(head.node, block.machine.node), tokens) for block in blocks[1:])
        return seconds + sum(hops)


def gbs_of(machine: Machine) -> float:
    """GB/s that a machine decodes: what its memory gives, or its cores where these do less."""
    measured = machine.memory_gbs or UNKNOWN_GBS
    return min(measured, CORES_GBS * machine.tflops) if machine.tflops else measured


def _bytes_per_second(machine: Machine) -> float:
    return 1e9 * gbs_of(machine)
