"""Which machine a fine-tuning goes to."""

from __future__ import annotations

from typing import Any

import pytest
from cluster_maker import node_id, record
from msgspec import structs

from ayllu.cluster.record import Contribution, HeldModel, Load, Record, Speed
from ayllu.deploy.types import Way, Ways
from ayllu.tune.placing import FULL, WORTH, Task, first_done, seconds

GB = 10**9
TASK = Task("d" * 64, size=GB, parameters=GB // 2, tokens=10**6, data=10**6, needs=4 * GB)
HERE, OTHER, THIRD = (node_id(name) for name in ("here", "other", "third"))
WAYS: Ways = {frozenset(pair): Way(0.4, 110.0) for pair in ((HERE, OTHER), (HERE, THIRD))}


def machine(name: str, tflops: float, **changes: Any) -> Record:
    usual: dict[str, Any] = {
        "speed": Speed(tflops, 20.0, 500.0, 0.0) if tflops else None,
        "load": Load(ram_free=16 * GB, disk_free=100 * GB),
        "models": (HeldModel("base", TASK.digest, TASK.size),),
        "trains": True,
        "contribute": Contribution(),
    }
    return record(name, **usual | changes)


def chosen(*machines: Record) -> str:
    return first_done(TASK, machines, WAYS, HERE)


def test_the_faster_machine_gets_it_where_that_is_worth_the_way() -> None:
    assert chosen(machine("here", 1.0), machine("other", 2.0)) == OTHER
    assert chosen(machine("here", 1.0), machine("other", 1.1)) == HERE
    assert chosen(machine("here", 1.0), machine("other", 2.0), machine("third", 3.0)) == THIRD


def test_a_machine_that_cannot_train_gets_none() -> None:
    assert chosen(machine("here", 1.0), machine("other", 9.0, trains=False)) == HERE
    assert chosen(machine("here", 1.0, trains=False), machine("other", 0.1)) == OTHER
    assert chosen(machine("here", 1.0, trains=False), machine("other", 9.0, trains=False)) == HERE


def test_room_and_the_owners_limits_count_on_the_others() -> None:
    full = Load(ram_free=4 * GB, disk_free=100 * GB)
    assert chosen(machine("here", 1.0), machine("other", 9.0, load=full)) == HERE
    for given in (Contribution(ram=3 * GB), Contribution(enabled=False)):
        assert chosen(machine("here", 1.0), machine("other", 9.0, contribute=given)) == HERE
    assert chosen(machine("here", 1.0, load=full), machine("other", 1.0)) == HERE


def test_jobs_before_it_and_copies_take_their_time() -> None:
    assert chosen(machine("here", 1.0), machine("other", 2.0, training=1)) == HERE
    assert chosen(machine("here", 1.0, training=1), machine("other", 1.0)) == OTHER
    lacks, holds = machine("other", 2.0, models=()), machine("other", 2.0)
    copying = (seconds(TASK, lacks, WAYS, HERE) or 0) - (seconds(TASK, holds, WAYS, HERE) or 0)
    assert copying == pytest.approx(TASK.size / 110e6)
    short = structs.replace(TASK, tokens=1000)
    assert first_done(short, (machine("here", 1.0), lacks), WAYS, HERE) == HERE


def test_all_weights_take_half_as_long_again_and_unmeasured_machines_count_as_slow() -> None:
    here = machine("here", 1.0)
    adapter = seconds(TASK, here, WAYS, HERE)
    whole = seconds(structs.replace(TASK, operations=FULL), here, WAYS, HERE)
    assert adapter is not None
    assert whole == 1.5 * adapter
    unknown = seconds(TASK, machine("here", 0.0), WAYS, HERE)
    assert unknown is not None
    assert unknown > adapter / WORTH
