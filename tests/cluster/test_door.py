from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cluster_machines import DAY, PEERS, House, Machines, house, joined
from hypothesis import given, settings
from hypothesis import strategies as st

from ayllu.cluster.authority import CertificateError
from ayllu.cluster.door import MOST_VISITS_OF_ONE
from ayllu.cluster.door_client import DoorError, RefusedError, hello, knock
from ayllu.cluster.door_messages import (
    LARGEST_REQUEST,
    About,
    Granted,
    Hello,
    Join,
    PairStart,
    Refused,
    Renew,
    Renewed,
    read_reply,
    statement,
)
from ayllu.cluster.endpoints import join_endpoint, split_endpoint
from ayllu.cluster.invite import Invite
from ayllu.cluster.join import join, keep_renewed, renew
from ayllu.cluster.keyring import Keyring
from ayllu.errors import BadRequestError, ForbiddenError


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with ExitStack() as stack:
        found = Machines(tmp_path, stack)
        found.clock.now = time.time()
        yield found


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


@asynccontextmanager
async def proxy(to: str, own: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Someone in between; with a TLS context of its own it reads along, else it only passes on."""
    tasks: set[asyncio.Task[None]] = set()

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                target.write(data)
                await target.drain()
        except OSError:
            pass
        finally:
            target.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls = None
        if own is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        far_reader, far_writer = await asyncio.open_connection(*split_endpoint(to), ssl=tls)
        for work in (copy(reader, far_writer), copy(far_reader, writer)):
            task = asyncio.create_task(work)
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=own)
    async with server:
        yield join_endpoint(*server.sockets[0].getsockname()[:2])
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def at(invite: Invite, *addresses: str) -> Invite:
    return msgspec.structs.replace(invite, addresses=addresses)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_machine_joins_by_a_code_once(machines: Machines, loop: str) -> None:
    async def go() -> None:
        admin, second, third = (machines.new(name) for name in "abc")
        admin.create()
        async with house(admin) as home:
            invite = home.invites.issue([home.address])
            credentials, peers = await join(second, invite, "second")
            assert credentials.cluster == admin.member().cluster
            assert peers == PEERS
            assert credentials.is_admin
            assert admin.member().check(credentials.certificate, machines.clock()).node == (
                second.identity.node
            )
            with pytest.raises(RefusedError, match="used already, by another machine"):
                await join(third, invite, "third")
            assert third.credentials is None
            with pytest.raises(BadRequestError, match="already: run `ayllu leave`"):
                await join(second, invite, "second")

    if loop == "uvloop":
        pytest.importorskip("uvloop").run(go())
    else:
        run(go())


@pytest.mark.parametrize(("admins", "wanted", "is_admin"), [(3, None, False), (3, True, True)])
def test_the_invite_and_the_number_of_admins_decide_who_is_one(
    machines: Machines, admins: int, wanted: bool | None, is_admin: bool
) -> None:
    async def go() -> None:
        admin, second = machines.new("a"), machines.new("b")
        admin.create()
        async with house(admin, admins) as home:
            invite = home.invites.issue([home.address], admin=wanted)
            credentials, _ = await join(second, invite, "second")
            assert credentials.is_admin == is_admin

    run(go())


def test_an_answer_that_was_lost_can_be_asked_for_again(machines: Machines) -> None:
    async def go() -> None:
        admin, second = machines.new("a"), machines.new("b")
        admin.create()
        async with house(admin) as home:
            invite = home.invites.issue([home.address])
            await join(second, invite, "second")
            for path in second.identity.folder.glob("*.crt"):
                path.unlink()  # as if the power had gone
            again = Keyring(second.identity, machines.clock)
            assert again.credentials is None
            credentials, _ = await join(again, invite, "second")
            assert credentials.cluster == admin.member().cluster

    run(go())


def test_wrong_expired_and_foreign_codes_end_in_a_sentence(machines: Machines) -> None:
    async def go() -> None:
        admin, other, second = (machines.new(name) for name in "abc")
        admin.create()
        other.create()
        async with house(admin) as home, house(other) as elsewhere:
            invite = home.invites.issue([home.address])
            wrong = msgspec.structs.replace(invite, secret=bytes(16))
            with pytest.raises(RefusedError, match="knows no such invite"):
                await join(second, wrong, "second")
            foreign = at(invite, elsewhere.address)
            with pytest.raises(ForbiddenError, match=f"is of the ayllu {other.member().cluster}"):
                await join(second, foreign, "second")
            machines.clock.now += 1000
            with pytest.raises(RefusedError, match="this invite expired at"):
                await join(second, invite, "second")
            machines.clock.now -= 1000
            alone = machines.new("d")
            async with house(alone) as free:
                with pytest.raises(ForbiddenError, match="is in no ayllu"):
                    await join(second, at(invite, free.address), "second")
            assert second.credentials is None
            several = at(invite, elsewhere.address, "127.0.0.1:1", home.address)
            assert (await join(second, several, "second"))[0].cluster == admin.member().cluster

    run(go())


def test_an_id_without_the_secret_opens_nothing(machines: Machines) -> None:
    async def go() -> None:
        admin, second = machines.new("a"), machines.new("b")
        admin.create()
        async with house(admin) as home:
            invite = home.invites.issue([home.address])
            request = second.identity.request()
            async with knock(home.address) as door:
                with pytest.raises(RefusedError, match="does not know its secret"):
                    await door.ask(Join(invite.id, request, "x", bytes(32)), Granted)
            await join(second, invite, "second")  # it was not used up by that

    run(go())


def test_nobody_answers_is_said_so(machines: Machines) -> None:
    async def go() -> None:
        admin, second = machines.new("a"), machines.new("b")
        admin.create()
        with socket.create_server(("127.0.0.1", 0)) as closed:
            address = join_endpoint(*closed.getsockname()[:2])
        async with house(admin) as home:
            invite = at(home.invites.issue([home.address]), address)
        with pytest.raises(DoorError, match=f"cannot be asked: {address} cannot be reached"):
            await join(second, invite, "second")

    run(go())


def test_a_man_in_the_middle_learns_nothing_and_grants_nothing(machines: Machines) -> None:
    async def go() -> None:
        admin, second, member, evil = (machines.new(name) for name in "abcd")
        admin.create()
        joined(admin, member, admin=False)
        evil.create()
        async with house(admin) as home:
            invite = home.invites.issue([home.address])
            # With a certificate of its own CA, and even with a member's.
            for liar, error in ((evil, CertificateError), (member, RefusedError)):
                tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                own = liar.member()
                tls.load_cert_chain(own.certificate_file, own.key_file)
                async with proxy(home.address, tls) as between:
                    with pytest.raises(error):
                        await join(second, at(invite, between), "second")
                assert second.credentials is None
            async with proxy(home.address) as between:  # who cannot read does no harm
                await join(second, at(invite, between), "second")

    run(go())


def test_a_member_that_answers_with_its_own_ca_is_not_believed(machines: Machines) -> None:
    async def go() -> None:
        admin, second, member, evil = (machines.new(name) for name in "abcd")
        admin.create()
        joined(admin, member, admin=False)
        evil.create()
        async with house(admin) as home, house(member) as trap:
            invite = home.invites.issue([home.address])

            async def lie(request: Join, _: object) -> Granted:
                return Granted(evil.grant(request.request, admin=None, admins=1))

            trap.door.answer(Join, lie)
            with pytest.raises(ForbiddenError, match="somebody is in between"):
                await join(second, at(invite, trap.address), "second")
            assert second.credentials is None

    run(go())


def test_clocks_that_differ_are_told_apart(machines: Machines) -> None:
    async def go() -> None:
        admin, second = machines.new("a"), machines.new("b")
        admin.create()
        async with house(admin) as home:
            invite = home.invites.issue([home.address])
            for shift, words in (
                (-3 * DAY, "is 3 days behind that of house"),
                (7200, "is 2 hours ahead of that of house"),
            ):
                second.clock = lambda shift=shift: machines.clock() + shift  # type: ignore[misc]
                with pytest.raises(BadRequestError, match=words):
                    await join(second, invite, "second")
                assert second.credentials is None
            second.clock = lambda: machines.clock() - 600  # ten minutes do no harm
            await join(second, invite, "second")

    run(go())


@pytest.mark.parametrize(("days", "why"), [(21, "on an admin machine"), (45, "ran out")])
def test_a_certificate_is_renewed_even_when_it_has_run_out(
    machines: Machines, days: int, why: str
) -> None:
    async def go() -> None:
        admin, second, third = (machines.new(name) for name in "abc")
        admin.create()
        old = joined(admin, second, admin=False)
        joined(admin, third, admin=False)
        machines.clock.now += days * DAY
        admin.renew()
        admin.member().revoked.revoke("r" * 20, "lost", machines.clock())
        async with house(admin) as home, house(third) as other:
            with pytest.raises(ForbiddenError, match=why):
                await renew(second, ["127.0.0.1:1", other.address])
            new = await renew(second, ["127.0.0.1:1", other.address, home.address])
        assert new.ends == old.ends + days * DAY
        assert "r" * 20 in new.revoked  # it heard what it had missed
        assert Keyring(second.identity).member().ends == new.ends

    run(go())


def test_nobody_gets_a_certificate_for_another_or_once_revoked(machines: Machines) -> None:
    async def go() -> None:
        admin, second, thief = (machines.new(name) for name in "abc")
        admin.create()
        own = joined(admin, second, admin=False)
        async with house(admin) as home:
            request = thief.identity.request()
            for asked in (request, second.identity.request()):
                async with knock(home.address) as door:
                    said = statement("renew", door.leaf, own.certificate, asked)
                    renewal = Renew(own.certificate, asked, thief.identity.sign(said))
                    with pytest.raises(RefusedError, match=f"the request is not of {own.node}"):
                        await door.ask(renewal, Renewed)
            async with knock(home.address) as door:  # heard at another door, repeated at this one
                asked = second.identity.request()
                said = statement("renew", b"another door", own.certificate, asked)
                renewal = Renew(own.certificate, asked, second.identity.sign(said))
                with pytest.raises(RefusedError, match="the request is not of"):
                    await door.ask(renewal, Renewed)
            admin.member().revoked.revoke(own.node, "stolen", machines.clock())
            machines.clock.now += 40 * DAY
            admin.renew()
            with pytest.raises(RefusedError, match=rf"{own.node} was revoked \(stolen\)"):
                await renew(second, [home.address])

    run(go())


def test_a_renewal_that_clocks_prevent_says_by_how_much(machines: Machines) -> None:
    async def go() -> None:
        admin, second = machines.new("a"), machines.new("b")
        admin.create()
        joined(admin, second, admin=False)
        async with house(admin) as home:
            for shift, words in ((-5 * DAY, "is 5 days behind that of house"), (90 * DAY, "ahead")):
                second.clock = lambda shift=shift: machines.clock() + shift  # type: ignore[misc]
                with pytest.raises(CertificateError, match=words):
                    await renew(second, [home.address])
        with pytest.raises(DoorError, match="no admin machine of the ayllu is known"):
            await renew(second, [])

    run(go())


def test_certificates_are_renewed_by_themselves(machines: Machines) -> None:
    async def go() -> None:
        admin, second = machines.new("a"), machines.new("b")
        admin.create()
        joined(admin, second, admin=False)
        changed = asyncio.Event()
        second.watch(changed.set)
        async with house(admin) as home:
            doors: list[str] = []
            task = asyncio.create_task(keep_renewed(second, lambda: doors, every=0.01))
            await asyncio.sleep(0.1)
            assert not changed.is_set()  # it is not time yet
            machines.clock.now += 21 * DAY
            admin.renew()
            await asyncio.sleep(0.1)
            assert not changed.is_set()  # nobody is known who could
            doors.append(home.address)
            await asyncio.wait_for(changed.wait(), 10)
            task.cancel()
            assert second.member().renews > machines.clock()

    run(go())


def test_the_door_says_who_is_there_and_changes_with_it(machines: Machines) -> None:
    async def go() -> None:
        keyring = machines.new("a")
        async with house(keyring) as home:
            about = await hello(home.address)
            assert about.node == keyring.identity.node
            assert (about.cluster, about.ca, about.admin) == ("", b"", False)
            assert abs(about.time - time.time()) < 5
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
                await door.ask(PairStart(b"", "x"), Granted)

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
@settings(max_examples=15, deadline=None)
def test_well_formed_nonsense_is_refused_in_a_sentence(
    open_door: House, der: bytes, other: bytes, text: str
) -> None:
    requests = (
        Join(other[:8].ljust(8), der, text, bytes(32)),
        Renew(der, other, other),
        Renew(open_door.keyring.member().certificate, der, other),
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
    assert capsys.readouterr().out.count("a visitor") == 1


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
