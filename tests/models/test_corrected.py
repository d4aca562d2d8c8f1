"""Corrected copies: made once, whole or not at all, and gone with what they were made of."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gguf_maker import make_successor_model
from gguf_writer import write_gguf
from model_maker import age, files_of, make
from odd_maker import make_odd
from projector_maker import vision
from small_disk import mounted

from ayllu.errors import GGUFError, StoreError
from ayllu.gguf import compat
from ayllu.gguf.read import read_header
from ayllu.models import copies, corrected
from ayllu.models.corrected import Corrector, has_projector
from ayllu.models.create import CreateRequest
from ayllu.models.describe import capabilities
from ayllu.models.manifest import MODEL_TYPE
from ayllu.models.model import Model, open_model
from ayllu.models.name import parse_name
from ayllu.models.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def put(store: Store, kind: str, name: str = "odd") -> Model:
    path = make_odd(store.root.parent / f"{kind}.gguf", kind)
    digest = store.add_file(path, MODEL_TYPE).digest
    make(store, name, CreateRequest(files={"x.gguf": digest}))
    return open_model(store, parse_name(name))


def correct(*models: Model) -> list[Model]:
    """Each of them corrected, all at once."""

    async def run() -> list[Model]:
        corrector = Corrector()
        try:
            return list(await asyncio.gather(*map(corrector.correct, models)))
        finally:
            await corrector.close()

    return asyncio.run(run())


def names(store: Store) -> set[str]:
    return {name for name in files_of(store.root) if name.startswith(copies.FOLDER)} - {
        f"{copies.FOLDER}/lock"
    }


def test_a_usual_model_stays_as_it_is(store: Store, tmp_path: Path) -> None:
    digest = store.add_file(make_successor_model(tmp_path / "x"), MODEL_TYPE).digest
    make(store, "usual", CreateRequest(files={"x.gguf": digest}))
    model = open_model(store, parse_name("usual"))
    assert correct(model) == [model]
    assert not has_projector(model)
    assert names(store) == set()


def test_copies_are_made_once_for_all(store: Store) -> None:
    model = put(store, "gemma3")
    before = model.path.read_bytes()
    assert has_projector(model)
    assert "vision" in capabilities(model)
    first, second, third = correct(model, model, model)
    assert first == second == third
    assert {path.parent.name for path in (first.path, *first.projectors)} == {copies.FOLDER}
    assert read_header(first.projectors[0]).kvs["clip.projector_type"] == "gemma3"
    stamps = [path.stat().st_mtime_ns for path in (first.path, *first.projectors)]
    assert correct(model) == [first]
    assert [path.stat().st_mtime_ns for path in (first.path, *first.projectors)] == stamps
    assert model.path.read_bytes() == before
    first.projectors[0].unlink()
    assert correct(model) == [first]
    assert first.projectors[0].is_file()


def test_two_processes_make_one_copy(store: Store) -> None:
    model = put(store, "gemma3")
    script = (
        "import sys, asyncio; from pathlib import Path\n"
        "from ayllu.models.store import Store; from ayllu.models.model import open_model\n"
        "from ayllu.models.name import parse_name; from ayllu.models.corrected import Corrector\n"
        "store = Store(Path(sys.argv[1]))\n"
        "model = open_model(store, parse_name('odd'))\n"
        "print(asyncio.run(Corrector().correct(model)).path)\n"
    )
    command = [sys.executable, "-c", script, str(store.root)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = {process.communicate()[0].splitlines()[-1] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(said) == 1
    assert len(names(store)) == 2
    assert correct(model)[0].path == Path(said.pop())


def test_an_old_projector_is_corrected_beside_its_model(store: Store, tmp_path: Path) -> None:
    keys, tensors = vision()
    keys = {key: value for key, value in keys.items() if "projector_type" not in key}
    path = write_gguf(tmp_path / "p.gguf", {"general.architecture": "clip"} | keys, tensors)
    files = {
        "m.gguf": store.add_file(make_successor_model(tmp_path / "x"), MODEL_TYPE).digest,
        "p.gguf": store.add_file(path, MODEL_TYPE).digest,
    }
    make(store, "llava", CreateRequest(files=files))
    model = open_model(store, parse_name("llava"))
    (found,) = correct(model)
    assert found.path == model.path
    assert read_header(found.projectors[0]).kvs["clip.projector_type"] == "mlp"


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=8m") as small:
        full = Store(small / "models")
        put_there = put(full, "gemma3")
        (small / "filler").write_bytes(bytes(shutil.disk_usage(small).free - (512 << 10)))
        with pytest.raises(StoreError, match=r"there is no space left in .*: free some"):
            correct(put_there)
        assert names(full) == set()
        (small / "filler").unlink()
        (found,) = correct(put_there)
        assert found.path.is_file()


def test_what_cannot_be_corrected_is_told_by_its_name(store: Store) -> None:
    """The copy breaks a rule that the source did not: a name grows too long."""
    path = make_odd(store.root.parent / "x.gguf", "gptoss")
    header = read_header(path)
    data = bytearray(path.read_bytes())
    name = next(tensor.name for tensor in header.tensors if tensor.name.endswith("sinks"))
    at = data.index(name.encode()) - 8
    new = b"blk.0." + b"x" * 42 + b".attn_sinks"
    grown = data[:at] + len(new).to_bytes(8, "little") + new + data[at + 8 + len(name) :]
    pad = -(header.data_offset + len(new) - len(name)) % 32
    body = header.data_offset + len(new) - len(name)
    path.write_bytes(grown[:body] + bytes(pad) + grown[body:])
    digest = store.add_file(path, MODEL_TYPE).digest
    make(store, "odd", CreateRequest(files={"x.gguf": digest}))
    with pytest.raises(GGUFError, match=r"sha256-[0-9a-f]{64} cannot be corrected for the engine"):
        correct(open_model(store, parse_name("odd")))
    assert names(store) == set()


def test_copies_go_with_their_source(store: Store) -> None:
    model = put(store, "gemma3")
    other = put(store, "gptoss", "other")
    correct(model, other)
    assert len(names(store)) == 3
    store.delete(model.name)
    (left,) = names(store)
    assert other.path.name in left
    assert store.prune() == ()
    assert names(store) == {left}


def test_prune_removes_copies_of_other_versions_and_debris(store: Store) -> None:
    model = put(store, "gptoss")
    (found,) = correct(model)
    folder = found.path.parent
    old = folder / f"{model.path.name}-{compat.VERSION + 1}.model.gguf"
    stray = folder / f"sha256-{'0' * 64}-{compat.VERSION}.model.gguf"
    (fresh, stale) = (folder / ".tmp-fresh", folder / ".tmp-stale")
    for path in (old, stray, fresh, stale):
        path.write_bytes(b"x")
    age(stale)
    assert set(store.prune()) == {old.name, stray.name, stale.name}
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["lock", fresh.name, found.path.name]
    )
    corrected._known.clear()
    assert correct(model) == [found]


def test_giving_up_leaves_nothing_and_hurts_nobody(store: Store) -> None:
    model = put(store, "gemma3")

    async def run() -> None:
        corrector = Corrector()
        asked = [asyncio.create_task(corrector.correct(model)) for _ in range(2)]
        await asyncio.sleep(0)
        asked[0].cancel()
        assert (await asked[1]).projectors
        await corrector.close()
        given_up = Corrector()
        for path in (store.root / copies.FOLDER).glob("*.gguf"):
            path.unlink()
        task = asyncio.create_task(given_up.correct(model))
        await asyncio.sleep(0.001)
        await given_up.close()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert not [name for name in names(store) if ".tmp-" in name]
