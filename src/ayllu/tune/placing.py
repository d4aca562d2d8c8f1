"""Which machine of the ayllu would be done with a fine-tuning first, by what was measured. Pure.

How long a training takes in itself says nobody before some steps were taken; between machines the
floating point rates that they measured of themselves decide, and what has to be copied there first.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from ayllu.cluster.record import Record
from ayllu.deploy.machines import HEADROOM
from ayllu.deploy.predict import UNKNOWN_TFLOPS, UNKNOWN_WAY
from ayllu.deploy.types import Ways

ADAPTER, FULL = 4, 6
"""Floating point operations for each parameter and token: forward, back through the layers, and,
where all weights learn, what they learn. Hoffmann et al., "Training Compute-Optimal Large Language
Models", 2022, appendix F."""
REACHED = 0.3
"""What a training reaches of the rate that a machine measures."""
WORTH = 0.8
"""What another machine has to take of this one's time, to be given a job."""


class Task(Struct, frozen=True):
    """A fine-tuning of the model with this `digest`: sizes in bytes, `needs` of memory.

    `operations` are those for each parameter and token.
    """

    digest: str
    size: int
    parameters: int
    tokens: int
    data: int
    needs: int
    operations: int = ADAPTER


def seconds(task: Task, record: Record, ways: Ways, here: str) -> float | None:
    """Until a machine would be done with it, and with those before it; None where it cannot.

    This machine is taken to have room for what it is asked itself.
    """
    is_here = record.node == here
    if not record.trains or not (is_here or _may(task, record)):
        return None
    rate = (record.speed.tflops if record.speed else 0.0) or UNKNOWN_TFLOPS
    work = task.operations * task.parameters * task.tokens / (REACHED * rate * 1e12)
    return work * (1 + record.training) + (0.0 if is_here else _copying(task, record, ways, here))


def first_done(task: Task, records: Iterable[Record], ways: Ways, here: str) -> str:
    """The id of the machine that would be done first; `here` where none is worth the way."""
    found = {record.node: seconds(task, record, ways, here) for record in records}
    known = {node: value for node, value in found.items() if value is not None}
    if not known:
        return here
    best = min(known, key=lambda node: (known[node], node))
    return best if here not in known or known[best] < WORTH * known[here] else here


def _may(task: Task, record: Record) -> bool:
    """Whether a machine has room for it that its owner gives."""
    given = record.contribute
    room = (1 - HEADROOM) * record.load.ram_free
    return given.enabled and task.needs <= (min(room, given.ram) if given.ram else room)


def _copying(task: Task, record: Record, ways: Ways, here: str) -> float:
    """Seconds for the data, and for the model where the machine has it not."""
    way = ways.get(frozenset((here, record.node)), UNKNOWN_WAY)
    holds = any(held.digest == task.digest for held in record.models)
    size = task.data + (0 if holds else task.size)
    return size / (1e6 * (way.mbs or UNKNOWN_WAY.mbs))
