from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from ayllus import Ayllu, run, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memory_bus import Medium, MemoryBus
from own_records import OwnedRecord, a_record

from ayllu.cluster import membership, table
from ayllu.cluster.bus import LIVE, PULSE, RECORD, REVOKED, Bus
from ayllu.cluster.membership import KIND, Membership
from ayllu.cluster.record import Load, encode
from ayllu.cluster.remembered import FILE, Remembered
from ayllu.cluster.seal import seal
from ayllu.cluster.zenoh_bus import ZenohBus


class Machine:
    """A member: its record, its membership, and its bus."""

    def __init__(self, ayllu: Ayllu, name: str) -> None:
        self.keyring = ayllu.keyrings[name]
        identity = self.keyring.identity
        self.node = identity.node
        self.own = OwnedRecord(a_record(self.node, name=name, epoch=identity.epoch))
        self.remembered = Remembered(identity.folder / FILE)
        self.membership = Membership(self.keyring, self.own, self.remembered)

    def names(self) -> list[str]:
        return sorted(member.record.name for member in self.membership.members())

    def states(self) -> list[str]:
        return [member.state for member in self.membership.members()]


class Neighbourhood:
    """Machines of one ayllu, over Zenoh."""

    def __init__(self, ayllu: Ayllu) -> None:
        self.ayllu = ayllu
        self.machines: list[Machine] = []

    async def join(self, name: str) -> tuple[Machine, ZenohBus]:
        bus = await self.ayllu.join(name)
        machine = Machine(self.ayllu, name)
        machine.membership.attach(bus)
        self.machines.append(machine)
        return machine, bus

    async def close(self) -> None:
        for machine in self.machines:
            await machine.membership.close()


def test_machines_see_each_other_change_and_leave(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu) -> None:
        here = Neighbourhood(ayllu)
        first, _ = await here.join("1")
        second, _ = await here.join("2")
        third, bus = await here.join("3")
        await until(lambda: all(len(one.names()) == 2 for one in here.machines))
        told: list[str] = []
        first.membership.subscribe(lambda change: told.append(change.kind))
        third.own.change(name="three")
        await until(lambda: first.names() == ["2", "three"])
        assert first.membership.name_of(third.node) == "three"
        assert first.membership.trusts(third.node)
        here.machines.remove(third)
        await third.membership.close()
        await bus.close()
        await until(lambda: first.names() == ["2"] and second.names() == ["1"])
        assert told[-1] == "left"
        await here.close()

    run(tmp_path, scene)


def test_load_comes_by_pulse_and_what_was_missed_is_asked_for(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu) -> None:
        here = Neighbourhood(ayllu)
        first, bus = await here.join("1")
        second, _ = await here.join("2")
        await until(lambda: first.names() and second.names())
        heard: list[str] = []
        for key in (PULSE, RECORD):
            bus.subscribe(key.format(node=second.node), lambda said, _: heard.append(said))
        await until(lambda: not is_about_to_speak(second))
        heard.clear()
        second.own.change(load=Load(ram_free=1, disk_free=2, running=3))
        await until(lambda: loads(first) == [3])
        assert heard == [PULSE.format(node=second.node)]
        # A record that got lost is asked for with the next pulse.
        second.own.change(name="two")
        second.membership._said_record = second.own.record
        second.own.change(load=Load(ram_free=1, disk_free=2, running=4))
        await until(lambda: first.names() == ["two"])
        await here.close()

    run(tmp_path, scene)


def loads(machine: Machine) -> list[int]:
    return [member.record.load.running for member in machine.membership.members()]


def is_about_to_speak(machine: Machine) -> bool:
    return machine.membership._saying is not None


def test_one_that_opens_its_bus_anew_never_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "RETURN_SECONDS", 15.0)  # on a busy machine it takes its time

    async def scene(ayllu: Ayllu) -> None:
        here = Neighbourhood(ayllu)
        first, _ = await here.join("1")
        second, bus = await here.join("2")
        await until(lambda: first.names() and second.names())
        kinds: list[str] = []
        states: list[str] = []
        first.membership.subscribe(lambda change: kinds.append(change.kind))
        first.membership.subscribe(lambda _: states.extend(first.states()))
        await second.membership.detach()
        await bus.close()
        assert second.names() == ["1"]
        second.membership.attach(await ayllu.open(ayllu.config(second.keyring.member())))
        await until(lambda: "returning" in states and first.states() == ["online"])
        assert "left" not in kinds
        assert second.names() == ["1"]
        await here.close()

    run(tmp_path, scene)


def test_a_revocation_reaches_everybody_and_who_comes_later(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu) -> None:
        here = Neighbourhood(ayllu)
        first, _ = await here.join("1")
        second, _ = await here.join("2")
        await here.join("3")
        await until(lambda: all(len(one.names()) == 2 for one in here.machines))
        gone = ayllu.keyrings["3"].identity.node
        told: list[frozenset[str]] = []
        second.keyring.member().revoked.watch(told.append)
        first.keyring.member().revoked.revoke(gone, "lost", time.time())
        await until(lambda: first.names() == ["2"] and second.names() == ["1"])
        assert told == [frozenset({gone})]
        assert not second.membership.trusts(gone)
        late, _ = await here.join("4")
        await until(lambda: gone in late.keyring.member().revoked)
        await here.close()

    run(tmp_path, scene)


def in_memory(folder: Path, scene: object) -> None:
    """Run a scene of one membership and a bus of a liar."""

    async def whole() -> None:
        ayllu = Ayllu(folder)
        for name in ("1", "2", "3"):
            ayllu.member(name)
        medium = Medium()
        machine = Machine(ayllu, "1")
        machine.membership.attach(MemoryBus(medium))
        liar = MemoryBus(medium)
        try:
            await scene(ayllu, machine, liar)  # type: ignore[operator]
        finally:
            await machine.membership.close()
            ayllu.unlock()

    asyncio.run(whole())


def sealed_by(ayllu: Ayllu, name: str, /, **fields: object) -> bytes:
    credentials = ayllu.keyrings[name].member()
    return seal(credentials, KIND, encode(a_record(**{"node": credentials.node, **fields})))  # type: ignore[arg-type]


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_who_lies_in_anothers_name_is_set_aside_and_who_is_repeated_is_not(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu, machine: Machine, liar: Bus) -> None:
        two, three = (ayllu.keyrings[name].identity.node for name in "23")
        for name in "23":
            node = ayllu.keyrings[name].identity.node
            liar.announce(f"live/{node}")
            liar.publish(RECORD.format(node=node), sealed_by(ayllu, name))
        await settled()
        assert len(machine.names()) == 2
        liar.publish(RECORD.format(node=three), sealed_by(ayllu, "2", counter=9))
        await settled()
        assert machine.states() == ["online", "online"]
        liar.publish(RECORD.format(node=two), sealed_by(ayllu, "2", node=three, counter=9))
        await settled()
        states = {one.record.node: one.state for one in machine.membership.members()}
        assert states == {two: "set_aside", three: "online"}
        assert not machine.membership.trusts(two)

    in_memory(tmp_path, scene)


def test_one_whose_token_was_lost_is_asked_and_believed(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu, machine: Machine, liar: Bus) -> None:
        node = ayllu.keyrings["2"].identity.node
        liar.publish(RECORD.format(node=node), sealed_by(ayllu, "2"))
        await settled()
        assert machine.names() == []
        liar.serve(RECORD.format(node=node), lambda _: sealed_by(ayllu, "2"))
        liar.publish(RECORD.format(node=node), sealed_by(ayllu, "2"))
        await until(machine.names)

    in_memory(tmp_path, scene)


def test_one_whose_words_are_lost_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "QUIET_SECONDS", 0.5)

    async def scene(ayllu: Ayllu, machine: Machine, other: Bus) -> None:
        second = ayllu.keyrings["2"].identity.node
        names = ["before"]
        other.serve(
            RECORD.format(node=second),
            lambda _: sealed_by(ayllu, "2", name=names[-1], counter=len(names)),
        )
        other.announce(LIVE.format(node=second))
        await until(lambda: machine.names() == ["before"])
        names.append("after")  # it is published, and does not arrive
        await until(lambda: machine.names() == ["after"])

    in_memory(tmp_path, scene)


def test_news_are_said_though_it_is_time_for_a_pulse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "TICK_SECONDS", 0.01)
    monkeypatch.setattr(membership, "REFRESH_SECONDS", 0.05)

    async def scene(ayllu: Ayllu, machine: Machine, other: Bus) -> None:
        second = Machine(ayllu, "2")
        second.membership.attach(other)
        await until(lambda: machine.names() == ["2"])
        second.own.change(name="two")  # the next pulse is due before it would be said
        await until(lambda: machine.names() == ["two"], 5.0)
        await second.membership.close()

    in_memory(tmp_path, scene)


def test_records_of_other_ayllus_and_rubbish_are_dropped_and_counted(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu, machine: Machine, liar: Bus) -> None:
        other = Ayllu(tmp_path / "other")
        stranger = other.member("stranger").node
        liar.announce(f"live/{stranger}")
        liar.publish(RECORD.format(node=stranger), sealed_by(other, "stranger"))
        liar.publish(RECORD.format(node=stranger), b"\xc1rubbish")
        liar.publish(REVOKED.format(node=stranger), b"\x91rubbish")
        old = seal(
            ayllu.keyrings["2"].member(),
            KIND,
            encode(a_record(ayllu.keyrings["2"].identity.node)),
            time.time() - 8000,
        )
        liar.publish(RECORD.format(node=ayllu.keyrings["2"].identity.node), old)
        await settled()
        assert machine.names() == []
        assert sum(machine.membership.quiet.total.values()) == 4
        other.unlock()

    in_memory(tmp_path, scene)


def test_a_copy_of_this_machine_is_noticed(tmp_path: Path) -> None:
    async def scene(ayllu: Ayllu, machine: Machine, liar: Bus) -> None:
        own = machine.own.record
        liar.publish(RECORD.format(node=own.node), sealed_by(ayllu, "1", epoch=own.epoch))
        await settled()
        assert not machine.membership.cloned
        liar.publish(RECORD.format(node=own.node), sealed_by(ayllu, "1", epoch=own.epoch + 1))
        await settled()
        assert machine.membership.cloned

    in_memory(tmp_path, scene)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25
)
@given(st.lists(st.binary(max_size=300), max_size=20))
def test_no_bytes_upset_membership(tmp_path_factory: object, data: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("fuzz")  # type: ignore[attr-defined]

    async def scene(ayllu: Ayllu, machine: Machine, liar: Bus) -> None:
        node = ayllu.keyrings["2"].identity.node
        good = sealed_by(ayllu, "2")
        for number, piece in enumerate(data):
            cut = number * 7 % len(good)
            for bad in (piece, good[:cut] + piece + good[cut + len(piece) :]):
                liar.publish(RECORD.format(node=node), bad)
                liar.publish(REVOKED.format(node=node), bad)
                liar.publish(PULSE.format(node=node), bad)
        liar.announce(f"live/{node}")
        liar.publish(RECORD.format(node=node), good)
        await settled()
        assert machine.states() == ["online"]

    in_memory(folder, scene)


def test_addresses_are_remembered_and_those_of_the_revoked_are_not(tmp_path: Path) -> None:
    file = tmp_path / FILE
    remembered = Remembered(file)
    near = a_record("a" * 20)
    places = ("10.0.0.1:5", "[fe80::1%eth0]:5", "name:5", "[fd00::1]:5")
    endpoints = type(near.endpoints)(bus=places, bulk=("10.0.0.1:6",))
    remembered.note(a_record("a" * 20, endpoints=endpoints), time.time() - 50)
    remembered.note(a_record("b" * 20), time.time())
    remembered.note(a_record("c" * 20), time.time() - 31 * 86400)
    remembered.note(a_record("d" * 20), time.time())
    remembered.forget("d" * 20)
    remembered.save()
    again = Remembered(file).latest(9)
    assert [one.node[0] for one in again] == ["b", "a"]
    assert (again[1].bus, again[1].bulk) == (("10.0.0.1:5", "[fd00::1]:5"), ("10.0.0.1:6",))
    file.write_text("no JSON")
    assert Remembered(file).latest(9) == ()
