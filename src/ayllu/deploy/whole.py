"""Machines that a model fits whole: which of them would have answered first. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from ayllu.deploy.case import Case
from ayllu.deploy.predict import ANSWER, Block
from ayllu.deploy.types import Candidate, Kind, Machine

WORTH = 0.9
"""What another machine's answer has to take of this one's time, to be asked in its place."""
LOAD_BYTES = 1e9
"""Bytes per second by which a model comes into memory, as a disk gives them (1.1 GB/s measured)."""


class Fitting(Struct, frozen=True):
    """A machine that the model fits; `queue` is the part of its wait that requests ahead cause."""

    machine: Machine
    candidate: Candidate
    queue: float
    seconds: float
    """Until an answer would be complete; another machine's have to be better by a good part."""


def whole(case: Case) -> list[Candidate]:
    """The machines that the model fits, the best first.

    Copies are thought of where the best of those that have it is busy, or none of them has room.
    """
    fitting = [one for one in case.machines if one.loaded or case.needs.whole <= one.room]
    held = _ranked(case, (one for one in fitting if one.holds))
    if held and not held[0].queue:
        return [one.candidate for one in held]
    ranked = _ranked(case, fitting)
    return [one.candidate for one in ranked]


def _ranked(case: Case, machines: Iterable[Machine]) -> list[Fitting]:
    found = [_fitting(case, machine) for machine in machines]
    return sorted(found, key=lambda one: (one.seconds, one.machine.node))


def _fitting(case: Case, machine: Machine) -> Fitting:
    blocks = (Block(machine, 0, case.sizes.layers),)
    found = case.pace.predict(blocks)
    answer = found.first_token + ANSWER / found.tokens_per_second
    queue = machine.busy // case.slots * answer
    load = 0.0 if machine.loaded else case.sizes.total / LOAD_BYTES
    copy = 0.0 if machine.holds else _copying(case, machine)
    is_here = machine.node == case.here
    kind = _kind(case, machine)
    why = _why(case, machine, copy=copy)
    candidate = case.candidate(kind, blocks, why, wait=queue + load + copy)
    seconds = candidate.wait + candidate.first_token + ANSWER / candidate.tokens_per_second
    return Fitting(machine, candidate, queue, seconds * WORTH if is_here else seconds)


def _kind(case: Case, machine: Machine) -> Kind:
    """A machine that would have to load what is loaded elsewhere makes one more of it."""
    if machine.node == case.here and machine.holds:
        return "local"
    elsewhere = any(one.loaded for one in case.machines)
    return "route" if machine.loaded or (machine.holds and not elsewhere) else "replicate"


def _copying(case: Case, machine: Machine) -> float:
    """Seconds until a machine has the model, by the best way to one that does."""
    holders = (one for one in case.machines if one.holds)
    return min(case.pace.sending(case.sizes.total, one, machine) for one in holders)


def _why(case: Case, machine: Machine, *, copy: float) -> str:
    if copy:
        return f"has room for it; the copy takes about {copy:.0f} s"
    place = "here" if machine.node == case.here else "there"
    busy = f", {machine.busy} requests ahead" if machine.busy >= case.slots else ""
    if machine.loaded:
        return f"in memory {place}{busy}"
    speed = f"memory of {machine.memory_gbs:.0f} GB/s" if machine.memory_gbs else "not measured yet"
    return f"fits {place}, {speed}{busy}"
