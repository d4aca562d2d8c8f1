from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import msgspec
import pytest
from cluster_machines import NOW, House, Machines, house, run
from hypothesis import given, settings
from hypothesis import strategies as st

from ayllu.cluster.door import MOST_VISITS_OF_ONE
from ayllu.cluster.door_client import DoorError, RefusedError, hello, knock
from ayllu.cluster.door_messages import (
    LARGEST_REQUEST,
    About,
    Granted,
    Hello,
    Join,
    PairAnswer,
    PairReveal,
    PairStart,
    Refused,
    Renew,
    Trusted,
    read_reply,
)
from ayllu.cluster.endpoints import join_endpoint, split_endpoint
from ayllu.errors import BadRequestError


def test_the_door_says_who_is_there_and_changes_with_it(machines: Machines) -> None:
    async def go() -> None:
        keyring = machines.new("a")
        async with house(keyring) as home:
            about = await hello(home.address)
            assert about.node == keyring.identity.node
            assert (about.cluster, about.ca, about.admin) == ("", b"", False)
            assert about.time == NOW
            own = keyring.create()
            about = await hello(home.address)
            assert (about.cluster, about.ca) == (own.cluster, own.authority.der)
            assert (about.ends, about.admin) == (own.ends, True)
            async with knock(home.address) as door:
                assert door.leaf == own.certificate
            keyring.leave()
            async with knock(home.address) as door:
                assert door.leaf != own.certificate
                assert (await door.ask(Hello(), About)).node == keyring.identity.node

    run(go())


def test_what_a_door_does_not_do_is_refused(machines: Machines) -> None:
    async def go() -> None:
        async with house(machines.new("a")) as home, knock(home.address) as door:
            with pytest.raises(RefusedError, match="does not do that"):
                await door.ask(
                    Trusted(b"", "x", bytes(32), alone=False, port=1, proof=bytes(32)), Granted
                )

    run(go())


def test_an_accident_in_an_answer_ends_one_visit_only(
    machines: Machines, capsys: pytest.CaptureFixture[str]
) -> None:
    async def go() -> None:
        async with house(machines.new("a")) as home:

            async def fail(_: Hello, __: object) -> About:
                raise ZeroDivisionError

            home.door.answer(Hello, fail)
            for _ in range(2):
                with pytest.raises(DoorError, match="broke off"):
                    await hello(home.address)

    run(go())
    assert "ZeroDivisionError" in capsys.readouterr().out


def raw(home: House, data: bytes, *, tls: bool = True) -> bytes:
    """What the door says to bytes; empty where it just closes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(split_endpoint(home.address), timeout=10) as plain:
        try:
            with context.wrap_socket(plain) if tls else plain as talk:
                talk.sendall(data)
                talk.shutdown(socket.SHUT_WR) if not tls else None
                return b"".join(iter(lambda: talk.recv(1 << 16), b""))
        except OSError:
            return b""


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_garbage_at_the_door_gets_no_answer(open_door: House, data: bytes, framed: bool) -> None:
    sent = len(data).to_bytes(4, "big") + data if framed else b"\xff\xff\xff" + data + b"\xff"
    assert raw(open_door, sent) == b""


def test_oversized_cut_and_plain_messages_get_no_answer(open_door: House) -> None:
    big = msgspec.msgpack.encode(Join(bytes(8), b"", "x", bytes(32))) + bytes(LARGEST_REQUEST)
    assert raw(open_door, len(big).to_bytes(4, "big") + big) == b""
    assert raw(open_door, b"\xff\xff\xff\xff") == b""
    assert raw(open_door, b"GET / HTTP/1.1\r\n\r\n", tls=False) == b""
    hi = msgspec.msgpack.encode(Hello())
    reply = raw(open_door, len(hi).to_bytes(4, "big") + hi)
    assert isinstance(read_reply(reply[4:]), About)


@given(st.binary(max_size=2000), st.binary(max_size=80), st.text(max_size=200))
@settings(max_examples=10, deadline=None)
def test_well_formed_nonsense_is_refused_in_a_sentence(
    open_door: House, der: bytes, other: bytes, text: str
) -> None:
    requests = (
        Join(other[:8].ljust(8), der, text, bytes(32)),
        Renew(der, other, other),
        Renew(open_door.keyring.member().certificate, der, other),
        PairStart(der, text),
        PairReveal(other[:16].ljust(16), bytes(32)),
        PairAnswer(other[:16].ljust(16), None, der[:80]),
        Trusted(der, text, bytes(32), alone=False, port=1, proof=bytes(32)),
    )
    for request in requests:
        sent = msgspec.msgpack.encode(request)
        reply = read_reply(raw(open_door, len(sent).to_bytes(4, "big") + sent)[4:])
        assert isinstance(reply, Refused)
        assert reply.sentence


@pytest.fixture(scope="module")
def open_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """An admin machine whose door is open in a thread of its own."""
    with ExitStack() as stack:
        keyring = Machines(tmp_path_factory.mktemp("door"), stack).new("a")
        keyring.clock = time.time
        keyring.create()
        home = House(keyring)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        asyncio.run_coroutine_threadsafe(home.door.open([home.listener]), loop).result(10)
        yield home
        asyncio.run_coroutine_threadsafe(home.door.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_those_who_say_nothing_do_not_keep_others_out(machines: Machines) -> None:
    async def go() -> None:
        async with house(machines.new("a")) as home:
            silent = [
                await asyncio.open_connection(*split_endpoint(home.address))
                for _ in range(MOST_VISITS_OF_ONE)
            ]
            with pytest.raises(DoorError):
                await hello(home.address)
            silent[0][1].close()
            await silent[0][1].wait_closed()
            for _ in range(100):
                try:
                    assert await hello(home.address)
                    break
                except DoorError:
                    await asyncio.sleep(0.05)
            else:
                pytest.fail("the door stays shut")
            for _, writer in silent[1:]:
                writer.close()
                await writer.wait_closed()

    run(go())


def test_lines_that_strangers_cause_are_few(
    machines: Machines, capsys: pytest.CaptureFixture[str]
) -> None:
    async def go() -> None:
        async with house(machines.new("a")) as home:
            for _ in range(20):
                await asyncio.to_thread(raw, home, b"nonsense")
            async with knock(home.address) as door:
                door._writer.write(b"\x00\x00\x01\x00abc")  # and it leaves in the middle
                await door._writer.drain()
            assert await hello(home.address)

    run(go())
    assert capsys.readouterr().out.count("a visitor was dropped") == 1


def test_a_refusal_from_a_stranger_is_fit_for_a_terminal(machines: Machines) -> None:
    async def go() -> None:
        async with house(machines.new("a")) as home:

            async def refuse(_: Hello, __: object) -> Refused:
                return Refused("\x1b[31mred\u202e" + "x" * 900)

            home.door.answer(Hello, refuse)
            with pytest.raises(RefusedError) as caught:
                await hello(home.address)
            assert caught.value.sentence.startswith("?[31mred?")
            assert len(caught.value.sentence) <= 500

    run(go())


def test_what_is_no_address_and_no_door_is_said_so() -> None:
    async def go() -> None:
        for address in ("", "nonsense", "host.example:1", "1.2.3.4", "1.2.3.4:0", "1.2.3.4:99999"):
            with pytest.raises(BadRequestError, match="is no address of the form"):
                await hello(address)

        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"SSH-2.0-x\r\n")
            await writer.drain()
            writer.close()

        plain = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with plain:
            address = join_endpoint(*plain.sockets[0].getsockname()[:2])
            with pytest.raises(DoorError, match="is no join door of Ayllu"):
                await hello(address)

    run(go())
