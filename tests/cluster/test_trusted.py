from __future__ import annotations

import asyncio
import itertools
import ssl
from contextlib import AsyncExitStack

import pytest
from cluster_machines import House, Machines, eventually, house, joined, proxy, run, stretched

from ayllu.cluster.door_client import RefusedError, knock
from ayllu.cluster.door_messages import Admitted, Trusted
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.trusted import TrustedLan, stretch
from ayllu.errors import BadRequestError, ForbiddenError

SECRET = "the llamas graze at noon"


def lan(home: House) -> TrustedLan:
    assert home.trusted is not None
    return home.trusted


async def all_in_one(keyrings: list[Keyring]) -> None:
    await eventually(
        lambda: len({k.credentials.cluster if k.credentials else k for k in keyrings}) == 1
    )


def test_a_secret_is_long_and_costs_time_to_guess() -> None:
    with pytest.raises(BadRequestError, match="has 11 characters and needs 12"):
        stretch("x" * 11)
    assert stretch(SECRET) == stretched(SECRET)
    assert len(stretch(SECRET)) == 32
    assert stretch("x" * 12) != stretch("x" * 13)


def test_whoever_knows_the_secret_joins_a_member(machines: Machines) -> None:
    async def go() -> None:
        one, two = machines.new("a"), machines.new("b")
        own = one.create()
        async with house(one, secret=SECRET) as member, house(two, secret=SECRET) as other:
            assert (await lan(other).join(member.address)).cluster == own.cluster
            with pytest.raises(BadRequestError, match="already: run `ayllu leave`"):
                await lan(other).join(member.address)

    run(go())


@pytest.mark.parametrize("smaller_asks", [True, False])
def test_of_two_that_have_no_ayllu_one_makes_it(machines: Machines, smaller_asks: bool) -> None:
    async def go() -> None:
        pair = sorted((machines.new(name) for name in "ab"), key=lambda k: k.identity.node)
        asker, asked = pair if smaller_asks else reversed(pair)
        async with house(asker, secret=SECRET) as home, house(asked, secret=SECRET) as other:
            await lan(home).join(other.address)
            await all_in_one(pair)

    run(go())


@pytest.mark.parametrize(("shares", "alone"), [(1, 1), (1, 0), (0, 1), (0, 2), (2, 0), (2, 1)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_machine_that_is_alone_gives_way(
    machines: Machines, shares: int, alone: int, turned: bool
) -> None:
    """Of two machines: none, one or both have an ayllu, alone in it or with others."""

    async def go() -> None:
        one, two, *others = (machines.new(name) for name in "abcd")
        for keyring, guest in list(zip((one, two), others, strict=True))[:shares]:
            keyring.create()
            joined(keyring, guest)
        for keyring in (two, one)[:alone]:
            if keyring.credentials is None:
                keyring.create()
        clusters = {k.member().cluster for k in (one, two) if not k.is_free}
        pair = [two, one] if turned else [one, two]
        async with house(pair[0], secret=SECRET) as home, house(pair[1], secret=SECRET) as other:
            if shares == 2:
                with pytest.raises(BadRequestError, match="already: run `ayllu leave`"):
                    await lan(home).join(other.address)
                return
            if not pair[0].is_free:
                lan(home).notice(other.address)
                await lan(other).join(home.address)
            else:
                await lan(home).join(other.address)
            await all_in_one(pair)
            assert not clusters or clusters == {one.member().cluster}
            assert Keyring(one.identity).member().cluster == two.member().cluster

    run(go())


@pytest.mark.parametrize("alone", [0, 1, 2])
def test_machines_that_see_each_other_at_once_end_in_one_ayllu(
    machines: Machines, alone: int
) -> None:
    async def go() -> None:
        pair = [machines.new(name) for name in "ab"]
        for keyring in pair[:alone]:
            keyring.create()
        async with AsyncExitStack() as stack:
            homes = [await stack.enter_async_context(house(k, secret=SECRET)) for k in pair]
            for home, other in itertools.permutations(homes, 2):
                lan(home).notice(other.address)
            await all_in_one(pair)

    run(go())


def test_a_wrong_secret_opens_nothing_on_either_side(machines: Machines) -> None:
    async def go() -> None:
        one, two = machines.new("a"), machines.new("b")
        one.create()
        async with (
            house(one, secret=SECRET) as member,
            house(two, secret="another secret of ours") as other,
        ):
            with pytest.raises(RefusedError, match="secrets of the two machines differ"):
                await lan(other).join(member.address)
            assert two.credentials is None

    run(go())


def test_a_member_that_does_not_know_the_secret_is_not_believed(machines: Machines) -> None:
    async def go() -> None:
        one, two = machines.new("a"), machines.new("b")
        one.create()
        async with house(one) as liar, house(two, secret=SECRET) as other:
            with pytest.raises(RefusedError, match="does not do that at its join door"):
                await lan(other).join(liar.address)  # a machine without the setting

            async def admit(request: Trusted, _: object) -> Admitted:
                return Admitted(bytes(32), one.grant(request.request, admin=None, admins=1))

            async def reflect(request: Trusted, _: object) -> Admitted:
                return Admitted(request.proof, one.grant(request.request, admin=None, admins=1))

            for answer in (admit, reflect):
                liar.door.answer(Trusted, answer)
                with pytest.raises(ForbiddenError, match="does not know this LAN's secret"):
                    await lan(other).join(liar.address)
                assert two.credentials is None

    run(go())


def test_someone_in_between_cannot_pass_proofs_on(machines: Machines) -> None:
    async def go() -> None:
        one, two, evil = machines.new("a"), machines.new("b"), machines.new("evil")
        one.create()
        own = evil.create()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(own.certificate_file, own.key_file)
        async with house(one, secret=SECRET) as member, house(two, secret=SECRET) as other:
            async with proxy(member.address, tls) as between:
                with pytest.raises(RefusedError, match="secrets of the two machines differ"):
                    await lan(other).join(between)
            assert two.credentials is None

    run(go())


def test_a_proof_heard_elsewhere_is_worth_nothing(machines: Machines) -> None:
    async def go() -> None:
        one, two = machines.new("a"), machines.new("b")
        one.create()
        request = two.identity.request()
        async with house(one, secret=SECRET) as member, house(two, secret=SECRET) as other:
            said = (request, "x", bytes(32), False, 1)
            proof = lan(other)._proof("joins", b"another door", *said)
            async with knock(member.address) as door:
                with pytest.raises(RefusedError, match="differ"):
                    await door.ask(Trusted(*said, proof), Admitted)

    run(go())


def test_machines_that_cannot_let_others_in_say_so(machines: Machines) -> None:
    async def go() -> None:
        one, two, three = (machines.new(name) for name in "abc")
        one.create()
        joined(one, two, admin=False)
        async with house(two, secret=SECRET) as member, house(three, secret=SECRET) as other:
            with pytest.raises(ForbiddenError, match="does not hold its CA's key"):
                await lan(other).join(member.address)
            with pytest.raises(BadRequestError, match="is this machine's own door"):
                await lan(other).join(other.address)

    run(go())


def test_a_revoked_machine_is_not_let_in_again(machines: Machines) -> None:
    async def go() -> None:
        one, two = machines.new("a"), machines.new("b")
        one.create().revoked.revoke(two.identity.node, "stolen", machines.clock())
        async with house(one, secret=SECRET) as member, house(two, secret=SECRET) as other:
            with pytest.raises(RefusedError, match=r"was revoked \(stolen\)"):
                await lan(other).join(member.address)

    run(go())


def test_machines_that_are_noticed_are_tried_once_in_a_while(
    machines: Machines, capsys: pytest.CaptureFixture[str]
) -> None:
    async def go() -> None:
        async with house(machines.new("a"), secret=SECRET) as home:
            for _ in range(5):
                lan(home).notice("127.0.0.1:1")
                await asyncio.sleep(0.05)
            assert home.keyring.credentials is None

    run(go())
    assert capsys.readouterr().out.count("a machine of this LAN was not joined") == 1
