"""Machines that have the same model behind a gateway that has none, to be killed in turn."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import psutil
from ayllu_servers import Machines, models, nodes
from serving import wait_until
from streams import DIALECTS, Told, ask

TOKENS = 600
"""Of each answer."""


class Herd:
    """A gateway that has no model, and machines that have the same one."""

    def __init__(self, machines: Machines, gguf: Path, names: tuple[str, ...]) -> None:
        self._machines = machines
        self._engines: list[psutil.Process] = []
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
        """Without a word: what its engine's socket was in stays until it starts again."""
        self._engines = self.replicas[name].engines()
        self.replicas[name].process.kill()

    def restart(self, name: str) -> None:
        """Start one that was killed."""
        self.replicas[name].process.wait()
        psutil.wait_procs(self._engines, timeout=10)
        self.replicas[name] = self._machines.start(name, AYLLU_NUM_PARALLEL="8")
        wait_until(lambda: name in nodes(self.gateway), what="its return")

    def _is_loaded(self, name: str) -> bool:
        node = nodes(self.gateway)[name]
        return any(row["loaded"] for row in node["models"] if row["name"] == "endless:latest")


async def storm(url: str, count: int, at_once: int) -> list[Told]:
    """Requests of all dialects, so many at once, each a stream that is read to its end."""
    turn = asyncio.Semaphore(at_once)
    names = sorted(DIALECTS)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(number: int) -> Told:
            dialect = DIALECTS[names[number % len(names)]]
            async with turn:
                return await ask(
                    session, url, dialect, {"model": "endless", **dialect.body(TOKENS)}
                )

        return await asyncio.gather(*map(one, range(count)))
