"""A bus within one process: the same words as Zenoh's, delivered by the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

from ayllu.cluster.bus import BusError, Close
from ayllu.errors import AylluError


class Medium:
    """What all buses of a test share."""

    def __init__(self) -> None:
        self.buses: list[MemoryBus] = []


class MemoryBus:
    """One machine's end of a Medium."""

    def __init__(self, medium: Medium) -> None:
        self._medium = medium
        self._loop = asyncio.get_running_loop()
        self.alive: list[str] = []
        self.watchers: list[tuple[str, Callable[[str, bool], None]]] = []
        self.subscribers: list[tuple[str, Callable[[str, bytes], None]]] = []
        self.answers: list[tuple[str, Callable[[bytes], bytes]]] = []
        medium.buses.append(self)

    def announce(self, key: str) -> Close:
        self.alive.append(key)
        self._tell(key, alive=True)

        def end() -> None:
            self.alive.remove(key)
            self._tell(key, alive=False)

        return end

    def _tell(self, key: str, *, alive: bool) -> None:
        for bus in self._medium.buses:
            for pattern, on_change in bus.watchers:
                if bus is not self and fnmatchcase(key, pattern):
                    self._loop.call_soon(on_change, key, alive)

    def watch(self, pattern: str, on_change: Callable[[str, bool], None]) -> Close:
        item = (pattern, on_change)
        self.watchers.append(item)
        for bus in self._medium.buses:
            for key in bus.alive:
                if bus is not self and fnmatchcase(key, pattern):
                    self._loop.call_soon(on_change, key, True)  # noqa: FBT003 - a callback
        return lambda: self.watchers.remove(item)

    def publish(self, key: str, data: bytes) -> None:
        for bus in self._medium.buses:
            for pattern, on_data in bus.subscribers:
                if bus is not self and fnmatchcase(key, pattern):
                    self._loop.call_soon(on_data, key, data)

    def subscribe(self, pattern: str, on_data: Callable[[str, bytes], None]) -> Close:
        item = (pattern, on_data)
        self.subscribers.append(item)
        return lambda: self.subscribers.remove(item)

    def serve(self, key: str, answer: Callable[[bytes], bytes]) -> Close:
        item = (key, answer)
        self.answers.append(item)
        return lambda: self.answers.remove(item)

    async def call(self, key: str, data: bytes = b"", *, seconds: float = 5.0) -> bytes:
        for bus in self._medium.buses:
            for served, answer in bus.answers:
                if served == key:
                    try:
                        return await asyncio.wait_for(asyncio.to_thread(answer, data), seconds)
                    except AylluError as error:
                        raise BusError(error.sentence) from error
                    except TimeoutError as error:
                        raise BusError("nobody answered in time") from error
        raise BusError("nobody answers to this")

    async def gather(
        self,
        pattern: str,
        data: bytes = b"",
        *,
        seconds: float = 1.0,
    ) -> Mapping[str, bytes]:
        found: dict[str, bytes] = {}
        keys = [key for bus in self._medium.buses if bus is not self for key, _ in bus.answers]
        for key in keys:
            if fnmatchcase(key, pattern):
                try:
                    found[key] = await self.call(key, data, seconds=seconds)
                except BusError:
                    continue
        return found

    async def close(self) -> None:
        self._medium.buses.remove(self)
        for key in self.alive:
            self._tell(key, alive=False)
