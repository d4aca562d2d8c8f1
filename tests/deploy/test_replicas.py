"""Real servers that have the same model: requests find one, and answers survive the loss of one."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from ayllu_servers import Machines, models, nodes
from gguf_maker import walk
from herds import TOKENS, Herd, storm
from serving import wait_until
from streams import DIALECTS, Told, ask


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


def test_no_request_of_many_is_lost_while_machines_come_and_go(herd: Herd) -> None:
    async def strike() -> None:
        if herd.replicas["anta"].process.poll() is None:  # another test may have killed it
            herd.kill("anta")
        await asyncio.to_thread(herd.restart, "anta")
        herd.kill("bari")
        await asyncio.to_thread(herd.restart, "bari")

    async def both() -> list[Told]:
        striking = asyncio.create_task(strike())
        told = await storm(herd.gateway.url, 16, 6)
        await striking
        return told

    for told in asyncio.run(both()):
        check(told)


def test_a_request_in_one_piece_is_asked_of_the_next_machine(herd: Herd) -> None:
    body = {"model": "endless", "stream": False, **DIALECTS["ollama chat"].body(TOKENS)}

    async def scene() -> list[Any]:
        async with aiohttp.ClientSession() as session:

            async def one(number: int) -> Any:
                fields = {**body, "messages": [{"role": "user", "content": f"{number}"}]}
                async with session.post(f"{herd.gateway.url}/api/chat", json=fields) as response:
                    assert response.status == 200, await response.text()
                    return await response.json()

            asked = asyncio.gather(*map(one, range(6)))
            name = "chaka"
            await asyncio.sleep(0.3)
            herd.replicas[name].process.send_signal(signal.SIGSTOP)
            try:
                return await asked
            finally:
                herd.replicas[name].process.send_signal(signal.SIGCONT)

    for answer in asyncio.run(scene()):
        assert (len(answer["message"]["content"]), answer["done"]) == (TOKENS, True)


def test_the_only_machine_with_a_model_is_waited_for_where_it_went_a_moment_ago(
    tmp_path: Path, endless_gguf: Path
) -> None:
    with ExitStack() as stack, ThreadPoolExecutor() as threads:
        here, there = Machines(tmp_path, stack).pair("here", "there")
        there.create("endless", endless_gguf)
        wait_until(lambda: models(here).get("endless:latest") == {"there"}, what="models")
        body = {"model": "endless", "prompt": "x", "stream": False, "options": {"num_predict": 5}}
        there.process.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: "there" not in nodes(here), what="its leaving")
            asked = threads.submit(here.post, "/api/generate", body)
            assert here.post("/api/generate", {"model": "other"}).status == 404
            assert not asked.done()
        finally:
            there.process.send_signal(signal.SIGCONT)
        assert asked.result().json["eval_count"] == 5
        there.process.kill()
        missing = {"error": "model 'endless' not found"}
        wait_until(lambda: here.post("/api/generate", body).json == missing, 30, "its end")


def test_a_busy_machine_forwards_and_goes_on_itself_when_the_other_is_lost(
    tmp_path: Path, endless_gguf: Path
) -> None:
    with ExitStack() as stack:
        here, there = Machines(tmp_path, stack).pair("here", "there", AYLLU_NUM_PARALLEL="1")
        for server in (here, there):
            server.create("endless", endless_gguf)
            server.post("/api/generate", {"model": "endless"})
        wait_until(lambda: models(here).get("endless:latest") == {"here", "there"}, what="models")
        other = nodes(here)["there"]["id"]
        wait_until(
            lambda: all(row["loaded"] for row in nodes(here)["there"]["models"][:1]), what="loading"
        )
        dialect, began = DIALECTS["openai chat"], set[str]()

        def strike(_: bytes, node: str) -> None:
            if node and node not in began:
                there.process.kill()
            began.add(node)

        async def scene() -> list[Told]:
            asked = {"model": "endless", **dialect.body(TOKENS)}
            async with aiohttp.ClientSession() as session:
                streams = (ask(session, here.url, dialect, asked, strike) for _ in range(6))
                return await asyncio.gather(*streams)

        for told in asyncio.run(scene()):
            check(told)
        assert began == {"", other}
        for folder in there.home.glob("ayllu-*"):  # of its engine's socket; it had no time for that
            shutil.rmtree(folder)
