"""What becomes of trying other machines: real doors and ports, and what is told of each."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cluster_machines import DAY, House, Machines, house, joined, run

from ayllu.cluster.diagnose import Here, There, report
from ayllu.cluster.hints import MAGIC, VERSION, Hint, Message
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.probe import Others, look_around
from ayllu.cluster.remembered import Met


@contextmanager
def a_port() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def met(home: House, bus: str) -> Met:
    node = home.keyring.identity.node
    return Met(node=node, name="laptop", bus=(bus,), bulk=(), met=0.0, join=(home.address,))


def others(*known: Met, heard: tuple[Hint, ...] = (), **named: tuple[str, str]) -> Others:
    return Others(met=known, heard=heard, named=named, is_revoked=lambda node: node == "r" * 20)


def sentence(me: Keyring, other: There) -> str:
    own = me.member()
    here = Here(
        name="desk",
        node=own.node,
        version="0.1.0",
        now=me.clock(),
        addresses=("127.0.0.1",),
        ayllu=own.cluster,
        ends=own.ends,
        hears_itself=True,
    )
    return next(one.text for one in report(here, (other,)) if one.topic == other.name)


async def the_one(known: Others) -> There:
    [found] = await look_around(known)
    return found


def test_a_member_that_is_asked_says_why_it_is_not_there(machines: Machines) -> None:
    async def go() -> None:
        me, it = machines.new("a"), machines.new("b")
        me.create()
        async with house(it) as home:
            with a_port() as bus:
                known = others(met(home, bus))
                assert "is in no ayllu" in sentence(me, await the_one(known))
                it.create()
                assert "another ayllu" in sentence(me, await the_one(known))
                it.leave()
                joined(me, it)
                there = await the_one(others(met(home, bus)))
                assert (there.asked, there.meets) == (True, False)
                assert "is no member now" in sentence(me, there)
                machines.clock.now += 31 * DAY
                me.renew()
                assert "its certificate ran out" in sentence(me, await the_one(known))
            assert "the bus" in sentence_of_closed(await the_one(known))

    run(go())


def sentence_of_closed(there: There) -> str:
    [closed] = [one for one in there.tried if one.port != "open"]
    assert closed.port == "refused"
    return closed.purpose


def test_machines_are_tried_once_however_they_are_known(machines: Machines) -> None:
    async def go() -> None:
        it = machines.new("b")
        async with house(it) as home:
            with a_port() as bus:
                named = others(met(home, bus), laptop=(bus, home.address))
                assert [one.name for one in await look_around(named)] == ["laptop"]
                alone = others(laptop=(bus, home.address))
                [found] = await look_around(alone)
                assert (found.node, found.asked) == (it.identity.node, True)

    run(go())


def test_a_beacon_counts_and_its_name_is_fit_for_a_terminal(machines: Machines) -> None:
    async def go() -> None:
        it = machines.new("b")
        async with house(it) as home:
            port = int(home.address.rpartition(":")[2])
            said = Message(MAGIC, VERSION, it.identity.node, "lap\x1b[2J", "", "9", port, 0, 0, 1.0)
            hint = Hint(said, ("127.0.0.1",), 0.0, 0.0)
            found = await the_one(others(heard=(hint,)))
            assert (found.beacon, found.asked) == (True, True)
            assert "\x1b" not in found.name

    run(go())


@pytest.mark.parametrize(
    ("place", "port"),
    [("127.0.0.1:1", "refused"), ("no address", "unreachable"), ("[::1]:1", "refused")],
)
def test_a_port_that_is_not_there_is_told(place: str, port: str) -> None:
    async def go() -> None:
        gone = Met(node="g" * 20, name="gone", bus=(place,), bulk=(), met=0.0)
        found = await the_one(others(gone))
        assert [one.port for one in found.tried] == [port]
        assert not found.asked

    run(go())


def test_the_revoked_are_told_apart() -> None:
    async def go() -> None:
        found = await the_one(others(Met(node="r" * 20, name="lost", bus=(), bulk=(), met=0.0)))
        assert found.revoked

    run(go())
