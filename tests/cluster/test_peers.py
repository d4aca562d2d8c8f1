"""The API between machines: real TLS connections between two ends in one process."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cluster.pki import Authority
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ayllu.cluster.peer_server import PeerServer, peer_of
from ayllu.cluster.peers import PeerGoneError, Peers
from ayllu.errors import AylluError


class App:
    """A small application: it says who asked, echoes bodies, and streams until it is closed."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self.app = Starlette(
            routes=[
                Route("/who", self._who),
                Route("/echo", self._echo, methods=["POST"]),
                Route("/endless", self._endless),
            ]
        )

    async def _who(self, request: Request) -> Response:
        return JSONResponse({"peer": peer_of(request.scope), "host": request.headers["host"]})

    async def _echo(self, request: Request) -> Response:
        return Response(await request.body(), headers={"x-said": request.headers["x-say"]})

    async def _endless(self, _: Request) -> Response:
        return StreamingResponse(self._lines(), media_type="application/x-ndjson")

    async def _lines(self) -> AsyncGenerator[bytes]:
        try:
            while True:
                yield b"{}\n"
                await asyncio.sleep(0.01)
        finally:
            self.closed.set()


class Ayllu:
    """Two members in one process: `ours` asks and `theirs` listens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority()
        self.ours = self.authority.issue(folder / "ours")
        self.theirs = self.authority.issue(folder / "theirs")
        self.refused: set[str] = set()
        self.addresses: list[str] = []

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[tuple[App, PeerServer]]:
        app = App()
        server = PeerServer(app.app, self.refused.__contains__)
        tls = context(self.folder / "theirs")
        self.addresses += await server.start(tls, ["127.0.0.1"], 0)
        try:
            yield app, server
        finally:
            await server.close()

    @asynccontextmanager
    async def asking(self, folder: str = "ours") -> AsyncGenerator[Peers]:
        peers = Peers(
            context(self.folder / folder, ssl.PROTOCOL_TLS_CLIENT), lambda _: self.addresses
        )
        try:
            yield peers
        finally:
            await peers.close()

    async def who(self, peers: Peers, node: str | None = None) -> bytes:
        answer = await peers.ask(node or self.theirs, "GET", "/who")
        try:
            return await answer.read(1000)
        finally:
            answer.close()


def context(folder: Path, kind: int = ssl.PROTOCOL_TLS_SERVER) -> ssl.SSLContext:
    """Mutual TLS with what lies in a folder."""
    made = ssl.SSLContext(kind)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_verify_locations(folder / "ca.crt")
    made.load_cert_chain(folder / "node.crt", folder / "key.pem")
    return made


@pytest.fixture
def ayllu(tmp_path: Path) -> Ayllu:
    return Ayllu(tmp_path)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 20))


def test_a_member_is_known_by_its_certificate(ayllu: Ayllu) -> None:
    async def work() -> None:
        async with ayllu.listening(), ayllu.asking() as peers:
            said = await ayllu.who(peers)
            assert said == b'{"peer":"%s","host":"%s"}' % (
                ayllu.ours.encode(),
                ayllu.theirs.encode(),
            )

    run(work())


def test_bytes_go_both_ways_as_they_are(ayllu: Ayllu) -> None:
    async def work() -> None:
        body = bytes(range(256)) * 8192
        async with ayllu.listening(), ayllu.asking() as peers:
            answer = await peers.ask(
                ayllu.theirs, "POST", "/echo?a=%2F", headers={"x-say": "ayni"}, body=body
            )
            assert answer.headers["x-said"] == "ayni"
            assert await answer.read(len(body)) == body
            answer.close()

    run(work())


def test_a_long_answer_has_an_end(ayllu: Ayllu) -> None:
    async def work() -> None:
        async with ayllu.listening(), ayllu.asking() as peers:
            answer = await peers.ask(ayllu.theirs, "GET", "/endless")
            with pytest.raises(PeerGoneError, match="more than 10 bytes"):
                await answer.read(10)
            answer.close()

    run(work())


def test_connections_are_kept(ayllu: Ayllu) -> None:
    async def work() -> None:
        async with ayllu.listening() as (_, server), ayllu.asking() as peers:
            for _ in range(3):
                await ayllu.who(peers)
            assert server.connections == [ayllu.ours]

    run(work())


def test_closing_an_answer_ends_it_over_there(ayllu: Ayllu) -> None:
    async def work() -> None:
        async with ayllu.listening() as (app, _), ayllu.asking() as peers:
            answer = await peers.ask(ayllu.theirs, "GET", "/endless")
            assert await anext(answer.pieces())
            answer.close()
            await app.closed.wait()

    run(work())


def test_who_waits_for_a_machine_that_left_learns_it_at_once(ayllu: Ayllu) -> None:
    async def work() -> None:
        async with ayllu.listening(), ayllu.asking() as peers:
            answer = await peers.ask(ayllu.theirs, "GET", "/endless")
            asyncio.get_running_loop().call_later(0.05, peers.drop, ayllu.theirs)
            with pytest.raises(PeerGoneError):
                async for _ in answer.pieces():
                    pass
            answer.close()

    run(work())


def test_who_waits_for_the_first_byte_learns_it_too(ayllu: Ayllu) -> None:
    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            ayllu.addresses.append(f"127.0.0.1:{silent.getsockname()[1]}")
            async with ayllu.asking() as peers:
                asyncio.get_running_loop().call_later(0.05, peers.drop, ayllu.theirs)
                with pytest.raises(PeerGoneError, match="left the ayllu"):
                    await peers.ask(ayllu.theirs, "GET", "/who")

    run(work())


def test_a_server_that_ends_breaks_its_answers_off(ayllu: Ayllu) -> None:
    async def work() -> None:
        async with ayllu.asking() as peers:
            async with ayllu.listening():
                answer = await peers.ask(ayllu.theirs, "GET", "/endless")
            with pytest.raises(PeerGoneError):
                async for _ in answer.pieces():
                    pass
            answer.close()

    run(work())


def test_dead_addresses_do_not_keep_a_living_one_back(ayllu: Ayllu, free_port: int) -> None:
    async def work() -> None:
        ayllu.addresses += [
            f"127.0.0.1:{free_port}",
            "no address",
            "127.0.0.1:0",
            f"[::1]:{free_port}",
        ]
        async with ayllu.listening(), ayllu.asking() as peers:
            assert ayllu.ours.encode() in await ayllu.who(peers)

    run(work())


def test_nothing_is_sent_to_another_machine_at_that_address(ayllu: Ayllu) -> None:
    async def work() -> None:
        third = ayllu.authority.issue(ayllu.folder / "third")
        async with ayllu.listening() as (_, server), ayllu.asking() as peers:
            with pytest.raises(PeerGoneError, match="another machine answers"):
                await ayllu.who(peers, third)
            assert server.connections == []

    run(work())


def test_a_machine_without_an_address_cannot_be_asked(ayllu: Ayllu) -> None:
    async def work() -> None:
        async with ayllu.asking() as peers:
            with pytest.raises(PeerGoneError, match="no address of it is known"):
                await ayllu.who(peers)

    run(work())


@pytest.mark.parametrize("how", ["another ayllu", "expired", "no certificate", "old TLS"])
def test_strangers_are_refused(ayllu: Ayllu, how: str) -> None:
    async def work() -> None:
        folder = ayllu.folder / "stranger"
        days = -0.01 if how == "expired" else 30
        ayllu.authority.issue(folder, days=days)
        tls = context(folder, ssl.PROTOCOL_TLS_CLIENT)
        if how == "another ayllu":
            Authority().issue(folder)
            tls.load_cert_chain(folder / "node.crt", folder / "key.pem")
        elif how == "no certificate":
            tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        elif how == "old TLS":
            tls.minimum_version = ssl.TLSVersion.TLSv1_2
            tls.maximum_version = ssl.TLSVersion.TLSv1_2
        async with ayllu.listening() as (_, server):
            peers = Peers(tls, lambda _: ayllu.addresses)
            with pytest.raises(PeerGoneError):
                await ayllu.who(peers)
            assert server.connections == []
            await peers.close()

    run(work())


def test_a_revoked_machine_is_refused_and_what_it_has_under_way_ends(ayllu: Ayllu) -> None:
    async def work() -> None:
        async with ayllu.listening() as (app, server), ayllu.asking() as peers:
            answer = await peers.ask(ayllu.theirs, "GET", "/endless")
            ayllu.refused.add(ayllu.ours)
            server.drop(ayllu.ours)
            await app.closed.wait()
            answer.close()
            with pytest.raises(PeerGoneError, match="may have revoked"):
                await ayllu.who(peers)

    run(work())


def test_plain_http_gets_nothing(ayllu: Ayllu) -> None:
    async def work() -> None:
        async with ayllu.listening():
            reader, writer = await asyncio.open_connection(*ayllu.addresses[0].split(":"))
            writer.write(b"GET /who HTTP/1.1\r\nhost: x\r\n\r\n")
            said = await reader.read()
            assert b"HTTP" not in said
            assert b"peer" not in said
            writer.close()

    run(work())


def test_a_port_that_is_taken_is_replaced(ayllu: Ayllu) -> None:
    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            server = PeerServer(App().app, lambda _: False)
            tls = context(ayllu.folder / "theirs")
            (endpoint,) = await server.start(tls, ["127.0.0.1", "192.0.2.1"], port)
            assert endpoint != f"127.0.0.1:{port}"
            await server.close()
            with pytest.raises(AylluError, match=r"cannot listen .* \(192\.0\.2\.1"):
                await server.start(tls, ["192.0.2.1"], port)

    run(work())
