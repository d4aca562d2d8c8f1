"""Why a model runs nowhere: how many bytes are missing, in words. Pure."""

from __future__ import annotations

from typing import NamedTuple

from ayllu.deploy.case import Case
from ayllu.deploy.split import Search
from ayllu.deploy.types import Machine
from ayllu.values import human_bytes

MOST_NAMES = 8


class Lack(NamedTuple):
    """Machines that come closest to a plan, with what each gives; so much more on any one would do.

    All sizes are in bytes.
    """

    rooms: list[tuple[Machine, int]]
    missing: int


def refusal(case: Case) -> str:
    """What a model lacks, as the end of a sentence that begins with its name."""
    rooms, missing = lacking(case)
    needed = sum(room for _, room in rooms) + missing
    given = [f"{one.name} {human_bytes(room)}" for one, room in rooms[1:MOST_NAMES]]
    given.insert(0, f"{rooms[0][0].name} gives {human_bytes(rooms[0][1])}")
    if rest := rooms[MOST_NAMES:]:
        given.append(f"{len(rest)} others {human_bytes(sum(room for _, room in rest))}")
    return f"needs {human_bytes(needed)}; {', '.join(given)}: {human_bytes(missing)} are missing"


def lacking(case: Case) -> Lack:
    """What a model that has no plan lacks, where that is the least: on one machine, or on several.

    Only those count that could take a layer.
    """
    search = Search(case)
    largest = max(case.machines, key=lambda one: (one.room, one.node == case.here))
    found = Lack([(largest, largest.room)], case.needs.whole - largest.room)
    for head in search.heads():
        blocks = search.most(head)
        missing = max(search.lacking(blocks, one) for one in blocks)
        if len(blocks) > 1 and missing < found.missing:
            rooms = [(head, head.room - head.vram)]
            rooms += [(block.machine, block.machine.worker_room) for block in blocks[1:]]
            found = Lack(rooms, missing)
    return found
