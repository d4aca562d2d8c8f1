from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from ayllus import Ayllu, run, until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from ayllu.cluster.authority import Authority
from ayllu.cluster.bus import BusError
from ayllu.cluster.credentials import Credentials
from ayllu.cluster.identity import common_name
from ayllu.cluster.zenoh_bus import LinkTo, ZenohBus
from ayllu.errors import BadRequestError


def test_what_is_announced_is_seen_until_its_bus_closes_and_before_one_watches(
    tmp_path: Path,
) -> None:
    async def scene(ayllu: Ayllu) -> None:
        first, second = await ayllu.join("1"), await ayllu.join("2")
        first.announce("live/early")
        seen: list[tuple[str, bool]] = []
        second.watch("live/*", lambda key, alive: seen.append((key, alive)))
        second.announce("live/self")
        end = first.announce("live/late")
        await until(lambda: len(seen) == 2)
        end()
        await until(lambda: len(seen) == 3)
        ayllu.buses.remove(first)
        await first.close()
        await until(lambda: len(seen) == 4)
        assert set(seen[:2]) == {("live/early", True), ("live/late", True)}
        assert seen[2:] == [("live/late", False), ("live/early", False)]

    run(tmp_path, scene)


def test_publications_reach_others_and_not_oneself(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu) -> None:
        first, second = await ayllu.join("1"), await ayllu.join("2")
        heard: list[tuple[str, bytes]] = []
        own: list[bytes] = []
        second.subscribe("record/*", lambda key, data: heard.append((key, data)))
        first.subscribe("record/*", lambda _, data: own.append(data))
        for _ in range(500):
            first.publish("record/a", b"x" * 100_000)
            await asyncio.sleep(0.01)
            if heard:
                break
        assert heard[0] == ("record/a", b"x" * 100_000)
        assert own == []

    run(tmp_path, scene)


def test_answers_may_block_without_holding_up_others_or_the_loop(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu) -> None:
        first, second = await ayllu.join("1"), await ayllu.join("2")
        go = threading.Event()

        begun: list[bytes] = []

        def slow(data: bytes) -> bytes:
            begun.append(data)
            go.wait(20)
            return data[::-1]

        first.serve("piece/slow", slow)
        first.serve("piece/quick", lambda data: data + b"!")
        await asked(second, "piece/quick")
        waiting = [
            asyncio.create_task(second.call("piece/slow", b"ab", seconds=30)) for _ in range(8)
        ]
        await until(lambda: len(begun) == 8)
        assert await asked(second, "piece/quick", b"hi") == b"hi!"
        go.set()
        assert await asyncio.gather(*waiting) == [b"ba"] * 8

    run(tmp_path, scene)


async def asked(bus: ZenohBus, key: str, data: bytes = b"") -> bytes:
    """The answer, once somebody is there to give it."""
    end = time.monotonic() + 20
    while True:
        try:
            return await bus.call(key, data)
        except BusError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(0.02)


def test_a_refusal_carries_its_sentence_and_a_bug_does_not(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu) -> None:
        first, second = await ayllu.join("1"), await ayllu.join("2")

        def refuse(_: bytes) -> bytes:
            raise BadRequestError("there is no such piece")

        def fail(_: bytes) -> bytes:
            raise KeyError("a secret")

        first.serve("piece/ready", lambda _: b"")
        first.serve("piece/refuses", refuse)
        first.serve("piece/fails", fail)
        await asked(second, "piece/ready")
        with pytest.raises(BusError, match="there is no such piece"):
            await second.call("piece/refuses")
        with pytest.raises(BusError, match="its log says why") as caught:
            await second.call("piece/fails")
        assert "secret" not in caught.value.sentence
        with pytest.raises(BusError, match="nobody answers to this"):
            await second.call("piece/nobody", seconds=5)

    run(tmp_path, scene)


def test_a_question_can_be_cancelled_and_ends_in_time(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu) -> None:
        first, second = await ayllu.join("1"), await ayllu.join("2")
        go = threading.Event()
        first.serve("piece/ready", lambda _: b"")
        first.serve("piece/slow", lambda data: data if go.wait(20) else b"")
        await asked(second, "piece/ready")
        with pytest.raises(BusError, match="in time"):
            await second.call("piece/slow", seconds=0.2)
        task = asyncio.create_task(second.call("piece/slow", seconds=20))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()

    run(tmp_path, scene)


def test_all_who_serve_a_pattern_are_asked_and_those_that_fail_left_out(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu) -> None:
        buses = [await ayllu.join(name) for name in "123"]

        def refuse(_: bytes) -> bytes:
            raise BadRequestError("no")

        for number, bus in enumerate(buses):
            bus.serve(f"record/{number}", partial(bytes.__add__, b"%d" % number))
        buses[1].serve("record/bad", refuse)
        found: dict[str, bytes] = {}
        for _ in range(200):
            found = dict(await buses[0].gather("record/*", seconds=2))
            if len(found) == 2:
                break
            await asyncio.sleep(0.02)
        assert found == {"record/1": b"1", "record/2": b"2"}

    run(tmp_path, scene)


def test_links_name_the_machine_by_its_certificate(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu) -> None:
        first = await ayllu.join("1")
        second = await ayllu.join("2")
        await until(lambda: first.links() and second.links())
        assert {link.node for link in first.links()} == {ayllu.keyrings["2"].identity.node}
        assert set(second.links()) == {
            LinkTo(ayllu.keyrings["1"].identity.node, "127.0.0.1", "127.0.0.1")
        }

    run(tmp_path, scene)


def stranger_of(ayllu: Ayllu, who: str) -> Credentials:
    """Somebody who is no member, or none any more."""
    if who == "revoked":
        credentials = ayllu.member("stranger")
        admin = ayllu.keyrings["1"].member().revoked
        admin.revoke(credentials.node, "", time.time())
        ayllu.keyrings["2"].member().revoked.merge(admin.encode())
        return credentials
    credentials = Ayllu(ayllu.root / "other").member("stranger")
    if who == "our CA, another's certificate":
        shutil.copy(ayllu.keyrings["1"].member().ca_file, credentials.ca_file)
    return credentials


@pytest.mark.parametrize("who", ["other CA", "our CA, another's certificate", "revoked"])
def test_who_is_no_member_learns_nothing_and_is_not_heard(tmp_path: Path, who: str) -> None:
    async def scene(ayllu: Ayllu) -> None:
        members = [ayllu.member("1"), ayllu.member("2")]
        stranger = stranger_of(ayllu, who)
        first, second = [await ayllu.open(ayllu.config(member)) for member in members]
        asked_by: list[bytes] = []

        def answer(data: bytes) -> bytes:
            asked_by.append(data)
            return b"secret"

        first.announce("live/1")
        second.announce("live/2")
        first.serve("record/1", answer)
        heard: list[object] = []
        first.subscribe("record/*", lambda *_: heard.append(1))
        first.watch("live/*", lambda key, _: heard.append(key))
        await asked(second, "record/1")
        asked_by.clear()
        outside = await ayllu.open(ayllu.config(stranger))
        outside._prefix = first._prefix
        seen: list[str] = []
        outside.watch("live/*", lambda key, _: seen.append(key))
        outside.subscribe("**", lambda key, _: seen.append(key))
        outside.announce("live/stranger")
        for _ in range(5):
            outside.publish("record/stranger", b"lies")
            first.publish("record/1", b"secret")
            with pytest.raises(BusError):
                await outside.call("record/1", seconds=0.2)
        assert await outside.gather("record/*", seconds=0.5) == {}
        assert (seen, heard, asked_by) == ([], ["live/2"], [])
        assert await second.call("record/1") == b"secret"

    run(tmp_path, scene)


def test_what_is_no_tls_is_hung_up_on(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu) -> None:
        first = await ayllu.join("1")
        first.serve("record/1", lambda _: b"secret")
        host, _, port = first.endpoints[0].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=20) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n" + os.urandom(500))
            assert b"secret" not in await asyncio.to_thread(received, plain)
        second = await ayllu.join("2")
        assert await asked(second, "record/1") == b"secret"

    run(tmp_path, scene)


def test_a_bus_leaves_when_it_meets_a_name_that_is_no_members(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu) -> None:
        first = await ayllu.join("1")
        stranger = ayllu.member("stranger")
        authority = ayllu.keyrings["1"].member().authority
        certificate = named(authority, stranger, "www.example.org")
        stranger.certificate_file.write_bytes(certificate)
        await ayllu.open(ayllu.config(stranger))
        await until(lambda: first.is_closed)
        assert ayllu.strangers[:1] == ["127.0.0.1"]
        first.publish("record/1", b"to nobody")
        assert first.links() == ()
        with pytest.raises(BusError, match="is closed"):
            await first.call("record/stranger")

    run(tmp_path, scene)


def named(authority: Authority, member: Credentials, name: str) -> bytes:
    """A certificate (PEM) of a member's key under another name."""
    assert authority.key is not None
    own = x509.load_der_x509_certificate(member.certificate)
    builder = x509.CertificateBuilder(
        issuer_name=own.issuer,
        subject_name=common_name(name),
        public_key=own.public_key(),
        serial_number=own.serial_number,
        not_valid_before=own.not_valid_before_utc,
        not_valid_after=own.not_valid_after_utc,
    )
    for extension in own.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    signed = builder.sign(authority.key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def received(plain: socket.socket) -> bytes:
    """All that comes until the other side hangs up."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := plain.recv(4096):
            data += piece
    return data


def test_zenoh_writes_nothing_of_its_own_and_a_process_ends_with_its_bus_open(
    tmp_path: Path,
) -> None:
    ayllu = Ayllu(tmp_path)
    ayllu.member("1")
    ayllu.unlock()
    program = f"""
import asyncio
from pathlib import Path
from ayllu.cluster.bus_config import BusConfig
from ayllu.cluster.identity import opened
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.zenoh_bus import open_bus

async def whole():
    with opened(Path({str(tmp_path / "1")!r})) as identity:
        bus = await open_bus(BusConfig(
            credentials=Keyring(identity).member(), listen=("127.0.0.1",), port=0,
            peers=("127.0.0.1:9", "no-such-host.invalid:1"),
        ), print)
        bus.watch("live/*", print)
        bus.announce("live/1")
        await asyncio.sleep(0.5)
        print("done")

asyncio.run(whole())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=os.environ | {"RUST_LOG": "debug"},
    )
    assert (done.stdout, done.stderr) == ("done\n", "")
