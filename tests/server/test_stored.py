"""Stored answers in a real database: conversations, retention, and what is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from blank_response import BLANK
from msgspec import structs

from ayllu.db import Database
from ayllu.errors import NotFoundError, TooLargeError
from ayllu.server.stored import SCHEMA, VERSION, PreviousNotFoundError, StoredResponses
from ayllu.server.wire_responses import MessageItem, OutputText, Response

ROOM = 1 << 24


def answer(name: str, previous: str | None = None, text: str = "") -> Response:
    said = MessageItem(id=f"said-{name}", status="completed", content=(OutputText(text or name),))
    return structs.replace(BLANK, id=name, previous_response_id=previous, output=(said,))


def asked(name: str, text: str = "") -> list[dict[str, Any]]:
    return [{"type": "message", "id": f"asked-{name}", "role": "user", "content": text}]


@asynccontextmanager
async def opened(
    folder: Path, *, space: int = ROOM, age: float = 60, largest: int = ROOM
) -> AsyncIterator[StoredResponses]:
    database = Database(folder / "responses.db", SCHEMA, VERSION)
    stored = StoredResponses(database, space=space, age=age, largest=largest)
    try:
        yield stored
    finally:
        await stored.close()


def run(
    folder: Path, work: Callable[[StoredResponses], Awaitable[object]], **bounds: float
) -> None:
    async def inner() -> None:
        async with opened(folder, **bounds) as stored:  # type: ignore[arg-type]
            await work(stored)

    asyncio.run(inner())


async def exists(stored: StoredResponses, name: str) -> bool:
    try:
        await stored.find(name)
    except NotFoundError:
        return False
    return True


def ids(items: list[Any]) -> list[str]:
    return [item["id"] for item in items]


def test_a_conversation_is_all_that_led_to_an_answer(tmp_path: Path) -> None:
    async def keep(stored: StoredResponses) -> None:
        assert await stored.keep(answer("a"), asked("a"))
        assert await stored.keep(answer("b", "a"), asked("b"))
        assert await stored.keep(answer("c", "b"), asked("c"))
        assert await stored.keep(answer("other", "a"), asked("other"))

    async def read(stored: StoredResponses) -> None:
        turns = [f"{kind}-{name}" for name in "abc" for kind in ("asked", "said")]
        assert ids(await stored.conversation("c")) == turns
        assert ids(await stored.conversation("b")) == turns[:4]
        assert ids(await stored.given("b")) == ["asked-b"]
        assert ids((await stored.find("b"))["output"]) == ["said-b"]
        assert (await stored.find("b"))["previous_response_id"] == "a"
        found = await stored.find_items(["said-c", "asked-a", "nothing"])
        assert sorted(found) == ["asked-a", "said-c"]
        assert found["said-c"]["content"][0]["text"] == "c"

    run(tmp_path, keep)
    run(tmp_path, read)


def test_what_is_deleted_is_missing_in_what_it_led_to(tmp_path: Path) -> None:
    async def work(stored: StoredResponses) -> None:
        await stored.keep(answer("a"), asked("a"))
        await stored.keep(answer("b", "a"), asked("b"))
        await stored.delete("a")
        for again in (stored.delete, stored.find, stored.given):
            with pytest.raises(NotFoundError, match="'a' not found"):
                await again("a")
        with pytest.raises(PreviousNotFoundError, match="id 'a' not found"):
            await stored.conversation("b")
        assert await stored.find_items(["asked-a", "said-a"]) == {}
        assert await exists(stored, "b")

    run(tmp_path, work)


def test_the_first_item_with_an_id_keeps_it(tmp_path: Path) -> None:
    async def work(stored: StoredResponses) -> None:
        await stored.keep(answer("a"), asked("a", "first"))
        await stored.keep(answer("b"), asked("a", "second"))
        assert (await stored.find_items(["asked-a"]))["asked-a"]["content"] == "first"

    run(tmp_path, work)


def test_answers_are_forgotten_when_they_are_too_old(tmp_path: Path) -> None:
    async def keep(stored: StoredResponses) -> None:
        await stored.keep(answer("a"), asked("a"))

    async def read(stored: StoredResponses) -> None:
        assert not await exists(stored, "a")
        with pytest.raises(PreviousNotFoundError):
            await stored.conversation("a")
        assert await stored.find_items(["asked-a"]) == {}

    async def replace(stored: StoredResponses) -> None:
        await stored.keep(answer("b"), asked("b"))

    run(tmp_path, keep)
    run(tmp_path, read, age=0)
    run(tmp_path, replace, age=0)

    async def count(stored: StoredResponses) -> None:
        assert not await exists(stored, "a")
        assert await exists(stored, "b")

    run(tmp_path, count, age=float("inf"))


def test_the_longest_unused_make_room_and_a_conversation_is_used_as_a_whole(
    tmp_path: Path,
) -> None:
    async def work(stored: StoredResponses) -> None:
        big = "x" * 20_000
        await stored.keep(answer("a", text=big), asked("a"))
        await stored.keep(answer("lonely", text=big), asked("lonely"))
        await stored.keep(answer("b", "a"), asked("b"))  # uses a again
        for number in range(3):
            assert await stored.keep(answer(f"n{number}", text=big), asked(f"n{number}"))
        assert [await exists(stored, name) for name in ("a", "lonely", "b")] == [True, False, True]
        for number in range(3, 9):
            await stored.keep(answer(f"n{number}", text=big), asked(f"n{number}"))
        assert not await exists(stored, "a")
        assert await exists(stored, "n8")
        assert (tmp_path / "responses.db").stat().st_size <= 120_000

    run(tmp_path, work, space=120_000)


def test_what_has_no_room_at_all_is_not_kept(tmp_path: Path) -> None:
    async def work(stored: StoredResponses) -> None:
        await stored.keep(answer("a"), asked("a"))
        assert not await stored.keep(answer("b"), asked("b", "x" * 100_000))
        assert await exists(stored, "a")

    run(tmp_path, work, space=100_000)

    async def nothing(stored: StoredResponses) -> None:
        assert not await stored.keep(answer("c"), asked("c"))

    run(tmp_path / "none", nothing, space=0)
    assert not (tmp_path / "none").exists()


def test_a_conversation_is_no_larger_than_a_request_may_be(tmp_path: Path) -> None:
    async def work(stored: StoredResponses) -> None:
        previous = None
        for name in "abc":
            await stored.keep(answer(name, previous), asked(name, "x" * 4000))
            previous = name
        assert len(await stored.conversation("b")) == 4
        with pytest.raises(TooLargeError, match="larger than 10000 bytes"):
            await stored.conversation("c")

    run(tmp_path, work, largest=10_000)
