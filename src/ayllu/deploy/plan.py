"""Which machines run a model: a pure function of what is known of the model and the machines.

A model that fits one machine is never split. Of the machines that it fits, the best is the one
whose answer would be complete first; of the ways to split it, the one with the quickest tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

from ayllu.deploy.case import Case, make_case
from ayllu.deploy.predict import Block
from ayllu.deploy.refusal import refusal
from ayllu.deploy.split import MOST_WORKERS, Search
from ayllu.deploy.types import Candidate, Demand, Machine, Plan, Ways
from ayllu.deploy.whole import Whole
from ayllu.errors import BadRequestError
from ayllu.gguf.layers import LayerSizes
from ayllu.values import human_bytes

MOST_CANDIDATES = 16


def make_plan(
    sizes: LayerSizes, demand: Demand, machines: Iterable[Machine], ways: Ways, *, here: str
) -> Plan:
    """The ways to run a model for a request that came to the machine `here`, the best first.

    Neither the machines' order nor the time changes the answer.
    """
    case = make_case(sizes, demand, machines, ways, here)
    if not any(machine.holds for machine in case.machines):
        return Plan((), "is on no machine of the ayllu")
    if fitting := Whole(case).candidates():
        return Plan(tuple(fitting[:MOST_CANDIDATES]))
    search = Search(case)
    found = (search.best(head) for head in search.heads())
    splits = sorted(filter(None, found), key=lambda split: split.rank)
    if not splits:
        return Plan((), refusal(case))
    why = f"no machine has room for {human_bytes(case.needs.whole)}"
    return Plan(tuple(case.candidate("split", split.blocks, why) for split in splits))


def pinned_plan(
    sizes: LayerSizes,
    demand: Demand,
    machines: Iterable[Machine],
    ways: Ways,
    *,
    nodes: Sequence[str],
    split: Sequence[int],
) -> Candidate:
    """A model on just these machines, by their ids, with so many layers on each; the first answers.

    Raises BadRequestError where that cannot be: which machine lacks how many bytes.
    """
    _check_numbers(sizes, nodes, split)
    case = make_case(sizes, demand, machines, ways, nodes[0])
    known = {machine.node: machine for machine in case.machines}
    if strangers := [node for node in nodes if node not in known]:
        raise BadRequestError(f"there is no machine {strangers[0]} in the ayllu")
    ends = list(accumulate(split))
    blocks = [
        Block(known[node], end - layers, end)
        for node, layers, end in zip(nodes, split, ends, strict=True)
    ]
    _check_machines(case, blocks)
    return case.candidate("split", blocks, "you chose so")


def _check_numbers(sizes: LayerSizes, nodes: Sequence[str], split: Sequence[int]) -> None:
    if len(nodes) != len(split) or len(set(nodes)) != len(nodes):
        raise BadRequestError("name each machine once, and as many numbers of layers")
    if not 1 < len(nodes) <= MOST_WORKERS + 1:
        raise BadRequestError(f"a model is split over 2 to {MOST_WORKERS + 1} machines")
    if split[0] < 0 or min(split[1:]) < 1:
        raise BadRequestError("each machine takes at least one layer, only the first may take none")
    if sum(split) != sizes.layers:
        said = " + ".join(map(str, split))
        raise BadRequestError(f"the model has {sizes.layers} layers, and {said} is {sum(split)}")


def _check_machines(case: Case, blocks: Sequence[Block]) -> None:
    """Raises BadRequestError with all that is wrong."""
    head, *workers = blocks
    wrong = []
    if not head.machine.holds:
        wrong.append(f"{head.machine.name} answers and has to have the model: pull it there")
    wrong += [
        f"{one.machine.name} takes no parts of other machines' models"
        for one in workers
        if not one.machine.may_work
    ]
    sizes = [case.needs.head_size(head.end)]
    sizes += [case.needs.worker_size(one.first, one.end) for one in workers]
    rooms = [head.machine.room - head.machine.vram, *(one.machine.worker_room for one in workers)]
    wrong += [
        f"{one.machine.name} gives {human_bytes(room)} and {one.end - one.first} layers take "
        f"{human_bytes(size)} there: {human_bytes(size - room)} are missing"
        for one, size, room in zip(blocks, sizes, rooms, strict=True)
        if size > room
    ]
    if wrong:
        raise BadRequestError("; ".join(wrong))
