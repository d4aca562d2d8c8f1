"""What a plan is made for: a model, what is asked of it, the machines. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ayllu.cluster.record import Stage
from ayllu.deploy.needs import Needs
from ayllu.deploy.predict import Block, Pace
from ayllu.deploy.types import Candidate, Demand, Kind, Machine, Ways
from ayllu.gguf.layers import LayerSizes


class Case(NamedTuple):
    """What is planned for, with the machines in the order of their ids."""

    sizes: LayerSizes
    slots: int
    needs: Needs
    pace: Pace
    machines: tuple[Machine, ...]
    here: str

    def candidate(
        self, kind: Kind, blocks: Sequence[Block], why: str, *, wait: float = 0.0
    ) -> Candidate:
        """A candidate whose layers lie so. An answer from another machine comes a way back."""
        head, *workers = blocks
        found = self.pace.predict(blocks)
        node = head.machine.node
        back = 0.0 if node == self.here else self.pace.way(self.here, node).rtt_ms / 1000
        stages = [_stage(head, self.needs.head_size(head.end))]
        stages += [_stage(one, self.needs.worker_size(one.first, one.end)) for one in workers]
        return Candidate(
            kind=kind,
            stages=tuple(stages),
            tokens_per_second=found.tokens_per_second,
            first_token=found.first_token + back,
            wait=wait,
            why=why,
        )


def make_case(
    sizes: LayerSizes, demand: Demand, machines: Iterable[Machine], ways: Ways, here: str
) -> Case:
    """The case of a model on some machines."""
    return Case(
        sizes=sizes,
        slots=max(demand.slots, 1),
        needs=Needs(sizes, demand),
        pace=Pace(sizes, demand, ways),
        machines=tuple(sorted(machines, key=lambda machine: machine.node)),
        here=here,
    )


def _stage(block: Block, size: int) -> Stage:
    return Stage(block.machine.node, block.first, block.end - block.first, size)
