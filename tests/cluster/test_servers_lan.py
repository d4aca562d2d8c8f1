"""Whole servers on a network of their own: each in a network namespace, told by commands alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lan import Lan, Machine, Program, a_lan, missing, paths
from serving import KNOWN, clean_environment, wait_until, was_measured

REASON = missing()
MEETING = 30.0
"""Seconds that whole servers may take to find each other beside two other tests."""
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON)


@pytest.fixture
def lan() -> Iterator[Lan]:
    with a_lan(3) as network:
        yield network


class Server:
    """`ayllu serve` on a machine, with all settings as they are out of the box but its name's."""

    def __init__(self, machine: Machine, home: Path) -> None:
        home.mkdir(exist_ok=True)
        was_measured(home, home / "models", KNOWN[0])
        self.machine = machine
        self.environment = {**clean_environment(home), **paths(), "AYLLU_NODE_NAME": home.name}
        self.start()

    def start(self) -> None:
        self.program: Program = self.machine.run(
            sys.executable, "-m", "ayllu", "serve", env=self.environment
        )
        self.program.wait(event="ayllu is listening")

    def ayllu(self, *words: str) -> str:
        """What a command prints that goes well."""
        command = ["ip", "netns", "exec", self.machine.namespace, sys.executable, "-m", "ayllu"]
        environment = {**os.environ, **self.environment, "AYLLU_NO_AUTOSTART": "1"}
        done = subprocess.run(
            [*command, *words], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def nodes(self) -> dict[str, Any]:
        """The machines that it shows, by name."""
        return {node["name"]: node for node in json.loads(self.ayllu("nodes", "--json"))["nodes"]}


def join(first: Server, *others: Server) -> None:
    first.ayllu("up")
    for other in others:
        command = first.ayllu("invite").splitlines()
        other.ayllu(*next(line for line in command if line.startswith("ayllu join")).split()[1:])


def test_three_servers_are_one_ayllu_with_nothing_set(lan: Lan, tmp_path: Path) -> None:
    names = ("anta", "bari", "chaka")
    servers = [
        Server(machine, tmp_path / name) for machine, name in zip(lan.machines, names, strict=True)
    ]
    anta, bari, chaka = servers
    join(anta, bari, chaka)
    wait_until(lambda: all(set(one.nodes()) == set(names) for one in servers), MEETING, "meeting")
    assert anta.nodes()["bari"]["addresses"][0] == "10.77.0.2"

    anta.ayllu("cp", "mini", "solo")
    wait_until(lambda: "solo:latest" in chaka.ayllu("list", "--all"), what="hearing of a model")
    answer = chaka.ayllu("run", "solo", "hi")
    assert "solo is on another machine of the ayllu and runs there: anta" in answer
    chaka.ayllu("pull", "solo", "--on", "bari")
    wait_until(lambda: "bari" in chaka.ayllu("list", "--all", "solo"), what="hearing of it")

    bari.program.kill()
    wait_until(lambda: set(chaka.nodes()) == {"anta", "chaka"}, what="missing a machine")
    bari.start()
    wait_until(lambda: set(chaka.nodes()) == set(bari.nodes()) == set(names), MEETING, "its return")


def test_servers_meet_where_multicast_is_filtered(lan: Lan, tmp_path: Path) -> None:
    lan.filter_multicast()
    anta, bari = (
        Server(lan.machines[n], tmp_path / name) for n, name in enumerate(("anta", "bari"))
    )
    join(anta, bari)
    both = {"anta", "bari"}
    wait_until(lambda: set(anta.nodes()) == set(bari.nodes()) == both, MEETING, "meeting")
    wait_until(
        lambda: any(link["mbs"] for link in bari.nodes()["bari"]["links"]),
        90.0,  # a burst that fails is tried again after a minute
        "bursts",
    )
    for server in (anta, bari):
        server.program.kill()
    for server in (bari, anta):
        server.start()
    wait_until(lambda: set(anta.nodes()) == set(bari.nodes()) == both, MEETING, "meeting again")


def test_a_machine_that_gets_another_address_is_found_there(lan: Lan, tmp_path: Path) -> None:
    anta, bari = (
        Server(lan.machines[n], tmp_path / name) for n, name in enumerate(("anta", "bari"))
    )
    join(anta, bari)
    both = {"anta", "bari"}
    wait_until(lambda: set(anta.nodes()) == set(bari.nodes()) == both, MEETING, "meeting")
    bari.machine.move("10.77.0.77")
    wait_until(
        lambda: "10.77.0.77" in anta.nodes().get("bari", {"addresses": ()})["addresses"],
        30.0,
        "finding it again",
    )
    bari.ayllu("cp", "mini", "solo")
    wait_until(lambda: "solo:latest" in anta.ayllu("list", "--all"), what="hearing of a model")
    assert "runs there: bari" in anta.ayllu("run", "solo", "hi")
