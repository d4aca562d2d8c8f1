"""Machines and ways from records: what of a machine's memory a plan may use."""

from __future__ import annotations

from typing import Any

import pytest
from cluster_maker import GIB, link, node_id, record

from ayllu.cluster.record import Contribution, Gpu, Hardware, HeldModel, Load
from ayllu.deploy.machines import machine_of, ways_of
from ayllu.deploy.types import Machine, Way

ENGINE = "llama.cpp 0.5.0 0c1e570"
DIGEST = "ab" * 32
CPU = Hardware("Ryzen", 8, 16, ("avx2",), 32 * GIB, (), "Linux x86_64")
IDLE = Load(ram_free=20 * GIB, disk_free=GIB)


def seen(name: str = "desk", *, set_aside: bool = False, **changes: Any) -> Machine:
    """A machine without a graphics card and with nothing to do, as desk sees it."""
    usual = {"hardware": CPU, "load": IDLE, "models": ()}
    return machine_of(
        record(name, **usual | changes),
        digest=DIGEST,
        engine=ENGINE,
        here=node_id("desk"),
        set_aside=set_aside,
    )


def gib(part: float) -> Any:
    return pytest.approx(part * GIB, abs=1)


def test_a_plan_has_what_is_free_less_a_tenth() -> None:
    desk = seen()
    assert (desk.node, desk.name) == (node_id("desk"), "desk")
    assert (desk.room, desk.worker_room, desk.vram) == (gib(18), gib(18), 0)
    assert (desk.memory_gbs, desk.tflops) == (41.5, 0.75)
    assert (desk.holds, desk.loaded, desk.busy, desk.may_work) == (False, False, 0, True)
    assert seen(speed=None).memory_gbs == 0


def test_parts_of_other_machines_models_take_at_most_seven_tenths_of_the_memory() -> None:
    empty = seen(load=Load(ram_free=32 * GIB, disk_free=GIB))
    assert (empty.room, empty.worker_room) == (gib(28.8), gib(22.4))


def test_no_more_than_the_owner_gives() -> None:
    limited = seen(contribute=Contribution(ram=8 * GIB))
    assert (limited.room, limited.worker_room) == (8 * GIB, 8 * GIB)
    other = HeldModel("other:latest", "cd" * 32, 5 * GIB, loaded=True)
    idle = seen(contribute=Contribution(ram=8 * GIB), models=(other,))
    assert (idle.room, idle.worker_room) == (8 * GIB, 3 * GIB)
    working = Load(ram_free=20 * GIB, disk_free=GIB, running=1)
    busy = seen(contribute=Contribution(ram=8 * GIB), models=(other,), load=working)
    assert (busy.room, busy.worker_room, busy.busy) == (3 * GIB, 3 * GIB, 1)


def test_models_that_nobody_uses_make_room_and_so_does_the_model_itself() -> None:
    other = HeldModel("other:latest", "cd" * 32, 5 * GIB, loaded=True)
    own = HeldModel("own:latest", DIGEST, 10 * GIB, loaded=True)
    free = Load(ram_free=10 * GIB, disk_free=GIB)
    assert seen(load=free, models=(other,)).room == gib(13.5)
    working = Load(ram_free=10 * GIB, disk_free=GIB, running=1, waiting=2)
    assert seen(load=working, models=(other,)).room == gib(9)
    found = seen(load=working, models=(other, own))
    assert found.room == gib(18)
    assert (found.holds, found.loaded, found.busy) == (True, True, 3)


@pytest.mark.parametrize(
    "changes",
    [{"set_aside": True}, {"contribute": Contribution(enabled=False)}],
)
def test_a_machine_that_is_not_to_be_used_has_nothing_for_others(changes: dict[str, Any]) -> None:
    held = HeldModel("own:latest", DIGEST, GIB, loaded=True)
    laptop = seen("laptop", models=(held,), **changes)
    assert (laptop.room, laptop.worker_room, laptop.holds, laptop.may_work) == (0, 0, False, False)
    here = seen("desk", models=(held,), **changes)
    assert (here.holds, here.may_work, here.room > 0) == (True, False, True)


def test_another_build_of_the_engine_takes_no_part() -> None:
    assert not seen("laptop", engine="llama.cpp 0.5.0 ffffff").may_work


def test_graphics_cards_have_room_of_their_own_unless_they_share_the_machines() -> None:
    cards = (
        Gpu("RTX 4090", "CUDA", 24 * GIB, 20 * GIB),
        Gpu("RTX 3060", "CUDA", 12 * GIB, 5 * GIB),
    )
    found = seen(hardware=Hardware("Ryzen", 8, 16, (), 32 * GIB, cards, "Linux"))
    assert (found.room, found.vram, found.worker_room) == (gib(18 + 22.5), gib(22.5), gib(18))
    shared = (Gpu("Apple M4", "Metal", 24 * GIB, 20 * GIB),)
    found = seen(hardware=Hardware("M4", 8, 8, (), 32 * GIB, shared, "Darwin"))
    assert (found.room, found.vram) == (gib(18), 0)


def test_a_way_is_known_from_either_end_and_its_shorter_round_trip_counts() -> None:
    desk = record("desk", links=(link("laptop", rtt_p50=5.0, mbs=0, measured_at=20.0),))
    laptop = record("laptop", links=(link("desk", rtt_p50=3.0, mbs=21.7, measured_at=10.0),))
    attic = record("attic", links=(link("desk", wireless=True, rtt_p50=9.0, mbs=4.0),))
    expected = {
        frozenset((desk.node, laptop.node)): Way(3.0, 21.7),
        frozenset((desk.node, attic.node)): Way(9.0, 4.0, wireless=True),
    }
    assert ways_of([desk, laptop, attic]) == expected
    assert ways_of([attic, laptop, desk]) == expected
    assert ways_of([record("desk", links=(link("desk"),))]) == {}
