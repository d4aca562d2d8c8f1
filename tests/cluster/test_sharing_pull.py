"""Whole models from other machines: by their names, over Zenoh, and past a bus that ends."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

import pytest
from ayllus import Ayllu as ZenohAyllu
from ayllus import until
from registries import bad_registry
from sharers import Ayllu, Machine

from ayllu.cluster.bus import LIVE
from ayllu.cluster.sharing import Members, Sharing
from ayllu.errors import AylluError
from ayllu.models.create import CreateRequest, Progress, create
from ayllu.models.manifest import MODEL_TYPE, digest_of
from ayllu.models.name import parse_name
from ayllu.models.store import Store
from ayllu.registry.bandwidth import Bandwidth
from ayllu.registry.downloads import Downloads
from ayllu.registry.limits import Limits
from ayllu.registry.partial import CHUNK
from ayllu.registry.pull import Order, Puller
from ayllu.registry.pull_hub import Workshop
from ayllu.types import Layer

DATA = os.urandom(60 * CHUNK + 5)
LAYER = Layer("m", digest_of(DATA), len(DATA))


def pull(machine: Machine, name: str) -> AsyncGenerator[Progress]:
    workshop = Workshop(partial(create, machine.store))
    puller = Puller(machine.store, machine.registries, machine.downloads, workshop)
    return puller.pull(Order(text=name, insecure=True))


@pytest.mark.parametrize("reachable", [True, False])
def test_a_model_that_no_registry_gives_comes_from_who_has_it(
    tmp_path: Path, mini_gguf: Path, reachable: bool
) -> None:
    async def run(host: str) -> None:
        ayllu = Ayllu()
        desk, me = Machine(tmp_path, ayllu, "desk"), Machine(tmp_path, ayllu, "me")
        name = f"{host}/me/homemade"
        with pytest.raises(AylluError):
            _ = [line async for line in pull(me, name)]
        layer = desk.store.add_file(mini_gguf, MODEL_TYPE)
        request = CreateRequest(files={"mini.gguf": layer.digest})
        _ = [line async for line in create(desk.store, parse_name(name), request)]
        lines = [line async for line in pull(me, name)]
        mine, other = (one.store.manifest(parse_name(name)) for one in (me, desk))
        assert mine.digest == other.digest
        assert lines[1].status == f"pulling manifest {other.digest[:12]} from deska"
        assert lines[-1].status == "success"
        last = [line for line in lines if line.digest == layer.digest][-1]
        assert (last.from_peers, last.from_registry, last.peers) == (layer.size, 0, 1)
        await ayllu.close()

    with bad_registry(tmp_path / "registry") as registry:
        host = registry.host
        if reachable:
            asyncio.run(run(host))
    if not reachable:
        asyncio.run(run(host))


def test_models_come_over_zenoh_and_through_a_bus_that_comes_anew(tmp_path: Path) -> None:
    async def run() -> None:
        ayllu = ZenohAyllu(tmp_path)
        liars: list[str] = []
        members = Members(lambda _: True, str, lambda node, _: liars.append(node))
        stores, sharings, credentials = [], [], []
        for name in ("one", "two"):
            member = ayllu.member(name)
            bus = await ayllu.open(ayllu.config(member))
            store = Store(tmp_path / name / "models")
            sharing = Sharing(member.node, store, Bandwidth(40 << 20), members)
            sharing.attach(bus, bus)
            bus.announce(LIVE.format(node=member.node))
            stores.append(store)
            sharings.append(sharing)
            credentials.append(member)
        holder, mine = sharings
        model = stores[0].write_blob(DATA, MODEL_TYPE)
        holder.got(model.digest[7:])
        await until(lambda: mine.members and holder.members)
        downloads = Downloads(stores[1], limits=Limits(tick=0.05))
        downloads.neighbours = mine
        broken = False
        async for amount in downloads.fetch(None, model):
            if not broken and amount.size > model.size // 4:
                broken = True
                mine.detach()
                await ayllu.buses.pop().close()
                bus = await ayllu.open(ayllu.config(credentials[1]))
                mine.attach(bus, bus)
                bus.announce(LIVE.format(node=credentials[1].node))
        assert broken
        assert amount.from_peers == model.size
        assert stores[1].blob_path(model.digest).read_bytes() == DATA
        assert not liars
        for sharing in sharings:
            sharing.detach()
        await downloads.close()
        await ayllu.close()

    asyncio.run(run())


def test_a_download_outlives_a_time_without_a_bus_and_asks_whoever_comes_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ayllu.cluster.exchange.RETURN_SECONDS", 0.5)

    async def run() -> None:
        ayllu = Ayllu()
        desk = Machine(tmp_path, ayllu, "desk")
        me = Machine(tmp_path, ayllu, "me", rate=2 * len(DATA))
        layer = desk.store.write_blob(DATA, MODEL_TYPE)
        desk.sharing.got(layer.digest[7:])
        broken = False
        async for amount in me.downloads.fetch(None, layer):
            if not broken and amount.size > layer.size // 4:
                broken = True
                me.sharing.detach()
                desk.bus.alive.clear()
                await asyncio.sleep(1.0)
                me.sharing.attach(me.bus, me.bus)
                await asyncio.sleep(0.1)
                desk.bus.announce(LIVE.format(node=desk.node))
        assert broken
        assert amount.from_peers == layer.size
        await ayllu.close()

    asyncio.run(run())
