"""Machines as real processes, each in a network namespace of its own."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ayllus import homes
from lan import Lan, a_lan, missing

REASON = missing()
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)


@pytest.fixture
def lan() -> Iterator[Lan]:
    with a_lan(3) as network:
        yield network


def test_machines_meet_and_notice_a_dead_one_a_cut_cable_and_a_frozen_one(
    lan: Lan, tmp_path: Path
) -> None:
    places, ids = homes(tmp_path, 3)
    programs = [machine.member(home) for machine, home in zip(lan.machines, places, strict=True)]
    first, second, third = programs
    for program in programs:
        program.wait(event="joined", there=2)
    now = time.time()
    third.kill()
    first.wait(now, event="left", node=ids[2])
    second.wait(now, event="left", node=ids[2])
    lan.machines[1].plug(into=False)
    first.wait(now, event="left", node=ids[1])
    second.wait(now, event="left", node=ids[0])
    lan.machines[1].plug(into=True)
    first.wait(time.time(), event="joined", node=ids[1])
    now = time.time()
    second.process.send_signal(signal.SIGSTOP)
    first.wait(now, event="left", node=ids[1])
    now = time.time()
    second.process.send_signal(signal.SIGCONT)
    first.wait(now, event="joined", node=ids[1])
    lan.machines[1].plug(into=False)
    for program in (first, second):
        program.stop()
        assert program.process.returncode == 0


def test_two_ayllus_on_one_network_do_not_mix(lan: Lan, tmp_path: Path) -> None:
    one, ids = homes(tmp_path / "one", 2)
    two, _ = homes(tmp_path / "two", 1)
    stranger = lan.machines[2].member(two[0])
    stranger.wait(event="open")
    first = lan.machines[0].member(one[0])
    second = lan.machines[1].member(one[1], peers=["10.77.0.3:17446"])
    first.wait(event="joined", node=ids[1])
    second.wait(event="joined", node=ids[0])
    time.sleep(1)
    assert stranger.find(event="joined") is None
    assert all(program.find(event="joined", there=2) is None for program in (first, second))


def test_without_multicast_known_addresses_and_gossip_are_enough(lan: Lan, tmp_path: Path) -> None:
    places, ids = homes(tmp_path, 3)
    lan.filter_multicast()
    first = lan.machines[0].member(places[0])
    first.wait(event="open")
    others = [
        machine.member(home, peers=["10.77.0.1:17446"])
        for machine, home in zip(lan.machines[1:], places[1:], strict=True)
    ]
    for program in (first, *others):
        program.wait(event="joined", there=2)
    for program in others:
        program.stop()
    # What was remembered leads back, with nobody named.
    again = lan.machines[1].member(places[1])
    again.wait(event="joined", node=ids[0])
