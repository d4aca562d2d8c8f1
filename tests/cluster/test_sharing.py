"""Models come from the machines that have them, and from the registry only once."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from model_maker import put as put_model
from registries import BadRegistry
from sharers import Ayllu, Machine, running

from ayllu.errors import RegistryError
from ayllu.models.manifest import digest_of
from ayllu.registry.partial import CHUNK
from ayllu.types import Layer

DATA = os.urandom(40 * CHUNK + 12345)
LAYER = Layer("m", digest_of(DATA), len(DATA))


def check(*machines: Machine) -> None:
    for machine in machines:
        assert machine.store.blob_path(LAYER.digest).read_bytes() == DATA


def test_a_blob_comes_from_two_holders_and_not_from_the_registry(tmp_path: Path) -> None:
    async def work(ayllu: Ayllu, registry: BadRegistry) -> None:
        first, second, third = (Machine(tmp_path, ayllu, name) for name in ("one", "two", "three"))
        for machine in (first, second):
            put_model(machine.store, "me/x", b"{}", DATA)
        amount = await third.fetch(LAYER, third.source(registry, LAYER))
        assert (amount.from_peers, amount.from_registry, amount.peers) == (LAYER.size, 0, 2)
        check(third)

    assert running(tmp_path, work, DATA) == 0


@pytest.mark.parametrize("count", [2, 3, 5])
def test_several_that_want_the_same_fetch_it_once(tmp_path: Path, count: int) -> None:
    async def work(ayllu: Ayllu, registry: BadRegistry) -> None:
        machines = [Machine(tmp_path, ayllu, f"m{n}b") for n in range(count)]
        amounts = await asyncio.gather(
            *(machine.fetch(LAYER, machine.source(registry, LAYER)) for machine in machines)
        )
        check(*machines)
        assert all(amount.from_peers > 0 for amount in amounts)

    sent = running(tmp_path, work, DATA)
    assert LAYER.size <= sent < 1.25 * LAYER.size, "bench/swarm.py has the figure, without starving"


def test_without_a_registry_all_comes_from_others(tmp_path: Path) -> None:
    async def work(ayllu: Ayllu, _: BadRegistry) -> None:
        first, second = (Machine(tmp_path, ayllu, name) for name in ("one", "two"))
        put_model(first.store, "me/x", b"{}", DATA)
        assert (await second.fetch(LAYER)).from_peers == LAYER.size
        check(second)

    assert running(tmp_path, work, DATA) == 0


def test_without_a_registry_and_without_holders_there_is_one_sentence(tmp_path: Path) -> None:
    async def work(ayllu: Ayllu, _: BadRegistry) -> None:
        Machine(tmp_path, ayllu, "one")
        with pytest.raises(RegistryError, match="no other machine has all of"):
            await Machine(tmp_path, ayllu, "two").fetch(LAYER)

    running(tmp_path, work, DATA)


def test_late_comers_get_what_is_here_from_those_that_fetch(tmp_path: Path) -> None:
    async def work(ayllu: Ayllu, registry: BadRegistry) -> None:
        early = Machine(tmp_path, ayllu, "early", rate=30 << 20)
        late = Machine(tmp_path, ayllu, "late")
        fetching = asyncio.create_task(early.fetch(LAYER, early.source(registry, LAYER)))
        await asyncio.sleep(0.5)
        amount = await late.fetch(LAYER, late.source(registry, LAYER))
        await fetching
        check(early, late)
        assert amount.from_peers > 0

    assert running(tmp_path, work, DATA) < 1.25 * LAYER.size


def test_a_download_that_was_left_goes_on_with_others(tmp_path: Path) -> None:
    async def work(ayllu: Ayllu, registry: BadRegistry) -> None:
        alone = Machine(tmp_path, ayllu, "me", rate=40 << 20)
        fetching = alone.downloads.fetch(alone.source(registry, LAYER), LAYER)
        async for amount in fetching:
            if amount.size > LAYER.size // 2:
                break
        await fetching.aclose()
        await alone.close()
        ayllu.machines.clear()
        holder = Machine(tmp_path, ayllu, "one")
        put_model(holder.store, "me/x", b"{}", DATA)
        again = Machine(tmp_path, ayllu, "me")
        amount = await again.fetch(LAYER)
        check(again)
        assert 0 < amount.from_peers < 0.6 * LAYER.size

    running(tmp_path, work, DATA)


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1])
def test_small_blobs_come_from_others_too(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    layer = Layer("m", digest_of(data), size)

    async def work(ayllu: Ayllu, registry: BadRegistry) -> None:
        first, second = (Machine(tmp_path, ayllu, name) for name in ("one", "two"))
        put_model(first.store, "me/x", b"{}", data)
        assert (await second.fetch(layer, second.source(registry, layer))).size == size
        assert second.store.blob_path(layer.digest).read_bytes() == data

    assert running(tmp_path, work, data) == 0


def test_alone_in_an_ayllu_all_comes_from_the_registry(tmp_path: Path) -> None:
    async def work(ayllu: Ayllu, registry: BadRegistry) -> None:
        machine = Machine(tmp_path, ayllu, "me")
        amount = await machine.fetch(LAYER, machine.source(registry, LAYER))
        assert (amount.size, amount.from_peers, amount.peers) == (LAYER.size, 0, 0)
        check(machine)

    assert running(tmp_path, work, DATA) == LAYER.size
