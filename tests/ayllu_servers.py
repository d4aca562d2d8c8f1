"""Machines for tests: whole servers with homes and ports of their own, which meet on loopback, or
each in a network namespace of its own.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from lan import Lan, Machine
from serving import Serving, serving, wait_until

from ayllu.cluster.peers import Peers


class Machines:
    """Servers with a home and ports of their own; all are ended with the test.

    On a `lan` each has one of its machines, the first one the first.
    """

    def __init__(self, folder: Path, stack: ExitStack, lan: Lan | None = None) -> None:
        self._folder = folder
        self._stack = stack
        self._lan = lan
        self.places: dict[str, Machine] = {}
        self._ports: dict[str, int] = {}

    def start(self, name: str, *, port: int = 0, **settings: str) -> Serving:
        """A server; one that was started before starts again."""
        settings["AYLLU_NODE_NAME"] = name
        if self._lan is not None:
            if name not in self.places:
                self.places[name] = self._lan.machines[len(self.places)]
            inside = self.places[name].inside
            return self._stack.enter_context(serving(self._folder / name, inside, **settings))
        port = self._ports.setdefault(name, port or free_ports())
        cluster = {
            "AYLLU_CLUSTER_INTERFACES": "lo",
            "AYLLU_CLUSTER_PORT": str(port),
        }
        return self._stack.enter_context(serving(self._folder / name, **cluster, **settings))

    def pair(self, first: str, second: str, **settings: str) -> tuple[Serving, Serving]:
        """Two servers of one ayllu that see each other."""
        one, other = self.start(first, port=0, **settings), self.start(second, port=0, **settings)
        assert one.post("/api/cluster/up", {}).status == 200
        join(one, other)
        return one, other


def free_ports() -> int:
    """The first of five ports that follow each other, and that nobody has."""
    for port in range(20000 + 8 * (time.time_ns() % 1000), 60000, 8):
        try:
            for number in range(5):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + number))
        except OSError:
            continue
        return port
    pytest.fail("no five ports are free")


def join(one: Serving, other: Serving) -> None:
    code = one.post("/api/cluster/invite", {}).json["code"]
    answer = other.post("/api/cluster/join", {"code": code})
    assert answer.status == 200, answer.body
    wait_until(lambda: len(nodes(one)) == len(nodes(other)) == 2, what="seeing each other")


def nodes(server: Serving) -> dict[str, Any]:
    """The machines that a server shows, by name."""
    return {node["name"]: node for node in server.get("/api/cluster").json["nodes"]}


def models(server: Serving) -> dict[str, set[str]]:
    """The names of the machines that have a model, by its name."""
    found = server.get("/api/cluster/models").json["models"]
    return {model["name"]: {node["name"] for node in model["nodes"]} for model in found}


def ask(asking: Serving, asked: Serving, route: str, body: bytes = b"{}") -> tuple[int, bytes]:
    """What a machine answers to another one of its ayllu: the status and the body."""
    folder, method_path = asking.home / "cluster", route.split()
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "node.crt", folder / "key.pem")
    places = asked.post("/api/cluster/up", {}).json["endpoints"]
    node = asked.get("/api/cluster").json["node"]

    async def answer() -> tuple[int, bytes]:
        peers = Peers(context, lambda _: places)
        try:
            found = await peers.ask(node, *method_path, body=body)
            return found.status, await found.read(1 << 20)
        finally:
            await peers.close()

    return asyncio.run(answer())
