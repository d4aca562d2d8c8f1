"""Where pieces of a blob land that come from other machines, and what those may read of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor

from ayllu.models.files import using
from ayllu.registry.limits import in_thread
from ayllu.registry.partial import CHUNK, HEARSAY, Partial
from ayllu.registry.ranges import Part


class PartialLanding:
    """A download's partial file as a Landing. `events` are a piece that was stored, and news."""

    def __init__(
        self,
        partial: Partial,
        pool: Executor,
        events: tuple[asyncio.Event, asyncio.Event],
        streams: Callable[[], Iterable[Part]],
    ) -> None:
        self.size = partial.size
        self.count = partial.count
        self._partial = partial
        self._pool = pool
        self._stored, self._news = events
        self._streams = streams

    def stored(self) -> Iterator[tuple[int, bool]]:
        """The pieces that are here, and whether this machine vouches for each."""
        for number, chunk in self._partial.chunks.items():
            yield number, chunk.is_known and chunk.retries < HEARSAY

    async def put(self, number: int, data: bytes, *, wanted: bytes | None) -> bytes | None:
        """Store a piece whose sha256 is `wanted`; returns the sha256 that it has."""
        with using(self._partial.path.parent.parent):
            found = await in_thread(self._pool, self._put, number, data, wanted)
        self._stored.set()
        return found

    def _put(self, number: int, data: bytes, wanted: bytes | None) -> bytes | None:
        if len(data) != self._partial.length(number):
            return None
        found = hashlib.sha256(data).digest()
        if wanted in {None, found}:
            retries = HEARSAY if wanted is None else 0
            self._partial.write(number, [memoryview(data)], retries)
        return found

    async def sha256(self, number: int) -> bytes:
        """That of a piece as it lies on the disk."""
        with using(self._partial.path.parent.parent):
            return await in_thread(self._pool, self._sha256, number)

    def _sha256(self, number: int) -> bytes:
        room = memoryview(bytearray(CHUNK))
        with self._partial.path.open("rb", buffering=0) as file:
            file.seek(number * CHUNK)
            return hashlib.sha256(room[: file.readinto(room)]).digest()

    def read(self, number: int) -> bytes | None:
        """A piece that is here and as it was written. From any thread."""
        chunk = self._partial.chunks.get(number)
        if chunk is None or not chunk.is_known:
            return None
        try:
            with self._partial.path.open("rb", buffering=0) as file:
                file.seek(number * CHUNK)
                data = file.read(self._partial.length(number))
        except OSError:  # it has been published, or removed
            return None
        return data if self._partial.is_sound(number, memoryview(data)) else None

    def forget(self, number: int) -> None:
        """Take a piece for missing."""
        self._partial.forget(number)

    def end_stream(self, number: int) -> None:
        """Fetch from the registry no more than what is there of the part with this piece."""
        for part in self._streams():
            if part.number <= number < part.end:
                part.end = part.number
                part.abort()

    def wake(self) -> None:
        """There may be parts to take, or nothing to hope for."""
        self._news.set()
