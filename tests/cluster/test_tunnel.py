"""Raw streams between machines: real TLS on loopback, on the server's event loop and Python's."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop
from ayllus import Ayllu, until
from cluster.pki import Authority
from cluster.test_peers import context
from tunnels import LOOPBACK, Echo, tunnel

from ayllu.cluster.endpoints import split_endpoint
from ayllu.cluster.ends import Framed, Plain
from ayllu.cluster.peers import PeerGoneError
from ayllu.cluster.tunnel import (
    FIRST_SECONDS,
    MOST_STREAMS_OF_ONE,
    Opening,
    RefusedStreamError,
    Tunnel,
)

Run = Callable[[Coroutine[Any, Any, None]], None]
OPENING = Opening("lease", "rpc")


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def timed(work: Coroutine[Any, Any, None]) -> None:
        async def whole() -> None:
            async with asyncio.timeout(60):
                await work

        request.param(whole())

    return timed


class Two:
    """Two members: `there` listens at `place`, `here` calls."""

    def __init__(self, folder: Path, host: Echo) -> None:
        self.ayllu = Ayllu(folder)
        self.theirs = self.ayllu.member("there")
        self.ours = self.ayllu.member("here")
        self.node = self.theirs.node
        self.host = host
        self.there = tunnel(self.theirs, host)
        self.place = ""

    def caller(self, *places: str) -> Tunnel:
        return tunnel(self.ours, places={self.node: places or (self.place,)})


@asynccontextmanager
async def two(folder: Path, host: Echo | None = None) -> AsyncIterator[tuple[Two, Tunnel]]:
    pair = Two(folder, host or Echo())
    (pair.place,) = await pair.there.start(LOOPBACK, 0)
    here = pair.caller()
    try:
        yield pair, here
    finally:
        await here.close()
        await pair.there.close()
        pair.ayllu.unlock()


def test_a_stream_carries_bytes_both_ways_and_says_whose_it_is(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        async with two(tmp_path) as (pair, here):
            stream = await here.open(pair.node, OPENING)
            stream.send(b"hello")
            assert await stream.read() == b"hello"
            stream.send_end()
            assert await stream.read() == b""
            assert pair.host.asked == [(pair.ours.node, OPENING)]
            await until(lambda: not here.streams and not pair.there.streams)

    run(work())


@asynccontextmanager
async def through(pair: Two, here: Tunnel) -> AsyncIterator[int]:
    """A local port whose connections come out where the host there joins them."""
    tasks = []

    class Local(Plain):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            tasks.append(asyncio.ensure_future(self.go()))

        async def go(self) -> None:
            self.join(await here.open(pair.node, OPENING))

    server = await asyncio.get_running_loop().create_server(Local, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*tasks)


def joining(target: Callable[[], int]) -> Echo:
    async def serve(stream: Framed) -> None:
        loop = asyncio.get_running_loop()
        _, plain = await loop.create_connection(Plain, "127.0.0.1", target())
        stream.join(plain)

    return Echo(serve)


def pieces(data: bytes, chance: random.Random) -> list[bytes]:
    """Data cut at random places, small and large."""
    found = []
    while data:
        size = chance.choice((1, 2, 3, 700, 4096, 70_000, 300_000))
        found.append(data[:size])
        data = data[size:]
    return found


@pytest.mark.parametrize("seed", range(3))
def test_bytes_are_exact_under_fragmentation_and_an_answer_follows_a_half_close(
    run: Run, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    sent, answered = chance.randbytes(3_000_000), chance.randbytes(2_000_000)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = await reader.read(-1)  # to the end: the client has shut its direction down
        writer.write(hashlib.sha256(got).digest())
        for piece in pieces(answered, chance):
            writer.write(piece)
            await writer.drain()
        writer.close()

    async def work() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with two(tmp_path, joining(lambda: port)) as (pair, here):
            async with server, through(pair, here) as local:
                reader, writer = await asyncio.open_connection("127.0.0.1", local)
                for piece in pieces(sent, chance):
                    writer.write(piece)
                    await writer.drain()
                writer.write_eof()
                got = await reader.read(-1)
                assert got == hashlib.sha256(sent).digest() + answered
                writer.close()
            await until(lambda: not here.streams and not pair.there.streams)

    run(work())


def test_whoever_does_not_read_is_sent_little(run: Run, tmp_path: Path) -> None:
    block, blocks = bytes(1 << 16), 2000

    async def work() -> None:
        may_read = asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await may_read.wait()
            writer.write(b"%d" % len(await reader.read(-1)))
            writer.close()

        server = await asyncio.start_server(slow, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with (
            two(tmp_path, joining(lambda: port)) as (pair, here),
            server,
            through(pair, here) as local,
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", local)
            sent = 0
            try:
                async with asyncio.timeout(1.5):
                    while sent < blocks:
                        writer.write(block)
                        sent += 1
                        await writer.drain()
            except TimeoutError:
                pass
            assert sent < blocks / 2, "all of it was taken, and nobody read it"
            may_read.set()
            writer.write_eof()
            assert await reader.read(-1) == b"%d" % (sent * len(block))
            writer.close()

    run(work())


def test_a_broken_connection_breaks_the_other_end(run: Run, tmp_path: Path) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        plain = writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        writer.transport.abort()

    async def work() -> None:
        server = await asyncio.start_server(cut, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with two(tmp_path, joining(lambda: port)) as (pair, here), server:
            stream = await here.open(pair.node, OPENING)
            stream.send(b"x")
            with pytest.raises(PeerGoneError):
                await stream.read()
            await until(lambda: not here.streams and not pair.there.streams)

    run(work())


def test_a_refusal_is_said_in_a_sentence(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        async with two(tmp_path) as (pair, here):
            with pytest.raises(RefusedStreamError, match="there is no such lease"):
                await here.open(pair.node, Opening("unknown", "beat"))
            await until(lambda: not here.streams and not pair.there.streams)

    run(work())


def test_the_first_address_that_answers_as_the_machine_is_taken(run: Run, tmp_path: Path) -> None:
    async def work() -> None:
        async with two(tmp_path) as (pair, _):
            impostor = tunnel(pair.ours)
            (wrong,) = await impostor.start(LOOPBACK, 0)
            with socket.create_server(("127.0.0.1", 0)) as silent:
                closed = "127.0.0.1:1"
                deaf = f"127.0.0.1:{silent.getsockname()[1]}"
                caller = pair.caller(deaf, closed, wrong, "nonsense", pair.place)
                stream = await caller.open(pair.node, OPENING)
                stream.send_end()
                assert await stream.read() == b""
                for places, reason in (
                    ((wrong,), "another machine answers at its address"),
                    ((closed,), "connection refused|connect call failed"),
                    (("nonsense",), "its address is none"),
                    ((deaf,), "it does not answer"),
                ):
                    with pytest.raises(PeerGoneError, match=reason):
                        await pair.caller(*places).open(pair.node, OPENING)
                with pytest.raises(PeerGoneError, match="no address of it is known"):
                    await tunnel(pair.ours).open(pair.node, OPENING)
            assert len(pair.host.asked) == 1
            await impostor.close()

    run(work())


async def said_to(place: str, tls: ssl.SSLContext | None, data: bytes) -> bytes:
    """What a listener says to whoever comes with these bytes, until it closes."""
    host, port = split_endpoint(place)
    try:
        reader, writer = await asyncio.open_connection(
            host, port, ssl=tls, server_hostname="x" if tls else None
        )
        writer.write(data)
        try:
            return await reader.read(-1)
        finally:
            writer.transport.abort()
    except OSError:
        return b""


def message(opening: Opening) -> bytes:
    packed = msgspec.msgpack.encode(opening)
    packed = len(packed).to_bytes(2, "big") + packed
    return len(packed).to_bytes(4, "big") + packed


def test_who_is_no_member_gets_nothing(run: Run, tmp_path: Path) -> None:
    Authority().issue(tmp_path / "foreign")

    async def work() -> None:
        async with two(tmp_path) as (pair, _):
            foreign = context(tmp_path / "foreign", ssl.PROTOCOL_TLS_CLIENT)
            bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            for context_ in (foreign, bare):
                context_.check_hostname = False
                context_.verify_mode = ssl.CERT_NONE
            for tls in (foreign, bare, None):
                assert await said_to(pair.place, tls, message(OPENING)) == b""
            revoked = pair.ayllu.member("revoked")
            pair.theirs.revoked.revoke(revoked.node, "stolen", 0.0)
            caller = tunnel(revoked, places={pair.node: (pair.place,)})
            with pytest.raises(PeerGoneError):
                await caller.open(pair.node, OPENING)
            assert pair.host.asked == []
            assert not pair.there.streams

    run(work())


def test_who_says_nothing_is_waited_for_for_some_seconds_only(tmp_path: Path) -> None:
    async def work() -> None:
        async with two(tmp_path) as (pair, _):
            tls = pair.ours.client_context()
            tls.check_hostname = False
            begun = message(OPENING)[:9]
            async with asyncio.timeout(2 * FIRST_SECONDS):
                said = await asyncio.gather(
                    said_to(pair.place, None, b""),
                    said_to(pair.place, tls, b""),
                    said_to(pair.place, tls, begun),
                )
            assert list(said) == [b"", b"", b""]
            assert pair.host.asked == []

    uvloop.run(work())


def test_one_machine_has_so_many_streams_and_no_more(tmp_path: Path) -> None:
    async def work() -> None:
        async with two(tmp_path) as (pair, here):
            for _ in range(MOST_STREAMS_OF_ONE):
                await here.open(pair.node, OPENING)
            with pytest.raises(PeerGoneError):
                await here.open(pair.node, OPENING)
            pair.there.drop(pair.ours.node)
            await until(lambda: not here.streams and not pair.there.streams)
            await here.open(pair.node, OPENING)

    uvloop.run(work())
