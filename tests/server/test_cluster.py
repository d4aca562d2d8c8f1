"""The routes of the ayllu, on a machine that has none and with a program of the test's own."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from cluster_maker import record
from serving import STOP_SECONDS, Serving, serving, wait_until

from ayllu.cli.serve import GRACE_SECONDS
from ayllu.cluster.bus import Close
from ayllu.cluster.folder import FOLDER
from ayllu.cluster.measure import MEASURED
from ayllu.cluster.view import Ayllu, Joined, Left, Member, Snapshot, Whole
from ayllu.errors import EngineError
from ayllu.runner.engine import built_folder
from ayllu.server.cluster import watch

HOME = Ayllu("k" * 20, "home")
BUSY = 180.0
"""Seconds: a measurement waits half a minute for others that keep the processors busy."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    home = tmp_path_factory.mktemp("home")
    (home / FOLDER).mkdir()
    (home / FOLDER / MEASURED).touch()
    with serving(home) as running:
        yield running


@contextmanager
def reading(server: Serving) -> Iterator[Iterator[tuple[str, Any]]]:
    """The events of a server, as they come."""
    with urllib.request.urlopen(f"{server.url}/api/cluster/events", timeout=60) as answer:  # noqa: S310 - our own server
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield parsed(iter(answer.readline, b""))


def parsed(lines: Iterator[bytes]) -> Iterator[tuple[str, Any]]:
    kind = ""
    for line in lines:
        name, _, value = line.decode().strip().partition(": ")
        if name == "event":
            kind = value
        elif name == "data":
            yield kind, json.loads(value)


def test_a_machine_without_an_ayllu_shows_itself_and_measures_itself_when_asked(
    alone: Serving,
) -> None:
    shown = alone.get("/api/cluster").json
    assert shown["ayllu"] is None
    [node] = shown["nodes"]
    assert (node["state"], node["id"]) == ("here", shown["node"])
    assert node["threads"] >= node["cores"] >= 1
    assert shown["totals"]["ram_total"] == node["ram_total"] > node["ram_free"]
    wait_until(
        lambda: alone.get("/api/cluster").json["nodes"][0]["tflops"], BUSY, what="being measured"
    )
    node = alone.get("/api/cluster").json["nodes"][0]
    assert node["memory_gbs"] > 0
    assert node["measured_at"] > node["since"]
    again = alone.post("/api/cluster/measure", {}, timeout=BUSY).json
    assert again["id"] == node["id"]
    assert again["measured_at"] > node["measured_at"]


def test_the_first_answer_of_a_server_has_its_models(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert "mini:latest" in names(server.get("/api/cluster").json)


def test_the_first_event_of_a_server_has_its_models(tmp_path: Path) -> None:
    with serving(tmp_path) as server, reading(server) as events:
        assert "mini:latest" in names(next(events)[1]["cluster"])


def names(shown: Any) -> list[str]:
    """The models of the machine that answers."""
    return [model["name"] for model in shown["nodes"][0]["models"]]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"1"])
def test_what_is_no_request_measures_nothing(alone: Serving, body: bytes) -> None:
    answer = alone.post("/api/cluster/measure", body)
    assert answer.status == 400
    assert list(answer.json) == ["error"]


def test_what_is_loaded_and_runs_is_told_by_events(alone: Serving) -> None:
    with reading(alone) as events:
        kind, first = next(events)
        assert kind == first["type"] == "snapshot"
        models = first["cluster"]["nodes"][0]["models"]
        assert {model["name"]: model["loaded"] for model in models}["mini:latest"] is False
        alone.post("/api/generate", {"model": "mini", "prompt": "Hi", "stream": False})
        for kind, event in events:
            assert kind == event["type"] == "changed"
            names = [model["name"] for model in event["node"]["models"] if model["loaded"]]
            if names == ["mini:latest"]:
                break


LISTING_ENGINE = """#!/bin/sh
if [ "$1" = --list-devices ]; then cat "{list}"; else exec "{engine}" "$@"; fi
"""


def test_the_free_memory_of_gpus_is_read_again_when_a_model_comes(tmp_path: Path) -> None:
    """The engine is a real one that lists a GPU which it does not have."""
    listed, engine, built = tmp_path / "devices", tmp_path / "engine", built_folder()
    assert built is not None
    engine.mkdir()
    (engine / "ggml-rpc-server").symlink_to(built / "ggml-rpc-server")
    program = engine / "llama-server"
    program.write_text(LISTING_ENGINE.format(list=listed, engine=built / "llama-server"))
    program.chmod(0o755)
    listed.write_text("Available devices:\n  CUDA0: A card (8000 MiB, 7000 MiB free)\n")

    def gpus() -> Any:
        return server.get("/api/cluster").json["nodes"][0]["gpus"]

    with serving(tmp_path / "home", AYLLU_LLAMA_BIN=str(engine)) as server:
        card = {"name": "A card", "backend": "CUDA", "vram_total": 8000 << 20}
        assert gpus() == [card | {"vram_free": 7000 << 20}]
        listed.write_text("Available devices:\n  CUDA0: A card (8000 MiB, 500 MiB free)\n")
        options = {"num_gpu": 0}
        server.post("/api/generate", {"model": "mini", "stream": False, "options": options})
        wait_until(lambda: gpus() == [card | {"vram_free": 500 << 20}])


def test_a_reader_of_events_does_not_hold_up_the_end_of_the_server(tmp_path: Path) -> None:
    with serving(tmp_path) as server, reading(server) as events:
        next(events)
        server.process.terminate()
        began = time.monotonic()
        assert all(kind == "changed" for kind, _ in events)  # up to a clean end
        assert time.monotonic() - began < GRACE_SECONDS  # after which all answers are broken off
        assert server.process.wait(STOP_SECONDS) == 0


class Program:
    """What knows of an ayllu, told by the test."""

    def __init__(self) -> None:
        self.known = Snapshot(record("desk"), HOME)
        self.listeners: list[Callable[[], None]] = []

    def snapshot(self) -> Snapshot:
        return self.known

    def subscribe(self, on_change: Callable[[], None]) -> Close:
        self.listeners.append(on_change)
        return lambda: self.listeners.remove(on_change)

    async def measure_again(self) -> None:
        raise EngineError("a machine of the test's own cannot be measured")

    def know(self, *names: str) -> None:
        members = tuple(Member(record(name)) for name in names)
        self.known = Snapshot(record("desk"), HOME, members)
        for listener in self.listeners:
            listener()


def test_who_reads_slowly_gets_larger_steps_that_lead_to_the_same() -> None:
    async def read() -> None:
        program = Program()
        async with aclosing(watch(program, asyncio.Event())) as events:
            first = await anext(events)
            assert isinstance(first, Whole)
            program.know("attic")
            joined = await anext(events)
            assert isinstance(joined, Joined)
            for names in (("attic", "sofa"), ("sofa",), (), ("barn",)):
                program.know(*names)
            late = [await anext(events), await anext(events)]
            assert [type(event) for event in late] == [Left, Joined]
            assert late[1].totals.nodes == 2  # type: ignore[union-attr]
        assert program.listeners == []

    asyncio.run(asyncio.wait_for(read(), 30))


def test_a_stop_ends_the_stream() -> None:
    async def read() -> None:
        program, stopping = Program(), asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, stopping.set)
        async with aclosing(watch(program, stopping)) as events:
            assert [type(event) async for event in events] == [Whole]
        assert program.listeners == []

    asyncio.run(asyncio.wait_for(read(), 30))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_is_changed_here(alone: Serving, method: str) -> None:
    for path in ("/api/cluster", "/api/cluster/events"):
        assert alone.request(method, path, {}).status == 405
