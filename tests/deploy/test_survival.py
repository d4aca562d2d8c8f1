"""A model on three machines, of which one is lost in the middle of an answer: real servers."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from ayllu_servers import Machines, nodes
from gguf_maker import make_successor_model, walk
from serving import Serving, wait_until

PATH = "/api/cluster/deployments"
TOKENS = 600
LAYERS = 6


class House:
    """Three machines of one ayllu. `anta` has the model and answers."""

    def __init__(self, machines: Machines, gguf: Path) -> None:
        self._machines = machines
        self.names = ("anta", "bari", "chaka")
        self.servers = {name: machines.start(name) for name in self.names}
        self.anta.post("/api/cluster/up", {})
        for other in (self.servers["bari"], self.servers["chaka"]):
            code = self.anta.post("/api/cluster/invite", {}).json["code"]
            assert other.post("/api/cluster/join", {"code": code}).status == 200
        self.anta.create("endless", gguf)
        self.all_there()

    @property
    def anta(self) -> Serving:
        return self.servers["anta"]

    def all_there(self) -> None:
        servers = self.servers.values()
        wait_until(lambda: all(len(nodes(one)) == 3 for one in servers), what="seeing each other")

    def deploy(self, *names: str) -> None:
        """Split the model over machines, as evenly as can be."""
        share = [LAYERS // len(names)] * len(names)
        body = {"model": "endless", "nodes": names, "split": share, "slots": 2, "stream": False}
        answer = self.anta.post(PATH, body)
        assert answer.status == 200, answer.body

    def stages(self) -> list[tuple[str, int]]:
        rows = self.anta.get(PATH).json["deployments"]
        stages = [one for row in rows for one in row["placement"].get("stages", ())]
        return [(one["name"], one["layers"]) for one in stages]

    def workers(self, name: str) -> list[psutil.Process]:
        children = psutil.Process(self.servers[name].process.pid).children()
        return [child for child in children if "rpc-server" in child.name()]

    def mend(self, name: str) -> None:
        """Have a machine back."""
        self.servers[name].process.wait()
        self.servers[name] = self._machines.start(name)
        self.all_there()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    gguf = make_successor_model(folder / "endless.gguf", context=2048, layers=LAYERS)
    with ExitStack() as stack:
        yield House(Machines(folder, stack), gguf)


def told(server: Serving, at: int = 0, strike: Callable[[], object] | None = None) -> list[Any]:
    """The lines of an answer; after so many of them something happens."""
    body = {"model": "endless", "prompt": "a", "raw": True}
    options = {"temperature": 0, "num_predict": TOKENS}
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{server.url}/api/generate", json.dumps({**body, "options": options}).encode()
    )
    lines = []
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        for line in answer:
            lines.append(json.loads(line))
            if strike is not None and len(lines) == at:
                strike()
    return lines


def check(lines: list[Any]) -> None:
    """A whole answer, as if nothing had happened."""
    assert "".join(line.get("response", "") for line in lines) == walk(TOKENS + 1)[1:]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert (lines[-1]["done_reason"], lines[-1]["eval_count"]) == ("length", TOKENS)


def test_an_answer_outlives_the_worker_that_holds_layers(house: House) -> None:
    house.deploy("anta", "bari", "chaka")
    assert house.stages() == [("anta", 2), ("bari", 2), ("chaka", 2)]
    check(told(house.anta))
    (worker,) = house.workers("bari")
    check(told(house.anta, 97, worker.kill))
    assert "bari" not in dict(house.stages()), "a machine that failed a moment ago is left alone"


def test_an_answer_outlives_a_machine_that_is_killed(house: House) -> None:
    house.deploy("anta", "bari", "chaka")
    check(told(house.anta, 30, house.servers["bari"].process.kill))
    house.mend("bari")


def test_an_answer_outlives_a_machine_that_freezes(house: House) -> None:
    house.deploy("anta", "chaka")
    frozen = house.servers["chaka"].process
    try:
        check(told(house.anta, 211, lambda: frozen.send_signal(signal.SIGSTOP)))
    finally:
        frozen.send_signal(signal.SIGCONT)
    house.all_there()
