"""A database of ours on a real disk: who may read it, and what happens when it cannot be used."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ayllu.db import Database, DatabaseError

SCHEMA = "CREATE TABLE IF NOT EXISTS words (word TEXT)"
SECRET = "x" * 5000 + "a secret"


def add(word: str) -> Callable[[sqlite3.Connection], object]:
    return lambda database: database.execute("INSERT INTO words VALUES (?)", (word,))


def words(database: sqlite3.Connection) -> list[str]:
    return [row[0] for row in database.execute("SELECT word FROM words ORDER BY rowid")]


@asynccontextmanager
async def opened(path: Path, version: int = 1) -> AsyncIterator[Database]:
    database = Database(path, SCHEMA, version)
    try:
        yield database
    finally:
        await database.close()


def with_database(path: Path, *works: Callable[[sqlite3.Connection], Any]) -> list[Any]:
    """The results of some works in a database that is opened and closed."""

    async def run() -> list[Any]:
        async with opened(path) as database:
            return [await database.run(work) for work in works]

    return asyncio.run(run())


def files(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}*"))


def test_it_keeps_what_is_written_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "home" / "x.db"

    async def run() -> None:
        async with opened(path) as database:
            assert not path.parent.exists()
            await database.run(add("hello"))
            assert len(files(path)) == 3
            assert {stat.S_IMODE(file.stat().st_mode) for file in files(path)} == {0o600}

    asyncio.run(run())
    path.chmod(0o644)
    assert with_database(path, words) == [["hello"]]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_work_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def half(database: sqlite3.Connection) -> None:
        add("half")(database)
        raise KeyError("half")

    async def run() -> list[str]:
        async with opened(tmp_path / "x.db") as database:
            with pytest.raises(KeyError):
                await database.run(half)
            return await database.run(words)

    assert asyncio.run(run()) == []


def test_what_is_erased_is_in_none_of_the_files(tmp_path: Path) -> None:
    path = tmp_path / "x.db"

    def traces() -> list[bool]:
        return [b"a secret" in file.read_bytes() for file in files(path)]

    async def run() -> None:
        async with opened(path) as database:
            await database.run(add(SECRET))
            assert any(traces())
            size = sum(file.stat().st_size for file in files(path))
            await database.erase(lambda open_: open_.execute("DELETE FROM words"))
            assert not any(traces())
            assert sum(file.stat().st_size for file in files(path)) < size

    asyncio.run(run())


def test_a_damaged_file_is_told_and_a_new_one_is_made_once_it_is_away(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"not a database, by far" * 500)

    async def run() -> list[str]:
        async with opened(path) as database:
            for _ in range(2):
                with pytest.raises(DatabaseError, match=r"x\.db is damaged .* move it away"):
                    await database.run(words)
            path.unlink()
            await database.run(add("new"))
            return await database.run(words)

    assert asyncio.run(run()) == ["new"]


def test_a_file_that_is_taken_away_is_not_written_to_any_more(tmp_path: Path) -> None:
    path = tmp_path / "x.db"

    async def run() -> list[str]:
        async with opened(path) as database:
            await database.run(add("old"))
            for file in files(path):
                file.unlink()
            await database.run(add("new"))
            return await database.run(words)

    assert asyncio.run(run()) == ["new"]
    assert with_database(path, words) == [["new"]]


def test_a_file_that_another_process_holds_is_told_and_read_again_later(tmp_path: Path) -> None:
    path = tmp_path / "x.db"

    async def run() -> list[str]:
        async with opened(path) as database:
            await database.run(add("first"))
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(DatabaseError, match="database is locked"):
                await database.run(add("second"))
            assert await database.run(words) == ["first"]
            other.execute("ROLLBACK")
            other.close()
            await database.run(add("third"))
            return await database.run(words)

    assert asyncio.run(run()) == ["first", "third"]


def test_a_place_that_cannot_be_written_and_another_versions_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here", "utf-8")

    async def run(path: Path, version: int) -> list[str]:
        async with opened(path, version) as database:
            return await database.run(words)

    with pytest.raises(DatabaseError, match=r"x\.db cannot be used"):
        asyncio.run(run(tmp_path / "file" / "x.db", 1))
    with_database(tmp_path / "x.db", add("a"))
    with pytest.raises(DatabaseError, match="another version of Ayllu"):
        asyncio.run(run(tmp_path / "x.db", 2))
    assert with_database(tmp_path / "x.db", words) == [["a"]]
