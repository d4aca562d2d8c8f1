"""Whole servers that make an ayllu on loopback: join, use each other's models, leave."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psutil
import pytest
from ayllu_servers import Machines, join, models, nodes
from serving import Serving, wait_until

from ayllu.cluster.peers import Peers
from ayllu.server.frames import (
    BEAT,
    END,
    HEAD,
    HOP_HEADER,
    ITEM,
    SAID,
    Carried,
    Unframer,
    read_number,
)
from ayllu.server.routes import ROUTES


def context_of(server: Serving) -> ssl.SSLContext:
    """What a member speaks to the others with."""
    folder = server.home / "cluster"
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "node.crt", folder / "key.pem")
    return context


def peer_places(server: Serving) -> tuple[str, ...]:
    """Where a member listens for the others."""
    return tuple(server.post("/api/cluster/up", {}).json["endpoints"])


CHAT = {"messages": [{"role": "user", "content": "hi"}], "options": {"temperature": 0}}


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with ExitStack() as stack:
        yield Machines(tmp_path, stack)


@pytest.fixture(scope="module")
def two(
    tmp_path_factory: pytest.TempPathFactory, endless_gguf: Path
) -> Iterator[tuple[Serving, Serving]]:
    """An ayllu of `anta`, which alone has the models `solo` and `endless`, and `bari`."""
    with ExitStack() as stack:
        anta, bari = Machines(tmp_path_factory.mktemp("two"), stack).pair("anta", "bari")
        anta.make("solo", **{"from": "mini"})
        anta.create("endless", endless_gguf)
        wait_until(lambda: {"solo:latest", "endless:latest"} <= set(models(bari)))
        yield anta, bari


def test_a_server_in_no_ayllu_opens_no_port_and_stays_small(machines: Machines) -> None:
    alone = machines.start("alone")
    assert [node["state"] for node in nodes(alone).values()] == ["here"]
    process = psutil.Process(alone.process.pid)
    ports = {one.laddr.port for one in process.net_connections() if one.status == "LISTEN"}
    assert ports == {int(alone.url.rpartition(":")[2])}
    loaded = {Path(one.path).name for one in process.memory_maps()}
    assert not {
        name for name in loaded if "zenoh" in name or "numpy" in name or "_rust.abi3" in name
    }


def test_machines_join_see_each_other_and_run_each_others_models(
    two: tuple[Serving, Serving],
) -> None:
    anta, bari = two
    assert models(bari)["solo:latest"] == {"anta"}
    assert models(bari)["mini:latest"] == {"anta", "bari"}
    assert "solo:latest" not in {row["name"] for row in bari.get("/api/tags").json["models"]}

    own = bari.post("/api/chat", {"model": "mini", **CHAT})
    assert "x-ayllu-node" not in own.headers, "what is here, and in no memory, is loaded here"
    here = anta.post("/api/chat", {"model": "solo", **CHAT})
    there = bari.post("/api/chat", {"model": "SOLO", **CHAT})
    assert there.headers["x-ayllu-node"] == nodes(bari)["anta"]["id"]
    assert "x-ayllu-node" not in here.headers
    assert there.headers["content-type"] == here.headers["content-type"]
    assert [line["message"] for line in there.lines] == [line["message"] for line in here.lines]

    listed = bari.ayllu("list", "--all").stdout
    assert "anta" in next(line for line in listed.splitlines() if line.startswith("solo:latest"))
    ran = bari.ayllu("run", "solo", "--hidethinking", "hi")
    assert ran.status == 0
    assert ran.stdout.strip()
    assert ran.stderr == "solo is on another machine of the ayllu and runs there: anta\n"


ASKED: list[tuple[str, dict[str, Any]]] = [
    ("/api/generate", {"prompt": "hi", "stream": False}),
    ("/api/chat", {"messages": [{"role": "user", "content": "hi"}], "stream": False}),
    ("/api/tokenize", {"content": "hi"}),
    ("/api/detokenize", {"tokens": [1, 2]}),
    ("/api/show", {}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
    ("/v1/completions", {"prompt": "hi", "max_tokens": 4}),
    ("/v1/responses", {"input": "hi", "max_output_tokens": 16, "store": False}),
    ("/v1/messages", {"max_tokens": 4, "messages": [{"role": "user", "content": "hi"}]}),
    ("/v1/messages/count_tokens", {"messages": [{"role": "user", "content": "hi"}]}),
]


def test_every_dialect_is_answered_by_the_machine_that_has_the_model(
    two: tuple[Serving, Serving],
) -> None:
    anta, bari = two
    node = nodes(bari)["anta"]["id"]
    for path, body in ASKED:
        answer = bari.post(path, {"model": "solo", **body})
        assert (answer.status, answer.headers.get("x-ayllu-node")) == (200, node), path
    assert bari.get("/v1/models/solo").headers["x-ayllu-node"] == node
    refused = bari.post("/api/embed", {"model": "solo", "input": "hi"})
    assert refused.status == anta.post("/api/embed", {"model": "solo", "input": "hi"}).status
    bad = bari.post("/v1/chat/completions", {"model": "solo", "messages": [], "n": 0})
    assert (
        bad.body
        == anta.post("/v1/chat/completions", {"model": "solo", "messages": [], "n": 0}).body
    )


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_leaves_frees_the_slot_on_the_other_machine(
    two: tuple[Serving, Serving], streamed: bool
) -> None:
    anta, bari = two
    body = {"model": "endless", "stream": streamed, **CHAT}

    async def read(session: aiohttp.ClientSession) -> None:
        async with session.post(f"{bari.url}/api/chat", json=body) as response:
            await response.read()

    async def wait_a_little() -> None:
        async with aiohttp.ClientSession() as session:
            asked = asyncio.create_task(read(session))
            while await asyncio.to_thread(anta.busy_slots) != 1:
                assert not asked.done()
                await asyncio.sleep(0.02)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

    asyncio.run(wait_a_little())
    wait_until(lambda: anta.busy_slots() == 0, 5.0, "freeing the slot")


def test_a_machine_that_dies_in_an_answer_ends_it_with_the_dialects_error(
    machines: Machines, endless_gguf: Path
) -> None:
    anta, bari = machines.pair("anta", "bari")
    anta.create("endless", endless_gguf)
    wait_until(lambda: "endless:latest" in models(bari), what="hearing of a model")
    body = {"model": "endless", "stream": True, "max_tokens": 8000, "messages": CHAT["messages"]}

    async def read_all(path: str, begun: asyncio.Barrier) -> bytes:
        async with (
            aiohttp.ClientSession() as session,
            session.post(bari.url + path, json=body) as response,
        ):
            read = await response.content.readany()
            async with begun:
                anta.process.kill()
            return read + await response.read()

    async def read_each(*paths: str) -> list[bytes]:
        begun = asyncio.Barrier(len(paths))
        return await asyncio.gather(*(read_all(path, begun) for path in paths))

    lines, events, messages = asyncio.run(
        read_each("/api/chat", "/v1/chat/completions", "/v1/messages")
    )
    sentence = "the machine that answered has left the ayllu"
    assert lines.endswith(b'\n{"error":"%s"}\n' % sentence.encode())
    assert b'\ndata: {"error":{"message":"%s"' % sentence.encode() in events
    assert b'event: error\ndata: {"type":"error"' in messages.replace(b"\n\n", b"\n")
    wait_until(lambda: len(nodes(bari)) == 1, 5.0, "missing the machine")
    gone = bari.post("/api/chat", {"model": "endless", **CHAT})
    assert (gone.status, gone.json) == (404, {"error": "model 'endless' not found"})


def test_another_holder_answers_where_the_first_cannot_be_reached(machines: Machines) -> None:
    anta, bari = machines.pair("anta", "bari")
    chaka = machines.start("chaka")
    code = anta.post("/api/cluster/invite", {}).json["code"]
    assert chaka.post("/api/cluster/join", {"code": code}).status == 200
    for server in (anta, chaka):
        server.make("solo", **{"from": "mini"})
    wait_until(lambda: models(bari).get("solo:latest") == {"anta", "chaka"}, what="hearing of it")
    anta.post("/api/generate", {"model": "solo"})  # so that it is the first choice
    wait_until(
        lambda: any(
            row["name"] == "solo:latest" and row["loaded"] for row in nodes(bari)["anta"]["models"]
        ),
        what="hearing that it is loaded",
    )
    known = nodes(bari)
    first = bari.post("/api/chat", {"model": "solo", "stream": False, **CHAT})
    assert first.headers["x-ayllu-node"] == known["anta"]["id"]
    anta.process.send_signal(signal.SIGSTOP)
    try:
        asked = time.monotonic()
        second = bari.post("/api/chat", {"model": "solo", "stream": False, **CHAT})
        assert (second.status, second.headers["x-ayllu-node"]) == (200, known["chaka"]["id"])
        assert time.monotonic() - asked < 20
    finally:
        anta.process.send_signal(signal.SIGCONT)


def test_machines_find_each_other_again_after_a_restart(machines: Machines) -> None:
    anta, bari = machines.pair("anta", "bari")
    before = nodes(bari)
    bari.stop()
    wait_until(lambda: set(nodes(anta)) == {"anta"}, 5.0, "missing the machine")
    bari = machines.start("bari")
    wait_until(lambda: set(nodes(bari)) == set(nodes(anta)) == {"anta", "bari"}, what="rejoining")
    for server in (anta, bari):
        server.stop()
    anta, bari = machines.start("anta"), machines.start("bari")
    wait_until(lambda: set(nodes(bari)) == set(nodes(anta)) == {"anta", "bari"}, what="rejoining")
    assert {name: node["id"] for name, node in nodes(bari).items()} == {
        name: node["id"] for name, node in before.items()
    }


def test_a_revoked_machine_is_refused_and_one_that_left_is_forgotten(machines: Machines) -> None:
    anta, bari = machines.pair("anta", "bari")
    anta.make("solo", **{"from": "mini"})
    wait_until(lambda: "solo:latest" in models(bari), what="hearing of a model")
    node = nodes(anta)["bari"]["id"]
    done = anta.ayllu("revoke", "bari", "--yes", "--reason", "sold")
    assert done.stdout == f"bari ({node}) is no member any more, and no machine speaks to it.\n"
    wait_until(lambda: set(nodes(anta)) == {"anta"}, what="missing the machine")
    wait_until(lambda: set(nodes(bari)) == {"bari"}, what="being alone")
    assert bari.post("/api/chat", {"model": "solo", **CHAT}).status == 404
    assert "revoked" in bari.post("/api/cluster/up", {}).json["problem"]

    code = anta.post("/api/cluster/invite", {}).json["code"]
    kept = bari.post("/api/cluster/join", {"code": code})
    assert (kept.status, "run `ayllu leave` first" in kept.json["error"]) == (400, True)
    left = bari.ayllu("leave", "--yes")
    assert left.stdout == "This machine is in no ayllu any more. Its models stay.\n"
    assert f"ayllu revoke {node}" in left.stderr
    join(anta, bari)
    assert nodes(anta)["bari"]["id"] != node
    assert set(models(bari)["solo:latest"]) == {"anta"}


def test_a_machine_that_is_alone_in_its_ayllu_may_join_another(machines: Machines) -> None:
    anta, bari = machines.start("anta"), machines.start("bari")
    for server in (anta, bari):
        assert server.post("/api/cluster/up", {}).status == 200
    join(anta, bari)
    ids = {server.get("/api/cluster").json["ayllu"]["id"] for server in (anta, bari)}
    assert len(ids) == 1
    assert {node["name"] for node in nodes(bari).values()} == {"anta", "bari"}


def test_a_request_in_frames_is_honoured_and_what_is_none_is_refused(
    two: tuple[Serving, Serving],
) -> None:
    anta, bari = two
    node = nodes(bari)["anta"]["id"]
    body = json.dumps({"model": "solo", "stream": False, "max_tokens": 4, **CHAT}).encode()
    carried = msgspec.msgpack.encode(Carried(b"seed", 1_700_000_000))
    wrong = [
        ("no", body),
        ("0", body),
        ("-1", body),
        (str(1 << 40), body),
        ("5", b"\xc1\xc1\xc1\xc1\xc1" + body),
        (str(len(carried) + len(body) + 1), carried + body),
        *(
            (str(len(data)), data + body)
            for data in map(
                msgspec.msgpack.encode,
                [
                    [b"x" * 65, 0],
                    [b"x", -1],
                    [b"x", 0, {0: []}],
                    [b"x", 0, {0: [7]}],
                    [b"x", 0, {}, {0: -1}],
                ],
            )
        ),
    ]

    async def ask(header: str, data: bytes) -> tuple[int, bytes]:
        headers = {HOP_HEADER: header, "content-type": "application/json"}
        peers = Peers(context_of(bari), lambda _: peer_places(anta))
        answer = await peers.ask(node, "POST", "/v1/chat/completions", headers=headers, body=data)
        read = await answer.read(1 << 20)
        await peers.close()
        return answer.status, read

    for header, data in wrong:
        status, read = asyncio.run(ask(header, data))
        assert status == 400, (header, read)
        assert b"machine" in read or HOP_HEADER.encode() in read

    ids = set()
    for _ in range(2):
        status, read = asyncio.run(ask(str(len(carried)), carried + body))
        frames = [frame for frame in Unframer().feed(read) if frame[0] not in {BEAT, SAID}]
        assert [kind for kind, _ in frames] == [HEAD, ITEM, END]
        told = json.loads(read_number(frames[1][1])[1])
        assert (status, told["created"]) == (200, 1_700_000_000)
        ids.add(told["id"])
    assert len(ids) == 1

    plain = anta.post("/v1/chat/completions", body, headers={HOP_HEADER: "5"})
    assert (plain.status, plain.json["model"]) == (200, "solo")  # for others it is no header


def test_others_may_use_a_machine_but_not_change_it(two: tuple[Serving, Serving]) -> None:
    anta, bari = two
    node = nodes(bari)["anta"]

    async def ask() -> dict[str, int]:
        peers = Peers(context_of(bari), lambda _: peer_places(anta))
        answers = {}
        for route in ROUTES:
            path = re.sub(r"\{.*?\}", "x", route.path)
            answer = await peers.ask(node["id"], route.method, path, body=b"{}")
            answers[f"{route.method} {route.path}"] = answer.status
            answer.close()
        await peers.close()
        return answers

    answers = asyncio.run(ask())
    refused = {route for route, status in answers.items() if status == 403}
    assert refused == {f"{one.method} {one.path}" for one in ROUTES if not one.peers}
    for route in ("DELETE /api/delete", "POST /api/create", "POST /api/push", "POST /api/copy"):
        assert route in refused
    assert {"POST /api/cluster/revoke", "POST /api/cluster/leave"} <= refused
    assert answers["GET /api/tags"] == 200
    assert nodes(bari)["anta"]["id"] == node["id"]
