from __future__ import annotations

import asyncio

import pytest
from cluster_machines import DAY, Machines, house, joined, run

from ayllu.cluster.authority import CertificateError
from ayllu.cluster.door_client import DoorError, RefusedError, knock
from ayllu.cluster.door_messages import (
    Renew,
    Renewed,
    statement,
)
from ayllu.cluster.join import keep_renewed, renew
from ayllu.cluster.keyring import Keyring
from ayllu.errors import ForbiddenError


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
