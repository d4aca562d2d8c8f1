"""Who gets a slot of an engine that works with one set of adapters at a time."""

from __future__ import annotations

import asyncio

from ayllu.runner.slots import Scales, Slots

A, B, C = (1.0, 0.0), (0.0, 1.0), (0.0, 0.0)


class Room:
    """Requests that come to some slots, and which of them have one."""

    def __init__(self, count: int) -> None:
        self.slots = Slots(count)
        self.inside: list[str] = []
        self._leave: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *requests: tuple[str, Scales]) -> None:
        for name, scales in requests:
            self._leave[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._use(name, scales))
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def go(self, *names: str) -> None:
        for name in names:
            self._leave[name].set()
        await asyncio.sleep(0.01)

    async def give_up(self, *names: str) -> None:
        for name in names:
            self._tasks[name].cancel()
        await asyncio.sleep(0.01)

    async def _use(self, name: str, scales: Scales) -> None:
        await self.slots.acquire(scales)
        try:
            self.inside.append(name)
            await self._leave[name].wait()
            self.inside.remove(name)
        finally:
            self.slots.release()


def test_the_same_adapters_run_beside_each_other_and_others_after_them() -> None:
    async def work() -> None:
        room = Room(2)
        await room.come(("a1", A), ("a2", A), ("a3", A))
        assert room.inside == ["a1", "a2"]
        await room.come(("b1", B))
        await room.go("a1")
        assert room.inside == ["a2", "a3"]
        await room.go("a2")
        assert room.inside == ["a3"]
        await room.go("a3")
        assert room.inside == ["b1"]
        assert room.slots.locked(A)
        assert not room.slots.locked(B)

    asyncio.run(work())


def test_nobody_is_passed_for_ever_by_those_who_come_later() -> None:
    async def work() -> None:
        room = Room(4)
        await room.come(("a1", A), ("b1", B), ("a2", A), ("c1", C), ("b2", B))
        assert room.inside == ["a1"]
        assert room.slots.locked(A), "somebody waits"
        await room.go("a1")
        assert room.inside == ["b1", "b2"], "those who want the same come together"
        await room.come(("b3", B))
        assert room.inside == ["b1", "b2"]
        await room.go("b1", "b2")
        assert room.inside == ["a2"]
        await room.go("a2")
        assert room.inside == ["c1"]
        await room.go("c1")
        assert room.inside == ["b3"]

    asyncio.run(work())


def test_who_gives_up_leaves_no_slot_taken() -> None:
    async def work() -> None:
        room = Room(1)
        await room.come(("a1", A), ("b1", B), ("a2", A))
        await room.give_up("b1")
        assert room.inside == ["a1"]
        await room.go("a1")
        assert room.inside == ["a2"]
        await room.come(("b2", B))
        room.slots.release()  # a2's: b2 has its turn, and gives up before it hears of it
        await room.give_up("b2")
        assert not room.slots.locked(B)

    asyncio.run(work())
