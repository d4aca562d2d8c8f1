"""Workers for other machines: a real server, its real RPC workers, real tunnels."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import aiohttp
import msgspec
import psutil
import pytest
from ayllus import until
from deploy.heads import NAME, Far, far_machine, request, run
from lan import paths
from serving import wait_until
from tunnels import Head

from ayllu.cluster.hardware import engine_build
from ayllu.cluster.tunnel import Opening, RefusedStreamError
from ayllu.deploy.backend import PartLostError
from ayllu.deploy.beat import Beat
from ayllu.deploy.build import protocol_of
from ayllu.deploy.remote import PATH
from ayllu.deploy.worker import BASE_BYTES
from ayllu.runner.client import RunnerClient
from ayllu.runner.options import LoadOptions, Worker
from ayllu.runner.process import start_runner
from ayllu.runner.rpc_hello import version_text

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    with far_machine(tmp_path_factory.mktemp("far")) as machine:
        yield machine


async def greedy(far: Far, home: Path, model: Path, *workers: Worker) -> str:
    """What the real engine says, with workers or without."""
    load = LoadOptions(model=model, context=256, workers=workers)
    process = await start_runner(far.engine, load, name="m", home=home, on_exit=lambda _: None)
    client = RunnerClient(process, first_timeout=30, next_timeout=30)
    try:
        await client.wait_ready(30)
        connector = aiohttp.UnixConnector(str(process.socket_path))
        headers = {"authorization": f"Bearer {process.api_key}"}
        body = {"prompt": "The cat", "n_predict": 48, "temperature": 0, "stream": True}
        body |= {"ignore_eos": True}
        text = ""
        async with (
            aiohttp.ClientSession(connector=connector, headers=headers) as session,
            session.post("http://engine/completion", json=body) as answer,
        ):
            async for line in answer.content:
                if line.startswith(b"data: "):
                    text += json.loads(line[6:])["content"]
        return text
    finally:
        await client.close()
        await process.stop()


def test_a_model_split_over_a_tunnel_says_what_it_says_alone(
    far: Far, tmp_path: Path, mini_gguf: Path
) -> None:
    async def work() -> None:
        async with far.head() as ways:
            alone = await greedy(far, tmp_path, mini_gguf)
            async with await far.take(ways) as remote:
                split = await greedy(far, tmp_path, mini_gguf, Worker(remote.endpoint, 3))
                assert len(alone) > 50
                assert split == alone
                (worker,) = far.workers()
                assert worker.nice() > 0
                assert remote.lost == ""
            assert not far.workers()
            assert not list((far.server.home / "workers").glob("*"))

    run(work)


def test_a_worker_may_take_its_room_and_no_more(far: Far) -> None:
    async def work() -> None:
        async with far.head() as ways:
            async with await far.take(ways, room=1 << 30):
                (worker,) = far.workers()
                limit, _ = worker.rlimit(psutil.RLIMIT_AS)
                assert (1 << 30) + BASE_BYTES < limit < (1 << 30) + (8 << 30)
            with pytest.raises(PartLostError, match=rf"{NAME}: .* bytes are wanted, and this"):
                await far.take(ways, room=1 << 50)
            assert not far.workers()

    run(work)


def test_two_workers_share_the_room_of_a_machine(far: Far) -> None:
    async def work() -> None:
        most = int(0.4 * psutil.virtual_memory().total)
        async with far.head() as ways:
            half = min(most, psutil.virtual_memory().available // 2)
            async with await far.take(ways, room=half):
                with pytest.raises(PartLostError, match="bytes are wanted"):
                    await far.take(ways, room=most)

    run(work)


def test_another_engine_is_refused_by_name(far: Far) -> None:
    async def work() -> None:
        async with far.head() as ways:
            assert ways.peers is not None
            body = msgspec.json.encode(request(engine="llama.cpp b1", protocol="6.0.0"))
            headers = {"content-type": "application/json"}
            answer = await ways.peers.ask(far.node, "POST", PATH, headers=headers, body=body)
            said = json.loads(await answer.read(10_000))["error"]
            answer.close()
            assert answer.status == 409
            assert far.engine.version in said
            assert "llama.cpp b1 with 6.0.0" in said

    run(work)


def test_a_later_placement_ends_the_earlier_and_not_the_other_way_round(far: Far) -> None:
    async def work() -> None:
        async with (
            far.head(0) as ways,
            far.head(1) as others,
            await far.take(ways, deployment="same", fence=3) as first,
        ):
            for fence in (2, 3):
                with pytest.raises(PartLostError, match=f"fence 3, and this one has {fence}"):
                    await far.take(others, deployment="same", fence=fence)
            assert first.lost == ""
            async with await far.take(others, deployment="same", fence=4) as second:
                await until(lambda: first.lost)
                assert "a later placement of the model has taken its place" in first.lost
                assert second.lost == ""
                assert len(far.workers()) == 1

    run(work)


def test_a_lease_is_of_the_machine_that_got_it(far: Far) -> None:
    async def work() -> None:
        async with far.head(0) as ways, far.head(1) as others:
            lease = await asked(far, ways)
            purposes: tuple[Literal["beat", "rpc"], ...] = ("beat", "rpc")
            for purpose in purposes:
                with pytest.raises(RefusedStreamError, match="there is no such lease"):
                    await others.tunnel.open(far.node, Opening(lease, purpose))
            stream = await ways.tunnel.open(far.node, Opening(lease, "beat"))
            with pytest.raises(RefusedStreamError, match="has its beat already"):
                await ways.tunnel.open(far.node, Opening(lease, "beat"))
            beat = Beat(stream)
            keeping = asyncio.create_task(beat.keep())
            beat.part("the model was unloaded")
            await keeping
            stream.leave()
            assert not far.workers()

    run(work)


async def asked(far: Far, ways: Head) -> str:
    """A lease that nobody has claimed yet."""
    protocol = version_text(await protocol_of(far.engine))
    body = msgspec.json.encode(request(engine=engine_build(far.engine), protocol=protocol))
    headers = {"content-type": "application/json"}
    answer = await ways.peers.ask(far.node, "POST", PATH, headers=headers, body=body)
    lines = [json.loads(line) async for line in answer.lines()]
    answer.close()
    assert lines[-1]["status"] == "success"
    return str(lines[-1]["lease"])


def test_a_lease_that_nobody_claims_ends(far: Far) -> None:
    async def work() -> None:
        async with far.head() as ways:
            await asked(far, ways)
            assert len(far.workers()) == 1
            await until(lambda: not far.workers())

    run(work)


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGKILL, "its worker ended"), (signal.SIGSTOP, "was stopped")]
)
def test_a_worker_that_is_killed_or_stopped_is_named_soon(
    far: Far, number: signal.Signals, reason: str
) -> None:
    async def work() -> None:
        async with far.head() as ways:
            async with await far.take(ways) as remote:
                told: list[str] = []
                remote.on_loss(told.append)
                (worker,) = far.workers()
                worker.send_signal(number)
                await until(lambda: told, seconds=6)
                assert told == [remote.lost]
                assert remote.lost.startswith(f"{NAME} is lost: ")
                assert reason in remote.lost
                remote.on_loss(told.append)
                assert len(told) == 2
            assert not far.workers()

    run(work)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_coordinator_that_dies_or_stands_still_ends_its_workers(
    far: Far, number: signal.Signals
) -> None:
    home = far.root / "member0"
    words = [str(home), far.node, str(far.port), "127.0.0.1"]
    holder = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("holding.py")), *words],
        env={**os.environ, **paths()},
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert len(far.workers()) == 1
        holder.send_signal(number)
        wait_until(lambda: not far.workers(), seconds=6, what="ending the worker")
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()  # type: ignore[union-attr]


def test_a_machine_that_stands_still_is_noticed_and_ends_its_worker_afterwards(far: Far) -> None:
    async def work() -> None:
        async with far.head() as ways:
            async with await far.take(ways) as remote:
                os.kill(far.server.process.pid, signal.SIGSTOP)
                try:
                    await until(lambda: remote.lost, seconds=6)
                finally:
                    os.kill(far.server.process.pid, signal.SIGCONT)
                assert "silent for 2 seconds" in remote.lost
            await until(lambda: not far.workers())

    run(work)


def test_nothing_is_left_open_after_many_leases(far: Far) -> None:
    async def work() -> None:
        server = psutil.Process(far.server.process.pid)
        async with far.head() as ways:
            for number in range(10):
                if number == 2:
                    await asyncio.sleep(0.2)
                    mine, theirs = psutil.Process().num_fds(), server.num_fds()
                async with await far.take(ways):
                    pass
            most = 4  # connections of other things come and go; eight leases would leave more
            await until(
                lambda: (
                    server.num_fds() < theirs + most and psutil.Process().num_fds() < mine + most
                )
            )

    run(work)


def test_only_machines_of_the_ayllu_may_ask(far: Far) -> None:
    body = msgspec.to_builtins(request())
    answer = far.server.post(PATH, body)
    assert answer.status == 403
    assert "only another machine of the ayllu" in answer.json["error"]


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"[]",
        b'{"deployment": ""}',
        b'{"deployment":"d","fence":-1,"model":"m","digest":"x","size":0,"first":0,"layers":0,"room":0}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_what_is_no_request_is_refused_in_a_sentence(far: Far, wrong: bytes) -> None:
    async def work() -> None:
        async with far.head() as ways:
            answer = await ways.peers.ask(far.node, "POST", PATH, body=wrong)
            assert answer.status == 400
            assert json.loads(await answer.read(10_000))["error"]
            answer.close()

    run(work)


@pytest.mark.parametrize("what", ["revoke", "leave"])
def test_a_coordinator_of_no_ayllu_or_another_loses_its_workers_at_once(
    tmp_path: Path, what: str
) -> None:
    with far_machine(tmp_path, members=1) as far:

        async def work() -> None:
            async with far.head() as ways, await far.take(ways) as remote:
                body = {"node": far.members[0].node} if what == "revoke" else {}
                path = f"/api/cluster/{what}"
                answer = await asyncio.to_thread(far.server.post, path, body)
                assert answer.status == 200
                await until(lambda: remote.lost and not far.workers(), seconds=6)
                with pytest.raises(PartLostError):
                    await far.take(ways)

        run(work)
