"""Clients that leave, engines that are killed, a server that is killed: nothing is lost or left."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from gguf_maker import walk
from serving import Serving, clean_environment, launch, serving, wait_until

USER = [{"role": "user", "content": "hello"}]
LONG = {"num_predict": 300, "temperature": 0}


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory, endless_gguf: Path) -> Iterator[Serving]:
    """A server with a model that goes on as long as it may."""
    with serving(tmp_path_factory.mktemp("home")) as running:
        running.create("endless", endless_gguf)
        yield running


async def stream(session: aiohttp.ClientSession, url: str, stop_after: int = 0) -> str:
    """The text of a chat; given up after some lines, or read to its end."""
    body = {"model": "endless", "messages": USER, "options": LONG}
    text, lines = "", 0
    async with session.post(f"{url}/api/chat", json=body) as response:
        assert response.status == 200, await response.text()
        async for line in response.content:
            item = json.loads(line)
            assert "error" not in item, item
            text += str(item["message"]["content"])
            lines += 1
            if item["done"]:
                assert item["done_reason"] == "length"
                break
            if lines == stop_after:
                break
        else:
            raise AssertionError("the stream ended without its last line")
    return text


async def kill_engines(server: Serving, times: int, every: float) -> None:
    for _ in range(times):
        await asyncio.sleep(every)
        engines = await asyncio.to_thread(server.engines)
        for engine in engines:
            engine.kill()


def test_fifty_streams_survive_ten_that_leave_and_three_kills(endless: Serving) -> None:
    async def everything() -> list[str]:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            streams = [stream(session, endless.url, 20 if n % 5 == 0 else 0) for n in range(50)]
            texts = await asyncio.gather(*streams, kill_engines(endless, 3, 0.7))
            return [text for text in texts if text is not None]

    one = {"model": "endless", "messages": USER, "options": {"num_predict": 1}}
    process = psutil.Process(endless.process.pid)
    endless.post("/api/chat", one)
    files = process.num_fds()
    texts = asyncio.run(everything())
    whole = [text for n, text in enumerate(texts) if n % 5]
    assert whole == [walk(300)] * 40
    assert [text for n, text in enumerate(texts) if n % 5 == 0] == [walk(20)] * 10
    assert "engine ended" in endless.log.read_text()
    endless.post("/api/chat", one)  # the last kill may have come behind the last answer
    wait_until(lambda: len(endless.engines()) == 1, what="one engine being left")
    wait_until(lambda: endless.busy_slots() == 0, what="every slot coming free")
    wait_until(lambda: process.num_fds() <= files + 1, what="every socket being closed")


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_leaves_frees_its_slot(endless: Serving, streamed: bool) -> None:
    options = {"num_predict": 60_000, "num_ctx": 8192}
    body = {"model": "endless", "messages": USER, "options": options, "stream": streamed}
    data = json.dumps(body).encode()
    host, port = endless.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /api/chat HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data)
        wait_until(lambda: endless.engines() and endless.busy_slots() == 1, what="its start")
    wait_until(lambda: endless.busy_slots() == 0, 5, "its slot coming free")


def test_a_client_that_leaves_ends_all_of_its_choices(endless: Serving) -> None:
    body = {"model": "endless", "messages": USER, "n": 8, "options": {"num_ctx": 8192}}
    data = json.dumps(body | {"stream": True}).encode()
    host, port = endless.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\n"
        connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        wait_until(lambda: endless.engines() and endless.busy_slots() == 4, what="their start")
    wait_until(lambda: endless.busy_slots() == 0, 5, "their slots coming free")


def test_embeddings_survive_a_kill_too(endless: Serving) -> None:
    texts = ["x" * 2000] * 40
    body = {"model": "endless", "input": texts}
    whole = endless.post("/api/embed", body).json["embeddings"]
    killed = threading.Thread(target=lambda: asyncio.run(kill_engines(endless, 1, 0.05)))
    killed.start()
    assert endless.post("/api/embed", body).json["embeddings"] == whole
    killed.join()


def test_a_hung_engine_is_replaced(
    tmp_path_factory: pytest.TempPathFactory, endless_gguf: Path
) -> None:
    home = tmp_path_factory.mktemp("home")
    with serving(home, AYLLU_TOKEN_TIMEOUT="3s", AYLLU_FIRST_TOKEN_TIMEOUT="3s") as server:
        server.create("endless", endless_gguf)
        body = {"model": "endless", "messages": USER, "options": LONG, "stream": False}
        assert server.post("/api/chat", body).json["message"]["content"] == walk(300)
        (engine,) = server.engines()
        engine.suspend()
        assert server.post("/api/chat", body).json["message"]["content"] == walk(300)
        assert [other.pid for other in server.engines()] != [engine.pid]
        assert "stopped answering" in server.log.read_text()


def has_ended(process: psutil.Process) -> bool:
    """Whether a process that has no parent any more runs no more, reaped or not."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_killing_the_server_takes_its_engines_with_it(
    tmp_path_factory: pytest.TempPathFactory, endless_gguf: Path
) -> None:
    home = tmp_path_factory.mktemp("home")
    server = launch(home)
    server.create("endless", endless_gguf)
    server.post("/api/generate", {"model": "endless"})
    (engine,) = server.engines()
    server.process.kill()
    server.process.wait()
    wait_until(lambda: has_ended(engine))
    assert list(home.glob("ayllu-*")), "the killed server could not clean up"
    with serving(home) as again:
        assert "endless:latest" in {row["name"] for row in again.get("/api/tags").json["models"]}
        assert not list(home.glob("ayllu-*"))
        answer = again.post(
            "/api/chat", {"model": "endless", "messages": USER, "options": LONG, "stream": False}
        )
        assert answer.json["message"]["content"] == walk(300)


def test_stopping_the_server_ends_answers_under_way(
    tmp_path_factory: pytest.TempPathFactory, endless_gguf: Path
) -> None:
    with serving(tmp_path_factory.mktemp("home")) as server:
        server.create("endless", endless_gguf)
        body = {"model": "endless", "messages": USER, "options": {"num_predict": 60_000}}
        answers: list[Any] = []
        asking = threading.Thread(target=lambda: answers.append(_try_post(server, body)))
        asking.start()
        wait_until(lambda: server.engines() and server.busy_slots() == 1, what="the answer's start")
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 15
        asking.join()
    (answer,) = answers
    assert answer.lines[-1] == {"error": "the server is shutting down"}


def _try_post(server: Serving, body: Any) -> Any:
    try:
        return server.post("/api/chat", body)
    except (OSError, http.client.HTTPException) as error:
        return error


def test_two_servers_share_one_store(
    tmp_path_factory: pytest.TempPathFactory, chat_gguf: Path
) -> None:
    home, other = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("home")
    with serving(home) as first, serving(other, AYLLU_MODELS=str(home / "models")) as second:
        first.create("one", chat_gguf)
        second.create("two", chat_gguf)
        for server in (first, second):
            names = {row["name"] for row in server.get("/api/tags").json["models"]}
            assert names >= {"one:latest", "two:latest"}
        assert second.request("DELETE", "/api/delete", {"model": "one"}).status == 200
        body = {"model": "two", "messages": USER, "stream": False}
        for server in (first, second):
            assert server.post("/api/chat", body).json["message"]["content"] == walk(26)


def test_a_port_in_use_is_told_with_its_holder(tmp_path_factory: pytest.TempPathFactory) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        environment = clean_environment(tmp_path_factory.mktemp("home"))
        done = subprocess.run(
            [sys.executable, "-m", "ayllu", "serve"],
            env=environment | {"AYLLU_HOST": f"127.0.0.1:{port}"},
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert str(os.getpid()) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_right_at_the_start_ends_the_server(
    tmp_path_factory: pytest.TempPathFactory, number: signal.Signals
) -> None:
    environment = clean_environment(tmp_path_factory.mktemp("home"))
    process = subprocess.Popen(
        [sys.executable, "-m", "ayllu", "serve"],
        env=environment | {"AYLLU_HOST": "127.0.0.1:0"},
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background inherits that Ctrl-C is ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads
    )
    # Before our own code runs it is Python's start-up that a signal ends, with a traceback.
    maps = psutil.Process(process.pid).memory_maps
    wait_until(lambda: any("msgspec" in area.path for area in maps()), what="our first imports")
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode in {0, 130, 143, -signal.SIGTERM, -signal.SIGINT}, errors
    assert "Traceback" not in errors
