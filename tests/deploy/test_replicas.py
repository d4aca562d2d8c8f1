"""Real servers that have the same model: requests find one, and answers survive the loss of one."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from ayllu_servers import Machines, models, nodes
from gguf_maker import walk
from serving import wait_until
from streams import DIALECTS, Told, ask

TOKENS = 600


class Herd:
    """A gateway that has no model, and machines that have the same one."""

    def __init__(self, machines: Machines, gguf: Path, names: tuple[str, ...]) -> None:
        self._machines = machines
        self.gateway = machines.start("gateway")
        self.gateway.post("/api/cluster/up", {})
        self.replicas = {name: machines.start(name, AYLLU_NUM_PARALLEL="8") for name in names}
        for replica in self.replicas.values():
            code = self.gateway.post("/api/cluster/invite", {}).json["code"]
            assert replica.post("/api/cluster/join", {"code": code}).status == 200
            replica.create("endless", gguf)
        wait_until(lambda: models(self.gateway).get("endless:latest") == set(names), what="models")
        self.ids = {name: node["id"] for name, node in nodes(self.gateway).items()}

    def at(self, node: str) -> str:
        """The name of the machine that a header names."""
        return next(name for name, ident in self.ids.items() if ident == node)

    def load(self, name: str) -> None:
        """Have a machine load the model, and the gateway know of it."""
        self.replicas[name].post("/api/generate", {"model": "endless"})
        wait_until(lambda: self._is_loaded(name), what="hearing that it is loaded")

    def kill(self, name: str) -> None:
        self.replicas[name].process.kill()

    def restart(self, name: str) -> None:
        self.replicas[name].process.wait()
        self.replicas[name] = self._machines.start(name, AYLLU_NUM_PARALLEL="8")
        wait_until(lambda: name in nodes(self.gateway), what="its return")

    def _is_loaded(self, name: str) -> bool:
        node = nodes(self.gateway)[name]
        return any(row["loaded"] for row in node["models"] if row["name"] == "endless:latest")


@pytest.fixture(scope="module")
def herd(tmp_path_factory: pytest.TempPathFactory, endless_gguf: Path) -> Iterator[Herd]:
    with ExitStack() as stack:
        machines = Machines(tmp_path_factory.mktemp("herd"), stack)
        yield Herd(machines, endless_gguf, ("anta", "bari", "chaka"))


def check(told: Told) -> None:
    """A whole answer, as if nothing had happened."""
    assert told.text == walk(TOKENS)
    assert told.ends == 1
    assert len(told.ids) <= 1


async def all_dialects(url: str, hit: dict[str, str], strike: Any) -> list[Told]:
    """A stream of every dialect at once; `strike` is called when each has begun somewhere."""
    places = {name: random.Random(name).randrange(1, 40) * 200 for name in DIALECTS}

    async with aiohttp.ClientSession() as session:

        async def one(name: str) -> Told:
            def after(data: bytes, node: str) -> None:
                if name not in hit and len(data) > places[name]:
                    hit[name] = node
                    if len(hit) == len(DIALECTS):
                        strike()

            dialect = DIALECTS[name]
            body = {"model": "endless", **dialect.body(TOKENS)}
            return await ask(session, url, dialect, body, after)

        return await asyncio.gather(*map(one, DIALECTS))


def test_streams_of_every_dialect_survive_a_machine_that_is_killed_and_one_that_freezes(
    herd: Herd,
) -> None:
    herd.load("anta")
    hit: dict[str, str] = {}
    for told in asyncio.run(all_dialects(herd.gateway.url, hit, lambda: herd.kill("anta"))):
        check(told)
    assert {herd.at(node) for node in hit.values()} == {"anta"}

    herd.load("bari")
    hit = {}

    def freeze() -> None:
        frozen.append(herd.at(hit["anthropic"]))
        herd.replicas[frozen[0]].process.send_signal(signal.SIGSTOP)

    frozen: list[str] = []
    try:
        for told in asyncio.run(all_dialects(herd.gateway.url, hit, freeze)):
            check(told)
    finally:
        herd.replicas[frozen[0]].process.send_signal(signal.SIGCONT)
    herd.restart("anta")
