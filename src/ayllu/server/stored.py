"""The answers of /v1/responses that are kept, and the conversations that they add up to.

An answer is kept beside the items of its turn: those of the request, then its own. A conversation
is what the answers before one lead to. The longest unused answers make room.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import structs

from ayllu.db import Database
from ayllu.errors import BadRequestError, NotFoundError, TooLargeError
from ayllu.server.wire import encode
from ayllu.server.wire_responses import Response
from ayllu.types import Json

VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS responses (
    id TEXT PRIMARY KEY,
    previous TEXT,
    used REAL NOT NULL,       -- seconds since 1970
    body BLOB NOT NULL        -- JSON, its output apart
);
CREATE INDEX IF NOT EXISTS responses_used ON responses (used);
CREATE TABLE IF NOT EXISTS items (
    response TEXT NOT NULL REFERENCES responses ON DELETE CASCADE,
    place INTEGER NOT NULL,
    is_output INTEGER NOT NULL,
    id TEXT NOT NULL,
    item BLOB NOT NULL        -- JSON
);
CREATE INDEX IF NOT EXISTS items_response ON items (response, place);
CREATE INDEX IF NOT EXISTS items_id ON items (id)
"""
_CHAIN = """
WITH RECURSIVE chain (id, previous) AS (
    SELECT id, previous FROM responses WHERE id = :id AND used >= :oldest
    UNION ALL
    SELECT r.id, r.previous FROM responses r JOIN chain ON r.id = chain.previous
) SELECT id, previous FROM chain
"""


class PreviousNotFoundError(BadRequestError):
    """The answer that `previous_response_id` names, or one before it, is not kept (any more)."""


class StoredResponses:
    """Answers in a database.

    `space` is in bytes, and 0 keeps nothing; `age` is in seconds since an answer's last use. A
    conversation is at most `largest` bytes long, as one request that brings it would be.
    """

    def __init__(self, database: Database, *, space: int, age: float, largest: int) -> None:
        self._database = database
        self._space = space
        self._age = age
        self._largest = largest

    async def keep(self, response: Response, given: Sequence[Mapping[str, Json]]) -> bool:
        """Store an answer with the items of its request, if there is room for it.

        Every item has an id. Raises DatabaseError.
        """
        body = encode(structs.replace(response, output=()))
        rows = [(False, item["id"], encode(item)) for item in given]
        rows += [(True, item.id, encode(item)) for item in response.output]
        if len(body) + sum(len(row[2]) for row in rows) > self._space:
            return False

        def work(database: sqlite3.Connection) -> None:
            now = time.time()
            ident, previous = response.id, response.previous_response_id
            database.execute(
                "INSERT INTO responses VALUES (?, ?, ?, ?)", (ident, previous, now, body)
            )
            database.executemany(
                "INSERT INTO items VALUES (?, ?, ?, ?, ?)",
                [(ident, place, *row) for place, row in enumerate(rows)],
            )
            self._renew(database, previous, now)
            self._make_room(database, ident, now)

        await self._database.run(work)
        return True

    async def find(self, ident: str) -> Json:
        """An answer as it was given out. Raises NotFoundError or DatabaseError."""

        def work(database: sqlite3.Connection) -> Json:
            body = self._body(database, ident)
            return body | {"output": _items(database, ident, output=True)}

        return await self._database.run(work)

    async def delete(self, ident: str) -> None:
        """Forget an answer and the items of its turn. Raises NotFoundError or DatabaseError."""

        def work(database: sqlite3.Connection) -> None:
            self._body(database, ident)
            database.execute("DELETE FROM responses WHERE id = ?", (ident,))

        await self._database.erase(work)

    async def given(self, ident: str) -> list[Json]:
        """The items of an answer's own request. Raises NotFoundError or DatabaseError."""

        def work(database: sqlite3.Connection) -> list[Json]:
            self._body(database, ident)
            return _items(database, ident, output=False)

        return await self._database.run(work)

    async def conversation(self, ident: str) -> list[Json]:
        """All items up to the end of an answer, the oldest first.

        Raises PreviousNotFoundError where a part is missing, TooLargeError or DatabaseError.
        """

        def work(database: sqlite3.Connection) -> list[Json]:
            chain = database.execute(_CHAIN, {"id": ident, "oldest": self._oldest()}).fetchall()
            missing = chain[-1][1] if chain else ident
            if missing is not None:
                raise PreviousNotFoundError(f"Previous response with id '{missing}' not found.")
            size = 0
            for step, _ in chain:
                size += _size(database, step)
                if size > self._largest:
                    raise TooLargeError(f"the conversation is larger than {self._largest} bytes")
            return [
                item
                for step, _ in reversed(chain)
                for output in (False, True)
                for item in _items(database, step, output=output)
            ]

        return await self._database.run(work)

    async def find_items(self, idents: Sequence[str]) -> dict[str, Json]:
        """Items by their ids, as far as they are kept; the first that had an id has it.

        Raises DatabaseError.
        """

        def work(database: sqlite3.Connection) -> dict[str, Json]:
            found = {}
            for ident in idents:
                row = database.execute(
                    "SELECT item FROM items JOIN responses ON responses.id = response "
                    "WHERE items.id = ? AND used >= ? ORDER BY items.rowid LIMIT 1",
                    (ident, self._oldest()),
                ).fetchone()
                if row:
                    found[ident] = msgspec.json.decode(row[0])
            return found

        return await self._database.run(work)

    async def close(self) -> None:
        """Close the database."""
        await self._database.close()

    def _oldest(self) -> float:
        return time.time() - self._age

    def _body(self, database: sqlite3.Connection, ident: str) -> dict[str, Json]:
        """An answer without its output. Raises NotFoundError."""
        row = database.execute(
            "SELECT body FROM responses WHERE id = ? AND used >= ?", (ident, self._oldest())
        ).fetchone()
        if row is None:
            raise NotFoundError(f"Response with id '{ident}' not found.")
        return msgspec.json.decode(row[0], type=dict[str, Json])

    def _renew(self, database: sqlite3.Connection, previous: str | None, now: float) -> None:
        """A conversation that goes on is in use from its beginning."""
        if previous is not None:
            chain = {"id": previous, "oldest": self._oldest()}
            steps = [(now, step) for step, _ in database.execute(_CHAIN, chain)]
            database.executemany("UPDATE responses SET used = ? WHERE id = ?", steps)

    def _make_room(self, database: sqlite3.Connection, newest: str, now: float) -> None:
        database.execute("DELETE FROM responses WHERE used < ?", (now - self._age,))
        while _bytes_used(database) > self._space:
            gone = database.execute(
                "DELETE FROM responses WHERE rowid = (SELECT rowid FROM responses "
                "WHERE id != ? ORDER BY used, rowid LIMIT 1)",
                (newest,),
            )
            if not gone.rowcount:
                return


def _items(database: sqlite3.Connection, ident: str, *, output: bool) -> list[Json]:
    """The items of an answer, or of its request."""
    rows = database.execute(
        "SELECT item FROM items WHERE response = ? AND is_output = ? ORDER BY place",
        (ident, output),
    )
    return [msgspec.json.decode(row[0]) for row in rows]


def _size(database: sqlite3.Connection, ident: str) -> int:
    (size,) = database.execute(
        "SELECT COALESCE(SUM(LENGTH(item)), 0) FROM items WHERE response = ?", (ident,)
    ).fetchone()
    return int(size)


def _bytes_used(database: sqlite3.Connection) -> int:
    pages, free, size = (
        database.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
