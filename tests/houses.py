"""Machines that hold a model together, and all that can happen to one of them."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from ayllu_servers import Machines, nodes
from gguf_maker import walk
from serving import Serving, wait_until

PATH = "/api/cluster/deployments"
TOKENS = 600
"""Of an answer that `told` reads."""


class House:
    """Machines of one ayllu, by their names and settings. The first has the model `endless`."""

    def __init__(
        self, machines: Machines, gguf: Path, settings: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self._machines = machines
        self._settings = settings
        self._orphans: list[psutil.Process] = []
        self.names = names = tuple(settings)
        self.servers = {name: machines.start(name, **more) for name, more in settings.items()}
        self.head.post("/api/cluster/up", {})
        for name in names[1:]:
            self.join(name)
        self.head.create("endless", gguf)
        self.all_there()

    @property
    def head(self) -> Serving:
        """The first machine."""
        return self.servers[self.names[0]]

    def join(self, name: str) -> None:
        """Have a machine be one of the ayllu."""
        code = self.head.post("/api/cluster/invite", {}).json["code"]
        answer = self.servers[name].post("/api/cluster/join", {"code": code})
        assert answer.status == 200, answer.body

    def all_there(self) -> None:
        """Wait until each machine sees all."""
        servers, count = self.servers.values(), len(self.names)
        wait_until(
            lambda: all(len(nodes(one)) == count for one in servers), 30.0, what="seeing each other"
        )

    def name(self, node: str) -> str:
        """The name of the machine that has an id."""
        return next(name for name, row in nodes(self.head).items() if row["id"] == node)

    def deploy(self, *names: str, model: str = "endless", layers: int = 6) -> None:
        """Split a model over machines, as evenly as can be; the first one answers.

        Whatever runs elsewhere has to make room: it may have been taken over a moment ago.
        """
        share = [layers // len(names)] * len(names)
        body = {"model": model, "nodes": names, "split": share, "slots": 2, "stream": False}
        end = time.monotonic() + 20.0
        while (answer := self.servers[names[0]].post(PATH, body)).status != 200:
            assert time.monotonic() < end, answer.body
            self.undeploy()
            time.sleep(0.5)

    def undeploy(self) -> None:
        """Let go of all that any machine runs."""
        for name, server in self.servers.items():
            for row in server.get(PATH).json["deployments"]:
                if row["name"] == name and row["pinned"]:
                    server.request("DELETE", f"{PATH}/{row['id']}")
            for row in server.get("/api/ps").json["models"]:
                server.post("/api/generate", {"model": row["name"], "keep_alive": 0})

    def stages(self, name: str = "") -> list[tuple[str, int]]:
        """The machines that hold layers, as one of them knows, and how many layers each holds."""
        server = self.servers[name] if name else self.head
        rows = server.get(PATH).json["deployments"]
        stages = [one for row in rows for one in row["placement"].get("stages", ())]
        return [(one["name"], one["layers"]) for one in stages]

    def processes(self, name: str) -> list[psutil.Process]:
        """All that runs on a machine, its server first."""
        with suppress(psutil.NoSuchProcess):
            server = psutil.Process(self.servers[name].process.pid)
            return [server, *server.children(recursive=True)]
        return []

    def workers(self, name: str) -> list[psutil.Process]:
        """The children of a machine that hold layers for others."""
        return self.servers[name].workers()

    def kill(self, name: str) -> None:
        """A machine's server, without a word; its children end with it."""
        self._orphans += self.processes(name)[1:]
        self.servers[name].process.kill()

    def kill_worker(self, name: str) -> None:
        """The worker alone."""
        for one in self.workers(name):
            one.kill()

    def freeze(self, name: str) -> None:
        """All that runs on a machine."""
        for one in self.processes(name):
            one.suspend()

    def cut(self, name: str) -> None:
        """A machine's cable, on a network of its own."""
        self._machines.places[name].plug(into=False)

    def is_killed(self, name: str) -> bool:
        """Whether it has to be started again; waits for what was killed to be gone."""
        psutil.wait_procs(self._orphans, timeout=10)
        self._orphans.clear()
        with suppress(subprocess.TimeoutExpired):
            self.servers[name].process.wait(0.5)
        return self.servers[name].process.returncode is not None

    def mend(self, *names: str) -> None:
        """Have machines back, whatever happened to them."""
        for name in names:
            if name in self._machines.places:
                self._machines.places[name].plug(into=True)
            for one in self.processes(name):
                with suppress(psutil.NoSuchProcess):
                    one.resume()
            if self.is_killed(name):
                self.servers[name] = self._machines.start(name, **self._settings[name])
        self.all_there()


STRIKES: dict[str, Callable[[House, str], None]] = {
    "server killed": House.kill,
    "worker killed": House.kill_worker,
    "machine frozen": House.freeze,
    "cable cut": House.cut,
}
"""How a machine is lost that holds layers."""


def told(server: Serving, at: int = 0, strike: Callable[[], object] = lambda: None) -> list[Any]:
    """The lines of an answer of `endless`; after so many of them something happens."""
    body = {"model": "endless", "prompt": "a", "raw": True}
    options = {"temperature": 0, "num_predict": TOKENS}
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{server.url}/api/generate", json.dumps({**body, "options": options}).encode()
    )
    lines = []
    with server.inside(), urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        for line in answer:
            lines.append(json.loads(line))
            if len(lines) == at:
                strike()
    return lines


def check(lines: list[Any]) -> None:
    """A whole answer, as if nothing had happened."""
    assert "".join(line.get("response", "") for line in lines) == walk(TOKENS + 1)[1:]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert (lines[-1]["done_reason"], lines[-1]["eval_count"]) == ("length", TOKENS)
