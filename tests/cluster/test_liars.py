"""Machines that lie, dawdle or leave: the blob is right all the same, and the liar is known."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest
from memory_bus import Medium
from model_maker import files_of
from model_maker import put as put_model
from registries import BadRegistry
from sharers import Ayllu, Fake, Machine, running

from ayllu.cluster.have import Have
from ayllu.errors import NotFoundError, RegistryError
from ayllu.models.manifest import digest_of
from ayllu.registry.downloads import Amount
from ayllu.registry.partial import CHUNK
from ayllu.types import Layer

DATA = os.urandom(40 * CHUNK + 12345)
LAYER = Layer("m", digest_of(DATA), len(DATA))
OTHER = os.urandom(len(DATA))


class WrongPieces(Fake):
    """Its lists are right, and most of its pieces are not."""

    def piece(self, number: int, data: bytes) -> bytes:
        return data[::-1] if number > 1 else data


class WrongLists(Fake):
    """Its pieces are right, and its lists are not."""

    def hashes(self, first: int, data: bytes) -> bytes:
        del first
        return data[::-1]


class AnotherBlob(Fake):
    """It has another blob, in pieces and lists, and says that it is this one."""

    def __init__(self, medium: Medium, name: str, data: bytes) -> None:
        super().__init__(medium, name, OTHER)
        self.digest = LAYER.digest[7:]
        del data


class LongPieces(Fake):
    """Its pieces are too long."""

    def piece(self, number: int, data: bytes) -> bytes:
        del number
        return data + b"!"


class ShortPieces(Fake):
    """Its pieces are too short, one is empty."""

    def piece(self, number: int, data: bytes) -> bytes:
        return data[:number]


class OddLists(Fake):
    """Its lists are too long."""

    def hashes(self, first: int, data: bytes) -> bytes:
        del first
        return data * 2


class Refuser(Fake):
    """It says that it has all, and gives nothing."""

    def piece(self, number: int, data: bytes) -> bytes:
        raise NotFoundError(f"piece {number} of {len(data)} bytes is not here after all")


def check(machine: Machine) -> None:
    assert machine.store.blob_path(LAYER.digest).read_bytes() == DATA


@pytest.mark.parametrize("kind", [WrongPieces, AnotherBlob, LongPieces, ShortPieces, WrongLists])
@pytest.mark.parametrize("others", [1, 2])
def test_a_liar_among_honest_holders_is_found(
    tmp_path: Path, kind: type[Fake], others: int
) -> None:
    async def work(medium: Ayllu, _: BadRegistry) -> None:
        honest = [Fake(medium, f"hon{'est'[n]}", DATA) for n in range(others)]
        liar = kind(medium, "bad", DATA)
        machine = Machine(tmp_path, medium, "me")
        amount = await machine.fetch(LAYER)
        check(machine)
        assert amount.size == LAYER.size
        assert machine.liars.keys() <= {liar.node}
        assert machine.liars or kind is WrongLists, "whose lists nobody may have asked for"
        assert all(fake.asked for fake in honest)

    assert running(tmp_path, work, DATA) == 0


@pytest.mark.parametrize("kind", [WrongPieces, AnotherBlob, LongPieces, ShortPieces, WrongLists])
def test_where_all_others_lie_the_registry_has_the_last_word(
    tmp_path: Path, kind: type[Fake]
) -> None:
    async def work(medium: Ayllu, registry: BadRegistry) -> None:
        liar = kind(medium, "bad", DATA)
        machine = Machine(tmp_path, medium, "me")
        await machine.fetch(LAYER, machine.source(registry, LAYER))
        check(machine)
        assert set(machine.liars) == {liar.node}

    assert running(tmp_path, work, DATA) > 0


@pytest.mark.parametrize("kind", [AnotherBlob, LongPieces, Refuser])
def test_from_a_liar_alone_nothing_appears(tmp_path: Path, kind: type[Fake]) -> None:
    async def work(medium: Ayllu, _: BadRegistry) -> None:
        kind(medium, "bad", DATA)
        machine = Machine(tmp_path, medium, "me")
        with pytest.raises(RegistryError, match=r"digest mismatch|no other machine has all of"):
            await machine.fetch(LAYER)
        assert not machine.store.has_blob(LAYER.digest)
        assert not any(name.endswith("partial") for name in files_of(machine.store.root))

    running(tmp_path, work, DATA)


def test_a_fellow_downloader_that_lies_is_found_by_the_registry(tmp_path: Path) -> None:
    async def work(medium: Ayllu, registry: BadRegistry) -> None:
        liar = WrongPieces(medium, "bad", DATA)
        liar.have = Have(size=len(DATA), bits=b"\xff\xff")
        machine = Machine(tmp_path, medium, "me")
        await machine.fetch(LAYER, machine.source(registry, LAYER))
        check(machine)
        assert set(machine.liars) == {liar.node}

    assert running(tmp_path, work, DATA) <= LAYER.size


def test_a_holder_without_lists_is_believed_until_the_whole_is_wrong(tmp_path: Path) -> None:
    async def work(medium: Ayllu, _: BadRegistry) -> None:
        OddLists(medium, "odd", DATA)
        machine = Machine(tmp_path, medium, "me")
        assert (await machine.fetch(LAYER)).from_peers == LAYER.size
        check(machine)
        assert not machine.liars

    assert running(tmp_path, work, DATA) == 0


def test_one_that_gives_nothing_is_left_for_the_registry(tmp_path: Path) -> None:
    async def work(medium: Ayllu, registry: BadRegistry) -> None:
        Refuser(medium, "bad", DATA)
        machine = Machine(tmp_path, medium, "me")
        amount = await machine.fetch(LAYER, machine.source(registry, LAYER))
        check(machine)
        assert amount == Amount(LAYER.size)

    assert running(tmp_path, work, DATA) == LAYER.size


def test_one_that_hangs_is_left_for_the_registry(tmp_path: Path) -> None:
    ends = threading.Event()

    class Silent(Fake):
        def piece(self, number: int, data: bytes) -> bytes:
            if number > 4:
                ends.wait(60)
            return data

    async def work(medium: Ayllu, registry: BadRegistry) -> None:
        Silent(medium, "bad", DATA)
        machine = Machine(tmp_path, medium, "me")
        fetching = asyncio.create_task(machine.fetch(LAYER, machine.source(registry, LAYER)))
        await fetching
        ends.set()
        check(machine)

    assert 0 < running(tmp_path, work, DATA) < LAYER.size


def test_what_a_machine_had_that_leaves_comes_from_others(tmp_path: Path) -> None:
    async def work(medium: Ayllu, registry: BadRegistry) -> None:
        leaving = asyncio.Event()
        loop = asyncio.get_running_loop()

        class Leaver(Fake):
            def piece(self, number: int, data: bytes) -> bytes:
                if len(self.asked) > 9 or number < 0:
                    loop.call_soon_threadsafe(leaving.set)
                    raise NotFoundError("I am gone")
                return data

        leaver = Leaver(medium, "bad", DATA)
        machine = Machine(tmp_path, medium, "me")
        fetching = asyncio.create_task(machine.fetch(LAYER, machine.source(registry, LAYER)))
        await leaving.wait()
        await leaver.bus.close()
        amount = await fetching
        check(machine)
        assert amount.from_peers > 0
        assert amount.from_peers + amount.from_registry <= LAYER.size + 2 * CHUNK
        assert not machine.liars

    assert 0 < running(tmp_path, work, DATA) < LAYER.size


def test_a_registry_that_fails_is_left_for_others(tmp_path: Path) -> None:
    async def work(medium: Ayllu, registry: BadRegistry) -> None:
        fellow = Fake(medium, "good", DATA)
        fellow.have = Have(size=len(DATA), bits=b"", fetches=True)
        machine = Machine(tmp_path, medium, "me")
        wrong = Layer("m", LAYER.digest, LAYER.size)
        (tmp_path / "registry/blobs" / LAYER.digest).unlink()
        fetching = asyncio.create_task(machine.fetch(wrong, machine.source(registry, wrong)))
        await asyncio.sleep(0.5)
        fellow.publish(Have(size=len(DATA), complete=True))
        assert (await fetching).from_peers == LAYER.size
        check(machine)

    running(tmp_path, work, DATA)


def test_maps_that_are_none_harm_nobody(tmp_path: Path) -> None:
    async def work(medium: Ayllu, _: BadRegistry) -> None:
        good = Fake(medium, "good", DATA)
        bad = Fake(medium, "bad", DATA)
        machine = Machine(tmp_path, medium, "me")
        fetching = asyncio.create_task(machine.fetch(LAYER))
        for data in (b"", b"\xff" * 9, os.urandom(2000), b"\x80"):
            bad.bus.publish(f"have/{LAYER.digest[7:]}/{bad.node}", data)
            await asyncio.sleep(0.01)
        bad.publish(Have(size=5, complete=True))
        bad.publish(Have(size=len(DATA), bits=b"\xff" * 900))
        await fetching
        check(machine)
        assert good.asked

    running(tmp_path, work, DATA)


def test_whoever_shares_nothing_still_takes(tmp_path: Path) -> None:
    async def work(medium: Ayllu, registry: BadRegistry) -> None:
        holder = Machine(tmp_path, medium, "one", serves=False)
        put_model(holder.store, "me/x", b"{}", DATA)
        machine = Machine(tmp_path, medium, "two", serves=False)
        amount = await machine.fetch(LAYER, machine.source(registry, LAYER))
        assert amount.from_peers == 0
        check(machine)
        good = Fake(medium, "good", DATA)
        third = Machine(tmp_path, medium, "three", serves=False)
        assert (await third.fetch(LAYER)).peers == 1
        assert good.asked

    running(tmp_path, work, DATA)
