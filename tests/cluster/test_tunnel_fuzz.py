"""The first bytes of a stream, made up: a member that sends nonsense gets and breaks nothing."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import uvloop
from ayllus import LOOPBACK, Ayllu
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tunnels import Echo, tunnel

from ayllu.cluster.endpoints import split_endpoint
from ayllu.cluster.tunnel import Opening

T = TypeVar("T")


class Listener:
    """A tunnel in a thread, and what a member needs to speak to it."""

    def __init__(self, folder: Path) -> None:
        ayllu = Ayllu(folder)
        theirs, ours = ayllu.member("there"), ayllu.member("here")
        ayllu.unlock()
        self.node = theirs.node
        self.host = Echo()
        self.there = tunnel(theirs, self.host)
        self.tls = ours.client_context()
        self.place = ""
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        (self.place,) = self.run(self.there.start(LOOPBACK, 0))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def close(self) -> None:
        self.run(self.there.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def say(self, data: bytes, seconds: float) -> bytes:
        """What comes back in time for some bytes within TLS, after which the client goes."""
        with (
            socket.create_connection(split_endpoint(self.place), 10) as plain,
            self.tls.wrap_socket(plain, server_hostname=self.node) as stream,
        ):
            stream.settimeout(seconds)
            with suppress(OSError):
                stream.sendall(data)
            with suppress(TimeoutError, ssl.SSLError, OSError):
                return stream.recv(4096)
        return b""


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    found = Listener(tmp_path_factory.mktemp("fuzz"))
    yield found
    found.close()


def framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=300)
    | st.binary(max_size=300).map(framed)
    | st.binary(max_size=300).map(sized).map(framed)
    | VALUES.map(msgspec.msgpack.encode).map(lambda data: framed(sized(data[:60_000])))
)
@example(framed(sized(b"\x91" * 200)))
@example((1 << 31).to_bytes(4, "big") + b"x")
@example(framed(sized(msgspec.msgpack.encode(["lease", "shell"]))))
def test_nonsense_is_told_nothing_and_asks_for_nothing(listener: Listener, data: bytes) -> None:
    asked = len(listener.host.asked)
    assert listener.say(data, 0.02) == b""
    assert len(listener.host.asked) == asked


def test_the_listener_still_serves_after_all_that(listener: Listener) -> None:
    opening = framed(sized(msgspec.msgpack.encode(Opening("lease", "beat"))))
    assert listener.say(opening, 20) == framed(sized(b"\x91\xa0"))
    assert listener.host.asked[-1][1] == Opening("lease", "beat")
