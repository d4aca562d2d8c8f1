"""What is kept of long headers: found again by another process, and never believed blindly."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gguf_writer import Array, write_gguf

from ayllu.errors import GGUFError
from ayllu.gguf import cache
from ayllu.gguf.cache import cached_fill_tokens, cached_header, is_at_hand, keep_in
from ayllu.gguf.kept import Folder, stamp_of
from ayllu.gguf.read import GGUFArray
from ayllu.gguf.vocab import FillTokens

FILL = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
WORDS = [*FILL, *(f"word{number}" for number in range(40_000))]


def make(path: Path, name: str = "one") -> Path:
    kvs = {
        "general.architecture": "llama",
        "general.name": name,
        "f": -0.5,
        "yes": True,
        "tokenizer.ggml.tokens": WORDS,
        "few": Array(5, [1, -2]),
    }
    return write_gguf(path, kvs, {"a": np.ones((2, 32), np.float32), "b": np.zeros(8, np.float16)})


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    keep_in(tmp_path / "headers")
    yield tmp_path / "headers"
    cache._folders.clear()


def forget() -> None:
    """As a new process would begin."""
    cache._facts.clear()


def entry(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_a_long_header_is_read_once_for_all_processes(tmp_path: Path, folder: Path) -> None:
    path = make(tmp_path / "x.gguf")
    first = cached_header(path)
    assert cached_fill_tokens(path) == FillTokens(0, 1, 2)
    assert entry(folder).stat().st_mode & 0o077 == 0
    forget()
    again = cached_header(path)
    assert (again, again is first) == (first, False)
    assert cached_fill_tokens(path) == FillTokens(0, 1, 2)
    words = again.kvs["tokenizer.ggml.tokens"]
    assert isinstance(words, GGUFArray)
    assert words.items() == WORDS
    script = (
        "import sys; from pathlib import Path; from ayllu.gguf import cache, read\n"
        "cache.keep_in(Path(sys.argv[1])); cache.read_header = None\n"
        "print(cache.cached_header(Path(sys.argv[2])).kvs['general.name'])"
    )
    command = [sys.executable, "-c", script, str(folder), str(path)]
    assert subprocess.check_output(command, text=True) == "one\n"


def test_a_short_header_is_not_kept(tmp_path: Path, folder: Path) -> None:
    cached_header(write_gguf(tmp_path / "x.gguf", {"k": "v"}))
    assert not folder.exists()


def test_another_file_of_the_same_name_is_read_anew(tmp_path: Path, folder: Path) -> None:
    path = make(tmp_path / "x.gguf")
    cached_header(path)
    times = path.stat()
    make(tmp_path / "y.gguf", "two").replace(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    forget()
    assert cached_header(path).kvs["general.name"] == "two"
    assert len(list(folder.iterdir())) == 1


def corrupt(folder: Path, damage: str) -> None:
    """Spoil the entry of a file in one of several ways."""
    place = entry(folder)
    data = bytearray(place.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 1
    elif damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "empty":
        data.clear()
    elif damage == "stranger":
        folder.chmod(0o777)
    elif damage == "long length":
        data[32:36] = b"\xff" * 4
    place.write_bytes(data)


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "stranger", "long length"])
def test_a_damaged_entry_is_as_good_as_none(tmp_path: Path, folder: Path, damage: str) -> None:
    path = make(tmp_path / "x.gguf")
    first = cached_header(path)
    corrupt(folder, damage)
    stamp = stamp_of(path)
    assert stamp is not None
    assert Folder(folder).load(path, stamp) is None
    forget()
    assert cached_header(path) == first


def test_an_entry_that_reaches_beyond_its_file_is_refused(tmp_path: Path, folder: Path) -> None:
    """Facts of a long file, saved under the stamp of a short one."""
    path = make(tmp_path / "x.gguf")
    cached_header(path)
    facts = cache._facts[path][1]
    short = write_gguf(tmp_path / "short.gguf", {"k": "v"})
    stamp = stamp_of(short)
    assert stamp is not None
    kept = Folder(folder)
    kept.save(short, stamp, facts)
    assert kept.load(short, stamp) is None
    assert cached_header(short).kvs == {"k": "v"}


def test_what_is_gone_leaves_no_entry(tmp_path: Path, folder: Path) -> None:
    cached_header(make(tmp_path / "stays.gguf"))
    cached_header(make(tmp_path / "goes.gguf"))
    (folder / "stray").write_text("not an entry")
    (tmp_path / "goes.gguf").unlink()
    keep_in(folder)
    stays = tmp_path / "stays.gguf"
    stamp = stamp_of(stays)
    assert stamp is not None
    assert Folder(folder).load(stays, stamp) is not None
    assert len(list(folder.iterdir())) == 1


def test_a_folder_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    keep_in(tmp_path / "file")
    try:
        assert cached_header(make(tmp_path / "x.gguf")).kvs["general.name"] == "one"
    finally:
        cache._folders.clear()


def test_no_header_is_read_where_one_is_at_hand(tmp_path: Path) -> None:
    """More models than are kept in memory: the handlers look before they read."""
    paths = [write_gguf(tmp_path / str(n), {"k": n + 1}) for n in range(cache.IN_MEMORY + 1)]
    assert not is_at_hand(paths[0])
    for path in paths:
        cached_header(path)
    assert [is_at_hand(path) for path in paths] == [False] + [True] * cache.IN_MEMORY
    make(paths[1])
    assert not is_at_hand(paths[1])
    (tmp_path / "bad").write_bytes(b"GGUF")
    with pytest.raises(GGUFError):
        cached_header(tmp_path / "bad")
    assert not is_at_hand(tmp_path / "bad")
