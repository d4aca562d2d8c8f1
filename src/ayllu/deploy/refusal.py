"""Why a model runs nowhere: how many bytes are missing, in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ayllu.deploy.case import Case, size_text
from ayllu.deploy.split import Search
from ayllu.deploy.types import Machine

MOST_NAMES = 8


def refusal(case: Case, search: Search, heads: Sequence[Machine]) -> str:
    """What a model lacks, as the end of a sentence that begins with its name.

    That much more on any one of the machines in the sentence would do.
    """
    best = max(case.machines, key=lambda one: one.room)
    rooms, missing = [(best, best.room)], case.needs.whole - best.room
    for head in heads:
        blocks = search.most(head, search.workers(head))
        lacking = max(search.lacking(blocks, one) for one in blocks)
        if len(blocks) > 1 and lacking < missing:
            missing = lacking
            rooms = [(head, head.room - head.vram)]
            rooms += [(block.machine, block.machine.worker_room) for block in blocks[1:]]
    needed = sum(room for _, room in rooms) + missing
    given = [f"{one.name} {size_text(room)}" for one, room in rooms]
    given[0] = f"{rooms[0][0].name} gives {size_text(rooms[0][1])}"
    if len(given) > MOST_NAMES:
        rest = sum(room for _, room in rooms[MOST_NAMES:])
        given[MOST_NAMES:] = [f"{len(given) - MOST_NAMES} others {size_text(rest)}"]
    return f"needs {size_text(needed)}; {', '.join(given)}: {size_text(missing)} are missing"
