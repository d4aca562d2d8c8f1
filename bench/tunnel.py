"""What the tunnel between two machines costs: a round trip, bytes per second, a new stream.

    make bench SCRIPTS=bench/tunnel.py

Each end has a process of its own with the server's event loop, on loopback: a client, the near
end, mutual TLS, the far end, what answers. The near end is measured idle, and busy with the token
streams that a head writes at the same time.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import sys
import tempfile
import threading
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import uvloop
from ayllus import Ayllu
from measure import child
from tunnels import Echo, tunnel

from ayllu.cluster.credentials import Credentials
from ayllu.cluster.ends import Framed, Plain
from ayllu.cluster.identity import opened
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.tunnel import Opening

TRIPS = 2000
MESSAGE = 320
"""Bytes there and back: what the engine asks most often is of this size."""
BULK = 512 << 20
BLOCK = 1 << 20
STREAMS = 50
BUSY = {"idle": 0, "beside 8 streams of 50 tokens/s": 8, "beside 32": 32}


def answer() -> None:
    """Give back what comes; to a first byte of `B`, count up to BULK bytes and say that."""
    listener = socket.create_server(("127.0.0.1", 0))
    print("listening on", listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = bytearray(BLOCK)
    with connection:
        size = connection.recv_into(buffer)
        if buffer[:1] == b"B":
            while size < BULK and (more := connection.recv_into(buffer)):
                size += more
            connection.sendall(b"%d" % size)
            return
        while size:
            connection.sendall(buffer[:size])
            size = connection.recv_into(buffer)


async def far(credentials: Credentials, target: int) -> None:
    """The end at the worker."""

    async def serve(stream: Framed) -> None:
        _, plain = await asyncio.get_running_loop().create_connection(Plain, "127.0.0.1", target)
        stream.join(plain)

    (place,) = await tunnel(credentials, Echo(serve)).start(("127.0.0.1",), 0)
    print("listening on", place, flush=True)
    await asyncio.Event().wait()


async def near(credentials: Credentials, node: str, place: str, streams: int) -> None:
    """The end at the head, with streams of tokens beside it."""
    loop, there = asyncio.get_running_loop(), tunnel(credentials, places={node: (place,)})
    tasks = {asyncio.ensure_future(_tokens()) for _ in range(streams)}

    class Local(Plain):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            tasks.add(asyncio.ensure_future(self.go()))

        async def go(self) -> None:
            self.join(await there.open(node, Opening("bench", "rpc")))

    server = await loop.create_server(Local, "127.0.0.1", 0)
    print("listening on", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


async def _tokens() -> None:
    """What a token costs the server, 0.3 ms: parsed and written some times, 50 times a second."""
    chunk = json.dumps({"content": "word", "timings": {str(n): n * 0.1 for n in range(20)}})
    while True:
        await asyncio.sleep(0.02)
        for _ in range(12):
            json.dumps(json.loads(chunk))


def connect(port: int) -> socket.socket:
    """A connection as the engine opens them."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def trips(port: int) -> list[float]:
    """Milliseconds of round trips, one after the other."""
    found, message = [], b"E" * MESSAGE
    with connect(port) as connection:
        for _ in range(TRIPS):
            began = time.perf_counter()
            connection.sendall(message)
            left = MESSAGE
            while left:
                left -= len(connection.recv(left))
            found.append(1e3 * (time.perf_counter() - began))
            time.sleep(0.001)
    return found


def bulk(port: int) -> float:
    """MB/s of one direction."""
    block = b"B" * BLOCK
    with connect(port) as connection:
        began = time.perf_counter()
        for _ in range(BULK // BLOCK):
            connection.sendall(block)
        if int(connection.recv(100)) != BULK:
            raise RuntimeError("bytes were lost")
        return BULK / 1e6 / (time.perf_counter() - began)


def opening(port: int) -> list[float]:
    """Milliseconds of a first round trip, each on a connection of its own."""
    found = []
    for _ in range(STREAMS):
        began = time.perf_counter()
        with connect(port) as connection:
            connection.sendall(b"E")
            connection.recv(1)
        found.append(1e3 * (time.perf_counter() - began))
    return found


def measure(name: str, port: int, base: float) -> float:
    """Print all figures of one way; returns the median of its round trips."""
    times = trips(port)
    middle, mean = statistics.median(times), statistics.mean(times)
    late = statistics.quantiles(times, n=20)[-1]
    added = f"{middle - base:.2f} ms added" if base else ""
    print(f"{name}: round trip {middle:.2f} ms (mean {mean:.2f}, p95 {late:.2f}) {added}")
    speeds = sorted(bulk(port) for _ in range(3))
    first = statistics.median(opening(port))
    print(
        f"    {speeds[1]:.0f} MB/s ({speeds[0]:.0f} to {speeds[2]:.0f}), a new one {first:.1f} ms"
    )
    return middle


def main() -> None:
    """Start all processes, and measure."""
    with tempfile.TemporaryDirectory() as folder:
        ayllu = Ayllu(Path(folder))
        nodes = [ayllu.member(name).node for name in ("far", "near")]
        ayllu.unlock()

        def role(*words: object) -> AbstractContextManager[tuple[int, str]]:
            return child([sys.executable, __file__, *map(str, words)], r"listening on (\S+)", {})

        with role("answer") as (_, target):
            base = measure("direct", int(target), 0)
            with role("far", Path(folder) / "far", target) as (_, place):
                for name, streams in BUSY.items():
                    home = Path(folder) / "near"
                    with role("near", home, nodes[0], place, streams) as (_, port):
                        measure(name, int(port), base)


def member(home: str) -> Credentials:
    """The credentials in a home."""
    with opened(Path(home)) as identity:
        return Keyring(identity).member()


if __name__ == "__main__":
    words = sys.argv[1:]
    with suppress(KeyboardInterrupt):
        if words[:1] == ["answer"]:
            answer()
        elif words[:1] == ["far"]:
            uvloop.run(far(member(words[1]), int(words[2])))
        elif words[:1] == ["near"]:
            uvloop.run(near(member(words[1]), words[2], words[3], int(words[4])))
        else:
            main()
