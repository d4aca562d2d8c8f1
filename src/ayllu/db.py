"""SQLite files of ours: opened when first needed, readable by their owner alone.

A database has one thread of its own, so that nobody waits for the disk but those who ask it. What
goes wrong there becomes a DatabaseError.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ayllu.errors import AylluError

T = TypeVar("T")

BUSY_SECONDS = 1.0
"""How long to wait for another process that is writing."""

_SETTINGS = """
PRAGMA auto_vacuum = FULL;      -- what is deleted gives its space back
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;    -- a crash of the machine may cost the last seconds, never the file
PRAGMA secure_delete = ON;      -- what is deleted is overwritten
PRAGMA foreign_keys = ON;
"""


class DatabaseError(AylluError):
    """A database cannot be opened, read or written: locked, damaged, no space, no permission."""


class Database:
    """One file. `schema` makes its tables where they are not, `version` counts its changes."""

    def __init__(self, path: Path, schema: str, version: int) -> None:
        self.path = path
        self._schema = schema
        self._version = version
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=path.stem)
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The result of the work, whose writes are done as a whole or not at all.

        Raises DatabaseError, and what the work raises.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    async def erase(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The same for work that deletes: nothing of what it deleted is left in the files."""

        def erase(connection: sqlite3.Connection) -> T:
            with connection:
                result = work(connection)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            return result

        return await self.run(erase)

    async def close(self) -> None:
        """Close the file, after the work that was asked for; it cannot be used again."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection = self._opened()
            with connection:
                return work(connection)
        except (sqlite3.OperationalError, OSError) as error:
            raise DatabaseError(f"{self.path} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            self._close()
            raise DatabaseError(
                f"{self.path} is damaged ({error}): move it away, and a new one is made"
            ) from error

    def _opened(self) -> sqlite3.Connection:
        """The connection, a new one where the file is none yet or was moved or deleted."""
        if self._connection is not None and not self._is_there():
            self._close()
        if self._connection is None:
            self._connection = self._open()
            self._inode = self.path.stat().st_ino
        return self._connection

    def _is_there(self) -> bool:
        return self.path.exists() and self.path.stat().st_ino == self._inode

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        self.path.chmod(0o600)  # SQLite gives its other files the same mode
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS)
        try:
            connection.executescript(_SETTINGS)
            self._make_tables(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _make_tables(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            script = f"BEGIN IMMEDIATE; {self._schema}; PRAGMA user_version = {self._version};"
            connection.executescript(f"{script} COMMIT")
        elif version != self._version:
            raise DatabaseError(
                f"{self.path} is of another version of Ayllu: move it away, and a new one is made"
            )

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
