"""Several processes on one store, and processes that are killed while they write."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from model_maker import age, files_of, put
from packages import make_assets

from ayllu.models.manifest import digest_of
from ayllu.models.name import parse_name
from ayllu.models.shelf import PackagedShelf
from ayllu.models.store import Store

WRITER = """
import asyncio, os, sys
from pathlib import Path
from ayllu.models.manifest import digest_of
from ayllu.models.store import Store

async def main():
    store, data = Store(Path(sys.argv[1])), os.urandom(1 << 20)
    async def endless():
        while True:
            yield data
            print("wrote", flush=True)
            await asyncio.sleep(0.001)
    await store.receive_blob(digest_of(data), endless())

asyncio.run(main())
"""

REPLACER = """
import sys
from pathlib import Path
from model_maker import put
from ayllu.models.store import Store

store, turn = Store(Path(sys.argv[1])), 0
while True:
    put(store, "a", b"{}", b"turn %d" % turn)
    print("wrote", flush=True)
    turn += 1
"""

MAKER = """
import sys
from pathlib import Path
from model_maker import put
from ayllu.models.name import parse_name
from ayllu.models.store import Store

store = Store(Path(sys.argv[1]))
for turn in range(int(sys.argv[3])):
    with store.creating():
        put(store, f"{sys.argv[2]}{turn}", b"{}", b"shared %d" % (turn % 3), b"own %d" % turn)
    if turn % 2:
        store.delete(parse_name(f"{sys.argv[2]}{turn}"))
"""

DELETER = """
import sys
from contextlib import suppress
from pathlib import Path
from ayllu.errors import NotFoundError
from ayllu.models.store import Store

store = Store(Path(sys.argv[1]))
for name in store.names():
    with suppress(NotFoundError):
        store.delete(name)
"""

HIDER = """
import sys
from contextlib import suppress
from pathlib import Path
from ayllu.errors import NotFoundError
from ayllu.models.name import parse_name
from ayllu.models.shelf import PackagedShelf
from ayllu.models.store import Store

store, mini = Store(Path(sys.argv[1]), [PackagedShelf(Path(sys.argv[2]))]), parse_name("mini")
for turn in range(200):
    with suppress(NotFoundError):
        store.delete(mini)
    store.shelves.show(mini)
if sys.argv[3] == "hide":
    store.delete(parse_name("mini-draft"))
"""

PRUNER = """
import sys
from pathlib import Path
from ayllu.models.store import Store

store = Store(Path(sys.argv[1]))
while True:
    store.prune(age=-1)
    print("pruned", flush=True)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )


def kill_after(process: subprocess.Popen[str], lines: int) -> None:
    """Let a process print some lines, then kill it where it stands."""
    with process:
        assert process.stdout is not None
        for _ in range(lines):
            assert process.stdout.readline()
        process.kill()


def test_a_writer_that_is_killed_leaves_nothing_visible(tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    kept = put(store, "a")
    kill_after(start(WRITER, store.root), lines=5)
    left = [path for path in store.blobs.iterdir() if path.name.startswith(".tmp-")]
    assert len(left) == 1
    assert store.models() == (kept,)
    assert store.prune() == ()
    age(left[0])
    assert store.prune() == (left[0].name,)
    assert store.models() == (kept,)


@pytest.mark.parametrize("turns", [1, 3, 8])
def test_a_manifest_is_always_whole(tmp_path: Path, turns: int) -> None:
    store = Store(tmp_path / "models")
    process = start(REPLACER, store.root)
    seen = set()
    with process:
        assert process.stdout is not None
        for _ in range(turns):
            assert process.stdout.readline()
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            stored = store.manifest(parse_name("a"))
            seen.add(stored.digest)
            assert all(store.has_blob(layer.digest) for layer in stored.manifest.layers)
        process.kill()
    assert seen
    assert store.damaged() == ()
    stored = store.manifest(parse_name("a"))
    layer = stored.manifest.layers[0]
    assert digest_of(store.blob_path(layer.digest).read_bytes()) == layer.digest


def test_two_that_delete_the_same_models_both_end_well(tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    for number in range(40):
        put(store, f"m{number}", b"{}", b"shared", b"own %d" % number)
    deleters = [start(DELETER, store.root) for _ in range(2)]
    for deleter in deleters:
        with deleter:
            assert deleter.wait(60) == 0
    assert store.names() == ()
    store.prune(age=-1)
    assert files_of(store.root) == set()


def test_two_that_hide_and_show_the_same_model_both_end_well(
    tmp_path: Path, base_gguf: Path
) -> None:
    assets = make_assets(tmp_path / "assets", mini=base_gguf, mini_draft=base_gguf)
    store = Store(tmp_path / "models", [PackagedShelf(assets)])
    hiders = [start(HIDER, store.root, assets, last) for last in ("hide", "show")]
    for hider in hiders:
        with hider:
            assert hider.wait(60) == 0
    assert [name.model for name in store.names()] == ["mini"]
    assert files_of(store.root) == {".ayllu.hidden/registry.ollama.ai/library/mini-draft/latest"}


def test_makers_deleters_and_a_pruner_lose_nothing(tmp_path: Path) -> None:
    """Every model that was made and not deleted has all its blobs; nothing else stays."""
    store = Store(tmp_path / "models")
    pruner = start(PRUNER, store.root)
    makers = [start(MAKER, store.root, name, 30) for name in ("x", "y")]
    for maker in makers:
        with maker:
            assert maker.wait(60) == 0
    kill_after(pruner, lines=1)
    assert {name.model for name in store.names()} == {
        f"{n}{t}" for n in "xy" for t in range(0, 30, 2)
    }
    used = set()
    for model in store.models():
        for layer in (model.manifest.config, *model.manifest.layers):
            path = store.blob_path(layer.digest)
            assert digest_of(path.read_bytes()) == layer.digest
            used.add(path.name)
    store.prune(age=-1)
    assert {Path(path).name for path in files_of(store.root) if path.startswith("blobs/")} == used
