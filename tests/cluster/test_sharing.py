"""Models come from the machines that have them, and from the registry only once."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from memory_bus import Medium
from model_maker import put as put_model
from registries import BadRegistry, bad_registry
from sharers import Machine, close_all

from ayllu.errors import RegistryError
from ayllu.models.manifest import digest_of
from ayllu.registry.partial import CHUNK
from ayllu.types import Layer

DATA = os.urandom(40 * CHUNK + 12345)
LAYER = Layer("m", digest_of(DATA), len(DATA))


def put(machine: Machine, data: bytes = DATA) -> None:
    """Let a machine have a model of some bytes."""
    put_model(machine.store, "me/x", b"{}", data)


def sent(registry: BadRegistry) -> int:
    """The bytes of bodies that a registry sent."""
    return sum(max(one["sent"], 0) for one in registry.requests)


def check(*machines: Machine) -> None:
    for machine in machines:
        assert machine.store.blob_path(LAYER.digest).read_bytes() == DATA


def test_a_blob_comes_from_two_holders_and_not_from_the_registry(tmp_path: Path) -> None:
    async def run(registry: BadRegistry) -> None:
        medium = Medium()
        first, second, third = (Machine(tmp_path, medium, name) for name in ("one", "two", "three"))
        put(first)
        put(second)
        amount = await third.fetch(LAYER, third.source(registry, LAYER))
        assert (amount.from_peers, amount.from_registry, amount.peers) == (LAYER.size, 0, 2)
        check(third)
        await close_all(first, second, third)

    with bad_registry(tmp_path / "registry") as registry:
        registry.put_blob("me/x", DATA)
        asyncio.run(run(registry))
        assert sent(registry) == 0


@pytest.mark.parametrize("count", [2, 3, 5])
def test_several_that_want_the_same_fetch_it_once(tmp_path: Path, count: int) -> None:
    async def run(registry: BadRegistry) -> None:
        medium = Medium()
        machines = [Machine(tmp_path, medium, f"m{n}b") for n in range(count)]
        amounts = await asyncio.gather(
            *(machine.fetch(LAYER, machine.source(registry, LAYER)) for machine in machines)
        )
        check(*machines)
        assert all(amount.from_peers > 0 for amount in amounts)
        await close_all(*machines)

    with bad_registry(tmp_path / "registry") as registry:
        registry.put_blob("me/x", DATA)
        asyncio.run(run(registry))
        assert LAYER.size <= sent(registry) <= 1.05 * LAYER.size


def test_without_a_registry_all_comes_from_others(tmp_path: Path) -> None:
    async def run() -> None:
        medium = Medium()
        first, second = (Machine(tmp_path, medium, name) for name in ("one", "two"))
        put(first)
        assert (await second.fetch(LAYER)).from_peers == LAYER.size
        check(second)
        await close_all(first, second)

    asyncio.run(run())


def test_without_a_registry_and_without_holders_there_is_one_sentence(tmp_path: Path) -> None:
    async def run() -> None:
        medium = Medium()
        first, second = (Machine(tmp_path, medium, name) for name in ("one", "two"))
        with pytest.raises(RegistryError, match="no other machine has all of"):
            await second.fetch(LAYER)
        await close_all(first, second)

    asyncio.run(run())
