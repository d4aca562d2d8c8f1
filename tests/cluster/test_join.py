from __future__ import annotations

import socket
import ssl

import msgspec
import pytest
from cluster_machines import DAY, PEERS, Machines, house, joined, proxy, run

from ayllu.cluster.authority import CertificateError
from ayllu.cluster.door_client import DoorError, RefusedError, knock
from ayllu.cluster.door_messages import (
    Granted,
    Join,
)
from ayllu.cluster.endpoints import join_endpoint
from ayllu.cluster.invite import Invite
from ayllu.cluster.join import join
from ayllu.cluster.keyring import Keyring
from ayllu.errors import BadRequestError, ForbiddenError


def at(invite: Invite, *addresses: str) -> Invite:
    return msgspec.structs.replace(invite, addresses=addresses)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_machine_joins_by_a_code_once(machines: Machines, loop: str) -> None:
    async def go() -> None:
        admin, second, third = (machines.new(name) for name in "abc")
        admin.create()
        async with house(admin) as home:
            invite = home.invites.issue([home.address])
            credentials = await join(second, invite, "second")
            assert credentials.cluster == admin.member().cluster
            assert second.met == PEERS
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
            credentials = await join(second, invite, "second")
            assert credentials.is_admin == is_admin

    run(go())


def test_a_machine_that_made_an_ayllu_of_its_own_may_still_join(machines: Machines) -> None:
    async def go() -> None:
        admin, second, third = (machines.new(name) for name in "abc")
        admin.create()
        lone = second.create()
        assert second.is_alone
        async with house(admin) as home:
            await join(second, home.invites.issue([home.address]), "second")
            assert second.member().cluster == admin.member().cluster
            assert second.identity.node == lone.node
            (aside,) = lone.identity.folder.glob("aside-*")
            assert {"node.crt", "ca.crt", "ca.key"} <= {path.name for path in aside.iterdir()}
            third.create()
            joined(third, machines.new("d"))
            assert not third.is_alone
            invite = home.invites.issue([home.address])
            with pytest.raises(BadRequestError, match="already: run `ayllu leave`"):
                await join(third, invite, "third")
        assert not admin.is_alone
        assert not Keyring(admin.identity).is_alone

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
            credentials = await join(again, invite, "second")
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
            assert (await join(second, several, "second")).cluster == admin.member().cluster

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
