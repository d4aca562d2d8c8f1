from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack

import pytest
from cluster_machines import DAY, House, Machines, eventually, house, joined, proxy, run

from ayllu.cluster.door_client import DoorError, RefusedError, knock
from ayllu.cluster.door_messages import (
    PairAnswer,
    PairNonce,
    PairOffer,
    PairReveal,
    PairStart,
    PairState,
)
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.pair_session import Pending
from ayllu.errors import BadRequestError, BusyError, ForbiddenError, NotFoundError


def shown(home: House) -> Pending:
    (pending,) = home.pairing.pending()
    return pending


async def until(home: House, state: str) -> Pending:
    await eventually(lambda: shown(home).state == state)
    return shown(home)


async def agree(asker: House, asked: House) -> None:
    """Both users compare the codes and say yes."""
    first = await asker.pairing.start(asked.address)
    second = shown(asked)
    assert first.code == second.code
    assert len(first.code) == 6
    assert (first.asked, second.asked) == (True, False)
    assert (first.node, second.node) == (asked.keyring.identity.node, asker.keyring.identity.node)
    asked.pairing.confirm(second.id, yes=True)
    asker.pairing.confirm(first.id, yes=True)
    await until(asker, "paired")
    await until(asked, "paired")


@pytest.mark.parametrize("asker_has", ["none", "alone", "shared"])
@pytest.mark.parametrize("asked_has", ["none", "alone", "shared"])
def test_two_machines_are_paired_whoever_has_an_ayllu(
    machines: Machines, asker_has: str, asked_has: str
) -> None:
    async def go() -> None:
        one, two = machines.new("a"), machines.new("b")
        for keyring, has in ((one, asker_has), (two, asked_has)):
            if has != "none":
                keyring.create()
            if has == "shared":
                joined(keyring, machines.new(f"with {keyring.identity.node}"))
        before = {keyring.member().cluster for keyring in (one, two) if not keyring.is_free}
        if len(before) == 2:
            async with house(one) as asker, house(two) as asked:
                with pytest.raises(RefusedError, match="both with others: run `ayllu leave`"):
                    await asker.pairing.start(asked.address)
            return
        async with house(one) as asker, house(two) as asked:
            await agree(asker, asked)
        assert one.member().cluster == two.member().cluster
        assert not before or before == {one.member().cluster}
        assert one.member().is_admin
        assert two.member().is_admin
        for keyring in (one, two):
            other = two if keyring is one else one
            seen = keyring.member().check(other.member().certificate, machines.clock())
            assert seen.node == other.identity.node
            assert Keyring(keyring.identity).member().cluster == one.member().cluster

    run(go())


@pytest.mark.parametrize("who", ["asked", "asker"])
def test_one_no_is_enough(machines: Machines, who: str) -> None:
    async def go() -> None:
        async with house(machines.new("a")) as asker, house(machines.new("b")) as asked:
            pending = await asker.pairing.start(asked.address)
            refuser, other = (asked, asker) if who == "asked" else (asker, asked)
            other.pairing.confirm(pending.id, yes=True)
            refuser.pairing.confirm(pending.id, yes=False)
            assert "this machine's user said no" in (await until(refuser, "refused")).sentence
            assert (
                f"user of {refuser.name[:64]} said no" in (await until(other, "refused")).sentence
            )
            for home in (asker, asked):
                assert home.keyring.credentials is None
                with pytest.raises(BadRequestError, match="is refused already"):
                    home.pairing.confirm(pending.id, yes=True)
            await agree(asker, asked)  # and again, from the start

    run(go())


def test_nothing_happens_until_both_said_yes(machines: Machines) -> None:
    async def go() -> None:
        async with house(machines.new("a")) as asker, house(machines.new("b")) as asked:
            pending = await asker.pairing.start(asked.address)
            asker.pairing.confirm(pending.id, yes=True)
            await asyncio.sleep(0.7)  # it has told its answer, more than once
            assert shown(asked).state == "waiting"
            assert shown(asker).state == "confirmed"
            assert asker.keyring.credentials is asked.keyring.credentials is None
            with pytest.raises(NotFoundError, match="no such pairing"):
                asked.pairing.confirm("0" * 32, yes=True)
            with pytest.raises(BadRequestError, match="is confirmed already"):
                asker.pairing.confirm(pending.id, yes=False)

    run(go())


def test_someone_in_between_is_seen_by_the_codes(machines: Machines) -> None:
    """It pairs with both sides under its own key: the two codes that people compare differ."""

    async def go() -> None:
        async with (
            house(machines.new("a")) as one,
            house(machines.new("b")) as two,
            house(machines.new("evil")) as evil,
        ):
            first = await one.pairing.start(evil.address)  # it thinks that this is two's address
            async with house(evil.keyring) as other_side:
                await other_side.pairing.start(two.address)
                assert shown(two).code != first.code
            # Passing on what is said under another certificate fails before any code is shown.
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            own = evil.keyring.create()
            tls.load_cert_chain(own.certificate_file, own.key_file)
        async with house(one.keyring) as asker, house(two.keyring) as asked:
            async with proxy(asked.address, tls) as between:
                with pytest.raises(DoorError, match="another machine answers at"):
                    await asker.pairing.start(between)
            assert asker.pairing.pending() == asked.pairing.pending() == ()

    run(go())


def test_a_nonce_that_was_not_promised_is_refused(machines: Machines) -> None:
    async def go() -> None:
        async with house(machines.new("a")) as asker, house(machines.new("b")) as asked:

            async def choose(_: PairReveal, __: object) -> PairNonce:
                return PairNonce(bytes(32))

            asked.door.answer(PairReveal, choose)
            with pytest.raises(ForbiddenError, match="did not keep its promise"):
                await asker.pairing.start(asked.address)
            assert asker.pairing.pending() == ()

    run(go())


def test_a_second_nonce_or_a_forged_answer_is_refused(machines: Machines) -> None:
    async def go() -> None:
        evil = machines.new("evil").identity
        async with house(machines.new("a")) as asker, house(machines.new("b")) as asked:
            pending = await asker.pairing.start(asked.address)
            id_ = bytes.fromhex(pending.id)
            async with knock(asked.address) as door:
                with pytest.raises(RefusedError, match="has its code already"):
                    await door.ask(PairReveal(id_, bytes(32)), PairNonce)
            for yes in (True, False):
                async with knock(asked.address) as door:
                    with pytest.raises(RefusedError, match="not of the machine that is being"):
                        await door.ask(PairAnswer(id_, yes, evil.sign(b"yes")), PairState)
            async with knock(asked.address) as door:
                with pytest.raises(RefusedError, match="this pairing is over"):
                    await door.ask(PairReveal(bytes(16), bytes(32)), PairNonce)
            assert shown(asked).state == "waiting"

    run(go())


def test_pairs_that_cannot_be_are_refused_in_a_sentence(machines: Machines) -> None:
    async def go() -> None:
        one, two, three, four, five = (machines.new(name) for name in "abcde")
        one.create()
        joined(one, two, admin=False)
        three.create()
        joined(three, five)
        async with AsyncExitStack() as stack:
            homes = [await stack.enter_async_context(house(k)) for k in (one, two, three, four)]
            first, second, third, free = homes
            for asker, asked, words in (
                (first, second, "is in the same ayllu already"),
                (first, third, "run `ayllu leave` on one of them first"),
                (second, free, "does not hold its CA's key: pair with an admin machine"),
                (free, second, "does not hold its CA's key: pair with an admin machine"),
                (free, free, "is this machine's own door"),
            ):
                with pytest.raises((BadRequestError, ForbiddenError), match=words):
                    await asker.pairing.start(asked.address)
                assert asker.pairing.pending() == asked.pairing.pending() == ()
            four.clock = lambda: machines.clock() - 2 * DAY
            with pytest.raises(BadRequestError, match="is 2 days behind that of house"):
                await free.pairing.start(first.address)

    run(go())


def test_a_revoked_machine_is_not_paired(machines: Machines) -> None:
    async def go() -> None:
        one, two = machines.new("a"), machines.new("b")
        one.create().revoked.revoke(two.identity.node, "stolen", machines.clock())
        async with house(one) as home, house(two) as other:
            with pytest.raises(RefusedError, match=r"was revoked \(stolen\)"):
                await other.pairing.start(home.address)

    run(go())


def test_one_pairing_at_a_time_and_few_in_a_row(machines: Machines) -> None:
    async def go() -> None:
        async with (
            house(machines.new("a")) as one,
            house(machines.new("b")) as two,
            house(machines.new("c")) as three,
        ):
            pending = await one.pairing.start(two.address)
            with pytest.raises(RefusedError, match="is being paired with another machine"):
                await three.pairing.start(two.address)
            with pytest.raises(BusyError, match="is under way: end it first"):
                await one.pairing.start(three.address)
            two.pairing.confirm(pending.id, yes=False)
            await until(one, "refused")
            for _ in range(4):
                again = await one.pairing.start(two.address)
                two.pairing.confirm(again.id, yes=False)
                await until(one, "refused")
            with pytest.raises(RefusedError, match="5 pairings were tried"):
                await one.pairing.start(two.address)
            await agree(two, one)  # its own user may still begin

    run(go())


def test_a_stranger_who_only_begins_does_not_keep_users_out(machines: Machines) -> None:
    async def go() -> None:
        stranger = machines.new("x").identity
        async with house(machines.new("a")) as one, house(machines.new("b")) as two:
            async with knock(one.address) as door:
                await door.ask(PairStart(stranger.request(), "x"), PairOffer)
            assert one.pairing.pending() == ()  # there is nothing to compare
            await agree(one, two)

    run(go())


def test_a_code_that_nobody_confirms_expires(machines: Machines) -> None:
    async def go() -> None:
        one, two = machines.new("a"), machines.new("b")
        async with house(one, seconds=1.5) as asker, house(two, seconds=1.5) as asked:
            pending = await asker.pairing.start(asked.address)
            asker.pairing.confirm(pending.id, yes=True)
            for home in (asker, asked):
                assert (
                    "nobody confirmed the code in time" in (await until(home, "expired")).sentence
                )
            with pytest.raises(BadRequestError, match="is expired already"):
                asked.pairing.confirm(pending.id, yes=True)
            await eventually(lambda: asker.pairing.pending() == asked.pairing.pending() == ())
            assert asked.keyring.credentials is None

    run(go())


def test_a_machine_that_goes_away_ends_the_pairing(machines: Machines) -> None:
    async def go() -> None:
        async with house(machines.new("a")) as asker:
            async with house(machines.new("b")) as asked:
                pending = await asker.pairing.start(asked.address)
            asker.pairing.confirm(pending.id, yes=True)
            assert "cannot be reached" in (await until(asker, "failed")).sentence

    run(go())
