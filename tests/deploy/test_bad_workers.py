"""Workers that are none: found out by the head before any engine is started, and by name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from ayllus import Ayllu
from tunnels import LOOPBACK, Echo, tunnel

from ayllu.cluster.ends import Framed
from ayllu.cluster.tunnel import Opening, Serve
from ayllu.deploy.backend import PartLostError
from ayllu.deploy.beat import Beat
from ayllu.deploy.remote import HELLO_SECONDS, Remote
from ayllu.runner.rpc_hello import HELLO

OURS = (7, 0, 0)


async def silent(stream: Framed) -> None:
    while await stream.read():
        pass


async def closing(stream: Framed) -> None:
    await stream.read()
    stream.abort()


async def ending(stream: Framed) -> None:
    await stream.read()
    stream.send_end()


def saying(reply: bytes) -> Callable[[Framed], Awaitable[None]]:
    async def say(stream: Framed) -> None:
        got = b""
        while len(got) < len(HELLO):
            got += await stream.read()
        assert got == HELLO
        for start in range(len(reply)):
            stream.send(reply[start : start + 1])
            await asyncio.sleep(0)
        await silent(stream)

    return say


def version(major: int) -> bytes:
    return (28).to_bytes(8, "little") + bytes([major, 0, 0]) + bytes(25)


class BadHost(Echo):
    """Keeps the lease's beat as it should, and has a bad worker."""

    async def admit(self, node: str, opening: Opening) -> Serve:
        serve = await super().admit(node, opening)
        return self._beat if opening.purpose == "beat" else serve

    @staticmethod
    async def _beat(stream: Framed) -> None:
        await Beat(stream).keep()
        stream.leave()


@pytest.mark.parametrize(
    ("worker", "reason"),
    [
        (silent, "its worker did not answer in 5 s"),
        (closing, "the connection broke off"),
        (ending, "what answers for its worker is none: it broke off"),
        (saying(b"HTTP/1.1 400 Bad Request\r\nserver: nobody\r\n\r\n"), "it is no RPC worker"),
        (saying(bytes(36)), "it is no RPC worker"),
        (
            saying(version(6)),
            r"speaks RPC protocol 6\.0\.0, and the engine of this machine 7\.0\.0",
        ),
        (saying(version(7)[:20]), "its worker did not answer"),
    ],
    ids=["silent", "closing", "ending", "http", "zeros", "older", "cut"],
)
def test_a_bad_worker_is_named_in_bounded_time(
    tmp_path: Path, worker: Callable[[Framed], Awaitable[None]], reason: str
) -> None:
    async def work() -> None:
        ayllu = Ayllu(tmp_path)
        theirs, ours = ayllu.member("there"), ayllu.member("here")
        there = tunnel(theirs, BadHost(worker))
        here = tunnel(ours, places={theirs.node: await there.start(LOOPBACK, 0)})
        remote = Remote(theirs.node, "far", "lease", here, OURS)
        began = time.monotonic()
        try:
            with pytest.raises(PartLostError, match=reason) as caught:
                await remote.open()
            assert caught.value.sentence.startswith("far: ")
            assert caught.value.node == theirs.node
            assert time.monotonic() - began < HELLO_SECONDS + 3
            assert remote.endpoint == ""
        finally:
            await remote.close()
            await here.close()
            await there.close()
            ayllu.unlock()

    uvloop.run(work())
