"""What a worker need not be sent: with a real engine, and with disks and machines that fail."""

from __future__ import annotations

import asyncio
import filecmp
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from ayllus import until
from gguf_writer import write_gguf
from msgspec import structs
from rpc_workers import LARGE_PER_LAYER, WIDE, head, make_wide_model, part_of, rpc_worker, say
from sharers import Ayllu, Machine
from small_disk import mounted

from ayllu.deploy.weights import CACHE, KEPT_SECONDS, Copy, Weights
from ayllu.deploy.worker_request import WorkerRequest
from ayllu.errors import RegistryError
from ayllu.models.corrected import find_correction
from ayllu.models.create import CreateRequest, Progress, create
from ayllu.models.folders import entries
from ayllu.models.manifest import MODEL_TYPE
from ayllu.models.name import parse_name
from ayllu.models.store import Store
from ayllu.registry.pull import Puller
from ayllu.registry.pull_hub import Workshop
from ayllu.runner.options import Worker
from ayllu.types import Layer

Stored = tuple[Store, WorkerRequest]
LARGE = LARGE_PER_LAYER * WIDE * 288 * 4
"""Bytes of one layer's tensors that the cache can hold."""


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_wide_model(tmp_path_factory.mktemp("wide") / "wide.gguf")


@pytest.fixture(scope="module")
def stored(wide: Path, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    store = Store(tmp_path_factory.mktemp("store"))
    layer = store.add_file(wide, MODEL_TYPE)
    return store, part_of(layer, 1, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "lease"
    path.mkdir(mode=0o700)
    return path


def prepared(store: Store, part: WorkerRequest, folder: Path) -> list[Progress]:
    """All that is said while a cache is made beside the folder."""

    async def run() -> list[Progress]:
        async with weights(store, folder.parent) as made:
            return await lines_of(made, part, folder)

    return asyncio.run(run())


def puller(machine: Machine) -> Puller:
    workshop = Workshop(partial(create, machine.store))
    return Puller(machine.store, machine.registries, machine.downloads, workshop)


@asynccontextmanager
async def weights(
    store: Store, home: Path, copy: Copy | None = None, kept: float = KEPT_SECONDS
) -> AsyncIterator[Weights]:
    made = Weights(store, copy, home, kept=kept)
    try:
        yield made
    finally:
        await made.close()


async def lines_of(made: Weights, part: WorkerRequest, folder: Path) -> list[Progress]:
    return [line async for line in made.prepare(part, folder)]


def files_of(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in (folder / CACHE).iterdir()}


def done(part: WorkerRequest, layers: int = 2) -> Progress:
    """The last line, where all went well."""
    return Progress("preparing the weights", part.digest, layers * LARGE, layers * LARGE)


def sent(wide: Path, home: Path, cache: Path) -> tuple[int, str]:
    """Bytes that a head sends to a worker with a cache, and what it says then."""
    with rpc_worker(cache) as relay, head(wide, home, Worker(relay.endpoint, 2)) as url:
        text = say(url)
        return relay.sent, text


def test_what_is_here_is_not_sent(wide: Path, stored: Stored, tmp_path: Path, folder: Path) -> None:
    store, part = stored
    with head(wide, tmp_path) as url:
        local = say(url)
    own = tmp_path / "own"
    own.mkdir()
    cold, text = sent(wide, tmp_path, own)
    assert text == local
    assert cold > 2 * LARGE
    assert prepared(store, part, folder)[-1] == done(part)
    theirs, ours = files_of(own), files_of(folder)
    assert theirs.keys() == ours.keys()
    assert len(ours) == 2 * LARGE_PER_LAYER
    assert all(filecmp.cmp(theirs[name], ours[name], shallow=False) for name in ours)
    warm, text = sent(wide, tmp_path, folder)
    assert text == local
    assert warm < cold - 2 * LARGE + 10_000


def test_files_that_are_not_as_they_should_be_are_written_again(
    stored: Stored, folder: Path
) -> None:
    store, part = stored

    async def run() -> None:
        async with weights(store, folder.parent) as made:
            await lines_of(made, part, folder)
            before = {name: path.read_bytes() for name, path in files_of(folder).items()}
            cut, emptied, foreign, altered, removed, whole = files_of(folder).values()
            kept = whole.stat().st_ino
            for path in (cut, emptied, foreign, altered):
                path.chmod(0o600)
            os.truncate(cut, WIDE)
            emptied.write_bytes(b"")
            foreign.write_bytes(before[cut.name])
            with altered.open("r+b") as file:
                file.seek(5 << 20)
                file.write(b"oops")
            removed.unlink()
            assert (await lines_of(made, part, folder))[-1] == done(part)
            assert {name: path.read_bytes() for name, path in files_of(folder).items()} == before
            assert files_of(folder)[whole.name].stat().st_ino == kept

    asyncio.run(run())


def test_a_model_whose_bytes_changed_below_its_name_is_taken_as_it_is(
    wide: Path, folder: Path
) -> None:
    """Its disk lies; what the head asks for by the right name is not found, and is sent."""
    store = Store(folder.parent / "models")
    layer = store.add_file(wide, MODEL_TYPE)
    part = part_of(layer, 2, 1)
    prepared(store, part, folder)
    before = set(files_of(folder))
    data = store.blob_path(layer.digest).read_bytes()
    at = data.index(files_of(folder)[min(before)].read_bytes())
    with store.blob_path(layer.digest).open("r+b") as file:
        file.seek(at)
        file.write(b"oops")
    other = folder.with_name("other")
    other.mkdir()
    assert prepared(store, part, other)[-1] == done(part, 1)
    assert before - set(files_of(other)) == {min(before)}
    assert len(files_of(other)) == len(before)


def test_a_folder_in_use_outlives_another_ones_end(stored: Stored, folder: Path) -> None:
    store, part = stored
    other = folder.with_name("other")
    other.mkdir()
    shared = folder.parent / "tensors"

    async def run() -> None:
        async with weights(store, folder.parent, kept=0.2) as made:
            await lines_of(made, part, folder)
            await lines_of(made, structs.replace(part, layers=1), other)
            assert {path.stat().st_nlink for path in files_of(other).values()} == {3}
            await made.release(folder)
            assert folder not in entries(folder.parent)
            await until(lambda: len(list(shared.iterdir())) == LARGE_PER_LAYER)
            assert {path.name for path in shared.iterdir()} == set(files_of(other))
        assert not shared.exists()
        assert {path.stat().st_nlink for path in files_of(other).values()} == {1}

    asyncio.run(run())


def test_the_model_comes_from_the_machines_that_have_it(
    wide: Path, stored: Stored, tmp_path: Path, folder: Path
) -> None:
    part = stored[1]

    async def run() -> None:
        ayllu = Ayllu()
        desk, me = Machine(tmp_path, ayllu, "desk"), Machine(tmp_path, ayllu, "me")
        layer = desk.store.add_file(wide, MODEL_TYPE)
        request = CreateRequest(files={"wide.gguf": layer.digest})
        _ = [line async for line in create(desk.store, parse_name(part.model), request)]
        async with weights(me.store, tmp_path, puller(me).copy) as made:
            lines = await lines_of(made, part, folder)
        assert lines[-1] == done(part)
        assert max(line.from_peers for line in lines) == part.size
        mine = me.store.manifest(parse_name(part.model))
        assert mine.digest == desk.store.manifest(parse_name(part.model)).digest
        await ayllu.close()

    asyncio.run(run())
    assert len(files_of(folder)) == 2 * LARGE_PER_LAYER


def test_a_model_of_the_same_name_stays_what_it_is(
    wide: Path, stored: Stored, tmp_path: Path, mini_gguf: Path, folder: Path
) -> None:
    part = stored[1]

    async def run() -> None:
        ayllu = Ayllu()
        desk, me = Machine(tmp_path, ayllu, "desk"), Machine(tmp_path, ayllu, "me")
        for machine, gguf in ((desk, wide), (me, mini_gguf)):
            layer = machine.store.add_file(gguf, MODEL_TYPE)
            request = CreateRequest(files={"it.gguf": layer.digest})
            _ = [line async for line in create(machine.store, parse_name(part.model), request)]
        before = me.store.manifest(parse_name(part.model)).digest
        async with weights(me.store, tmp_path, puller(me).copy) as made:
            lines = await lines_of(made, part, folder)
        assert lines[-1] == done(part)
        assert me.store.manifest(parse_name(part.model)).digest == before
        assert me.store.has_blob(part.digest)
        await ayllu.close()

    asyncio.run(run())


async def gone(_name: str, _layer: Layer) -> AsyncGenerator[Progress]:
    yield Progress("pulling")
    raise RegistryError("no other machine has it any more")


@pytest.mark.parametrize(
    ("copy", "said"),
    [
        (None, "this machine keeps no copies of others' models (copy_models)"),
        (gone, "no other machine has it any more"),
    ],
)
def test_without_a_copy_the_head_sends_all(
    stored: Stored, folder: Path, copy: Copy | None, said: str
) -> None:
    async def run() -> list[Progress]:
        async with weights(Store(folder.parent / "empty"), folder.parent, copy) as made:
            return await lines_of(made, stored[1], folder)

    assert asyncio.run(run())[-1].status == f"the head sends the weights: {said}"
    assert not (folder / CACHE).exists()


def test_a_full_disk_is_said_and_nothing_of_it_stays(stored: Stored, folder: Path) -> None:
    store, part = stored

    async def run(disk: Path) -> list[Progress]:
        async with weights(store, disk) as made:
            return await lines_of(made, part, folder)

    with mounted(folder.parent / "disk", "size=30m") as disk:
        last = asyncio.run(run(disk))[-1].status
        assert last.startswith(f"the head sends the weights: there is no space left in {disk}")
        assert f"{2 * LARGE:,} bytes" in last
        assert not (folder / CACHE).exists()


def test_a_disk_that_fills_meanwhile_is_said(stored: Stored, tmp_path: Path) -> None:
    store, part = stored

    async def run(disk: Path) -> None:
        async with weights(store, disk) as made:
            said = []
            async with aclosing(made.prepare(part, disk)) as lines:
                async for line in lines:
                    said.append(line.status)
                    fill(disk / "filler")
            assert said[-1] == (
                f"the head sends the weights: {disk / 'tensors'} cannot be used: there is no space "
                "left"
            )
            left = entries(disk / "tensors")
            assert {path.stat().st_size for path in left} <= {LARGE // LARGE_PER_LAYER}
            assert {path.name for path in left} == {path.name for path in entries(disk / CACHE)}

    with mounted(tmp_path / "disk", f"size={2 * LARGE + (2 << 20)}") as disk:
        asyncio.run(run(disk))


def fill(path: Path) -> None:
    """Leave no room on a disk."""
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1 << 20)):
            pass


def test_a_cache_on_another_disk_gets_its_files_too(
    stored: Stored, tmp_path: Path, folder: Path
) -> None:
    store, part = stored

    async def run(disk: Path) -> None:
        async with weights(store, disk) as made:
            assert (await lines_of(made, part, folder))[-1] == done(part)

    with mounted(tmp_path / "disk", "size=100m") as disk:
        asyncio.run(run(disk))
    assert len(files_of(folder)) == 2 * LARGE_PER_LAYER


def test_a_folder_that_is_gone_is_said_and_not_made_again(stored: Stored, folder: Path) -> None:
    """The lease ended meanwhile."""
    folder.rmdir()
    last = prepared(*stored, folder)[-1].status
    assert last.endswith("tensors cannot be used: No such file or directory")
    assert not folder.exists()


def test_who_gives_up_leaves_nothing_half_written(stored: Stored, folder: Path) -> None:
    store, part = stored

    async def run() -> None:
        async with weights(store, folder.parent) as made:
            async with aclosing(made.prepare(part, folder)) as lines:
                async for line in lines:
                    if line.completed:
                        break
            shared = list((folder.parent / "tensors").iterdir())
            assert {path.stat().st_size for path in shared} <= {LARGE // LARGE_PER_LAYER}
            assert not [path for path in shared if path.name.startswith(".")]

    asyncio.run(run())


def test_damaged_keys_are_worked_out_anew(stored: Stored, folder: Path) -> None:
    store, part = stored
    prepared(store, part, folder)
    before = set(files_of(folder))
    (folder.parent / "tensors.db").write_bytes(b"no database" * 1000)
    other = folder.with_name("other")
    other.mkdir()
    assert prepared(store, part, other)[-1] == done(part)
    assert set(files_of(other)) == before


def test_of_an_odd_file_what_the_engine_gets_is_prepared(tmp_path: Path, folder: Path) -> None:
    """Its vision tower is left out of what the engine gets, and a tensor's bytes are the same."""
    matrix = np.random.default_rng(3).random((2816, 1024), np.float32)
    tensors = {"v.blk.0.attn_q.weight": matrix, "blk.0.ffn_up.weight": matrix + 1}
    kvs = {"general.architecture": "gemma3", "gemma3.block_count": 1}
    path = write_gguf(tmp_path / "odd.gguf", kvs, tensors)
    assert find_correction(path) is not None
    store = Store(tmp_path / "models")
    layer = store.add_file(path, MODEL_TYPE)
    prepared(store, part_of(layer, 0, 1), folder)
    assert [file.read_bytes() for file in files_of(folder).values()] == [(matrix + 1).tobytes()]


def test_small_tensors_are_the_heads(tmp_path: Path, mini_gguf: Path, folder: Path) -> None:
    store = Store(tmp_path / "models")
    layer = store.add_file(mini_gguf, MODEL_TYPE)
    lines = prepared(store, part_of(layer, 0, 4), folder)
    assert [(line.total, line.completed) for line in lines] == [(0, 0)]
    assert not files_of(folder)


def test_a_file_that_is_no_model_is_said(tmp_path: Path, folder: Path) -> None:
    store = Store(tmp_path / "models")
    layer = store.write_blob(b"no model", MODEL_TYPE)
    lines = prepared(store, part_of(layer, 0, 1), folder)
    assert lines[-1].status.startswith("the head sends the weights: ")
    assert lines[-1].status.endswith("is not a GGUF file")
