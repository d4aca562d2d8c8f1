"""Machines that a model fits whole: which of them would have answered first. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import structs

from ayllu.deploy.case import Case
from ayllu.deploy.predict import ANSWER, Block
from ayllu.deploy.types import Candidate, Kind, Machine

WORTH = 0.9
"""What another machine's answer has to take of this one's time, to be asked in its place."""
MOST_SOURCES = 8
"""Machines that have the model whose ways to one that does not are looked at."""
LOAD_BYTES = 1e9
"""Bytes per second by which a model comes into memory, as a disk gives them (1.1 GB/s measured)."""


class Fitting(NamedTuple):
    """A machine that the model fits; `queue` is the part of its wait that requests ahead cause.

    `seconds` are those until an answer would be complete, a good part less for this machine.
    """

    candidate: Candidate
    queue: float
    seconds: float


class Whole:
    """A model that is to run on one machine."""

    def __init__(self, case: Case) -> None:
        holders = [one for one in case.machines if one.holds]
        self._case = case
        self._sources = holders[:MOST_SOURCES]
        self._is_loaded = any(one.loaded for one in holders)

    def candidates(self) -> list[Candidate]:
        """The machines that it fits, the best first.

        Copies are thought of where the best of those that have it is busy, or none of them has
        room.
        """
        needed = self._case.needs.whole
        fitting = [one for one in self._case.machines if one.loaded or needed <= one.room]
        found = self._ranked(one for one in fitting if one.holds)
        if not found or found[0].queue:
            found = self._ranked(fitting)
        return [one.candidate for one in found]

    def _ranked(self, machines: Iterable[Machine]) -> list[Fitting]:
        found = map(self._fitting, machines)
        return sorted(found, key=lambda one: (one.seconds, one.candidate.head))

    def _fitting(self, machine: Machine) -> Fitting:
        case, blocks = self._case, (Block(machine, 0, self._case.sizes.layers),)
        load = 0.0 if machine.loaded else case.sizes.total / LOAD_BYTES
        copy = 0.0 if machine.holds else self._copying(machine)
        one = case.candidate(self._kind(machine), blocks, self._why(machine, copy))
        answer = one.first_token + ANSWER / one.tokens_per_second
        queue = machine.busy // case.slots * answer
        one = structs.replace(one, wait=queue + load + copy)
        worth = WORTH if machine.node == case.here else 1.0
        return Fitting(one, queue, worth * (one.wait + answer))

    def _kind(self, machine: Machine) -> Kind:
        """Who has to load what is loaded elsewhere, or has it not at all, makes one more of it."""
        if machine.node == self._case.here and machine.holds:
            return "local"
        is_first = machine.holds and not self._is_loaded
        return "route" if machine.loaded or is_first else "replicate"

    def _copying(self, machine: Machine) -> float:
        """Seconds until a machine has the model, by the best way to one that does."""
        size, pace = self._case.sizes.total, self._case.pace
        return min(pace.sending(size, one, machine) for one in self._sources)

    def _why(self, machine: Machine, copy: float) -> str:
        if copy:
            return f"has room for it; the copy takes about {copy:.0f} s"
        place = "here" if machine.node == self._case.here else "there"
        busy = f", {machine.busy} requests ahead" if machine.busy >= self._case.slots else ""
        if machine.loaded:
            return f"in memory {place}{busy}"
        speed = machine.memory_gbs
        known = f"memory of {speed:.0f} GB/s" if speed else "not measured yet"
        return f"fits {place}, {known}{busy}"
