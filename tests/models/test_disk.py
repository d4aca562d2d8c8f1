"""A disk that does not play along: full, read-only, or with files in the wrong places."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from model_maker import files_of, put, stream
from packages import make_assets
from small_disk import mounted, remount_read_only

from ayllu.errors import StoreError
from ayllu.models.manifest import MODEL_TYPE, digest_of
from ayllu.models.model import open_model
from ayllu.models.name import parse_name
from ayllu.models.shelf import PackagedShelf
from ayllu.models.store import Store

BIG = os.urandom(3 << 20)


def test_a_full_disk_is_named_and_left_clean(tmp_path: Path) -> None:
    source = tmp_path / "big.gguf"
    source.write_bytes(BIG)
    writes: list[Callable[[Store], object]] = [
        lambda store: store.write_blob(BIG, MODEL_TYPE),
        lambda store: store.add_file(source, MODEL_TYPE),
        lambda store: asyncio.run(store.receive_blob(digest_of(BIG), stream(BIG[:100], BIG[100:]))),
    ]
    with mounted(tmp_path / "disk", "size=2m") as disk:
        store = Store(disk / "models")
        put(store, "a")
        before = files_of(store.root)
        for write in writes:
            with pytest.raises(StoreError) as caught:
                write(store)
            sentence = caught.value.sentence
            assert sentence.startswith(f"there is no space left in {store.root}: free some, or")
            assert "AYLLU_MODELS" in sentence
            assert files_of(store.root) == before
        assert [name.model for name in store.names()] == ["a"]
        assert len(store.delete(parse_name("a"))) == 2


def test_a_disk_without_room_for_a_manifest_leaves_the_old_one(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=64k,nr_inodes=40") as disk:
        store = Store(disk / "models")
        old = put(store, "a")
        filler = disk / "filler"
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(bytes(1 << 20))
        with pytest.raises(StoreError, match="no space left"):
            put(store, "a", b"{}", bytes(8192))
        with pytest.raises(StoreError, match="no space left"):
            store.copy(parse_name("a"), parse_name("h/n/b"))
        assert store.manifest(parse_name("a")) == old
        assert len(store.names()) == 1
        assert not list(store.root.rglob(".tmp-*"))


def test_a_read_only_disk_is_named_and_still_read(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=2m") as disk:
        store = Store(disk / "models")
        put(store, "a")
        remount_read_only(disk)
        writes: list[Callable[[], object]] = [
            lambda: store.write_blob(b"new", MODEL_TYPE),
            lambda: store.copy(parse_name("a"), parse_name("b")),
            lambda: store.delete(parse_name("a")),
            lambda: put(store, "b"),
        ]
        for write in writes:
            with pytest.raises(StoreError) as caught:
                write()
            assert f"{store.root} is read-only" in caught.value.sentence
        assert store.models() == (store.manifest(parse_name("a")),)
        fresh = Store(disk / "elsewhere")
        with pytest.raises(StoreError, match="is read-only"):
            fresh.write_blob(b"x", MODEL_TYPE)


def test_a_packaged_model_that_does_not_fit_is_neither_copied_nor_hidden(
    tmp_path: Path, chat_gguf: Path
) -> None:
    shelf = PackagedShelf(make_assets(tmp_path / "assets", mini=chat_gguf))
    mini = parse_name("mini")
    with mounted(tmp_path / "disk", "size=1m,nr_inodes=20") as disk:
        store = Store(disk / "models", [shelf])
        with pytest.raises(StoreError, match="there is no space left in") as caught:
            store.copy(mini, parse_name("foo"))
        assert str(store.root) in caught.value.sentence
        assert all(path.name != "foo" for path in store.root.rglob("*"))
        assert not list(store.root.rglob(".tmp-*"))
        fillers = [disk / f"filler{number}" for number in range(20)]
        with pytest.raises(OSError, match="No space"):
            list(map(Path.touch, fillers))
        with pytest.raises(StoreError, match="there is no space left in"):
            store.delete(mini)
        assert open_model(store, mini).name == mini
        for filler in fillers:
            filler.unlink(missing_ok=True)
        store.delete(mini)
        assert store.names() == ()


def test_packaged_models_serve_where_nothing_can_be_written(
    tmp_path: Path, chat_gguf: Path
) -> None:
    mini = parse_name("mini")
    with mounted(tmp_path / "package", "size=8m") as package:
        shelf = PackagedShelf(make_assets(package / "assets", mini=chat_gguf))
        remount_read_only(package)
        store = Store(tmp_path / "models", [shelf])
        store.copy(mini, parse_name("foo"))
        assert len(store.delete(parse_name("foo"))) == 4
        store.delete(mini)
        store.prune(age=-1)
        store.shelves.show(mini)
        assert [name.model for name in store.names()] == ["mini"]
        fixed = Store(package / "models", [shelf])
        assert open_model(fixed, mini).digest == open_model(store, mini).digest
        for write in (lambda: fixed.delete(mini), lambda: fixed.copy(mini, parse_name("foo"))):
            with pytest.raises(StoreError, match="is read-only"):
                write()


@pytest.mark.parametrize("stray", ["models", "models/blobs", "models/manifests"])
def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path, stray: str) -> None:
    path = tmp_path / stray
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"not a folder")
    store = Store(tmp_path / "models")
    with pytest.raises(StoreError) as caught:
        put(store, "a")
    assert "there is a file where a folder should be" in caught.value.sentence
    assert str(store.root) in caught.value.sentence
    assert path.read_bytes() == b"not a folder"
    assert not list(tmp_path.rglob(".tmp-*"))


def test_a_folder_where_a_manifest_should_be_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "models")
    put(store, "b")
    (store.manifests / "registry.ollama.ai/library/a/latest").mkdir(parents=True)
    with pytest.raises(StoreError, match="there is a folder where a file should be"):
        put(store, "a")
    (store.manifests / "registry.ollama.ai/library/c").write_bytes(b"x")
    with pytest.raises(StoreError, match="there is a file where a folder should be"):
        put(store, "c")
    assert [name.model for name in store.names()] == ["b"]
    assert not list(tmp_path.rglob(".tmp-*"))


def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    """Root passes every permission, so a process of another user looks."""
    if sys.platform == "win32" or os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    root = tmp_path / "models"
    root.mkdir(mode=0o700)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == 0 and folder != Path(folder.anchor):
            folder.chmod(folder.stat().st_mode | 0o055)
    script = (
        "import sys\nfrom pathlib import Path\nfrom ayllu.models.store import Store\n"
        "from ayllu.errors import StoreError\nimport os\nos.setuid(65534)\n"
        "store = Store(Path(sys.argv[1]))\n"
        "for act in (store.names, lambda: store.write_blob(b'x', 'm')):\n"
        "    try:\n        act()\n    except StoreError as error:\n        print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"no permission to use {root}: change its owner") for line in lines)
