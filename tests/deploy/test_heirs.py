"""Which machine takes over what another one coordinated, and when."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from cluster_maker import node_id, record
from msgspec import structs

from ayllu.cluster.record import Deployed, HeldModel, Record
from ayllu.deploy.heirs import TAKEOVER_SECONDS, TOGETHER_SECONDS, Coordinators, Orphan, rendezvous

MODEL = HeldModel("big:latest", "ab" * 32, 1)
PIN = Deployed(id="d1", model="big:latest", digest=MODEL.digest, fence=7, pinned=True)


class House:
    """Machines as one of them sees them, second by second."""

    def __init__(self, me: str, *names: str) -> None:
        self.me = node_id(me)
        self.there = {name: machine(name) for name in (me, *names)}
        self.ours: set[str] = set()
        self._coordinators = Coordinators()
        self._seconds: Iterator[int] = count(1)

    def wait(self, seconds: float) -> list[Orphan]:
        """What is to be taken over within some time."""
        found = []
        for now in (next(self._seconds) for _ in range(int(seconds))):
            records = list(self.there.values())
            self._coordinators.hear(self.me, records, now)
            found += self._coordinators.orphans(self.me, records, now, self.ours)
        return found


def machine(name: str, *deployed: Deployed, models: tuple[HeldModel, ...] = (MODEL,)) -> Record:
    return record(name, models=models, deployments=deployed)


def heir(*names: str) -> str:
    """Which of some machines is the first to take PIN over."""
    nodes = {node_id(name): name for name in names}
    return nodes[rendezvous(PIN, [machine(name) for name in names])[0]]


def house(*others: str) -> House:
    """Seen by the heir among the machines other than `anta`, which coordinates PIN."""
    me = heir(*others)
    found = House(me, "anta", *(name for name in others if name != me))
    found.there["anta"] = machine("anta", PIN)
    assert found.wait(3) == []
    return found


def test_the_heir_takes_over_once_when_the_coordinator_is_away_for_long() -> None:
    seen = house("bari", "chaka")
    del seen.there["anta"]
    assert seen.wait(TAKEOVER_SECONDS) == []
    assert seen.wait(20) == [Orphan(node_id("anta"), PIN)]


def test_a_coordinator_that_is_back_in_time_keeps_it() -> None:
    seen = house("bari", "chaka")
    anta = seen.there.pop("anta")
    assert seen.wait(TAKEOVER_SECONDS - 1) == []
    seen.there["anta"] = anta
    assert seen.wait(20) == []


def second_heir() -> tuple[House, str]:
    """Seen by the one that comes after the heir, and the heir's name; `anta` is gone."""
    names = ["bari", "chaka", "dana"]
    first = heir(*names)
    names.remove(first)
    seen = House(heir(*names), first, "anta", *names)
    seen.there["anta"] = machine("anta", PIN)
    assert seen.wait(3) == []
    del seen.there["anta"]
    return seen, first


def test_all_others_leave_it_to_the_heir() -> None:
    seen, first = second_heir()
    assert seen.wait(TAKEOVER_SECONDS + 2) == []
    seen.there[first] = machine(first, structs.replace(PIN, fence=PIN.fence + 1))
    assert seen.wait(60) == []


def test_where_the_heir_does_nothing_the_next_one_takes_over() -> None:
    seen, _ = second_heir()
    assert seen.wait(2 * TAKEOVER_SECONDS) == []
    assert seen.wait(20) == [Orphan(node_id("anta"), PIN)]


def test_a_machine_that_leaves_the_ayllu_takes_nothing_with_it() -> None:
    seen = house("bari")
    seen.me, seen.there = "", {"": structs.replace(machine("bari"), node="")}
    assert seen.wait(20) == []


def test_a_machine_that_has_just_joined_counts_once() -> None:
    names = ("bari", "chaka")
    me = heir(*names)
    seen = House(me)
    seen.me, seen.there = "", {"": structs.replace(machine(me), node="")}
    seen.wait(1)
    seen.me, seen.there = node_id(me), {name: machine(name) for name in (me, *names, "dana")}
    seen.there["anta"] = machine("anta", PIN)
    seen.wait(1)
    del seen.there["anta"], seen.there["dana"]  # half of them are left
    assert len(seen.wait(20)) == 1


def test_what_was_let_go_is_no_orphan() -> None:
    seen = house("bari", "chaka")
    seen.there["anta"] = machine("anta")
    seen.wait(1)
    del seen.there["anta"]
    assert seen.wait(20) == []


def test_what_the_heir_has_already_it_does_not_take_again() -> None:
    seen = house("bari", "chaka")
    seen.ours.add(PIN.id)
    del seen.there["anta"]
    assert seen.wait(20) == []


@pytest.mark.parametrize("together", [0, 1, int(TOGETHER_SECONDS) - 1])
def test_a_machine_that_is_cut_off_takes_nothing_over(together: int) -> None:
    seen = house("bari", "chaka")
    del seen.there[next(name for name in seen.there if name not in {"anta", heir("bari", "chaka")})]
    assert seen.wait(together) == []
    anta = seen.there.pop("anta")
    assert seen.wait(60) == []
    seen.there["anta"] = anta
    assert seen.wait(20) == []


def test_of_two_machines_the_other_one_takes_over() -> None:
    seen = house("bari")
    del seen.there["anta"]
    assert len(seen.wait(20)) == 1


def test_a_machine_without_the_model_is_no_heir() -> None:
    without = [machine("bari", models=()), machine("chaka", models=())]
    assert rendezvous(PIN, without) == []
    assert rendezvous(PIN, [*without, machine("dana")]) == [node_id("dana")]
