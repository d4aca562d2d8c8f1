"""One blob's way from a server to the disk: several ranged streams, hashed as they come in order.

A stream that breaks goes on where it was; one that is far slower than the others, or silent, is
asked for anew. The digest follows what is there without a gap. Where it is wrong at the end, only
the chunks that are to blame are fetched again.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import statistics
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from aiohttp import ClientResponse

from ayllu.errors import AylluError, ForbiddenError, NotFoundError, RegistryError
from ayllu.models.files import using
from ayllu.registry.bandwidth import Bandwidth
from ayllu.registry.client import Source
from ayllu.registry.landing import PartialLanding
from ayllu.registry.limits import Limits, end, in_thread, next_streams
from ayllu.registry.neighbours import Alone, Neighbours, Share
from ayllu.registry.partial import CHUNK, Partial
from ayllu.registry.ranges import Part, parts_of
from ayllu.registry.web import TransientError
from ayllu.watch import Watch

T = TypeVar("T")

LEAST_PART = 8 << 20
MOST_PART = 64 << 20
PARTS = 32
HASHED_AT_ONCE = 16
SLOW_SHARE = 0.1
SLOW_RESTARTS = 3
SILENCES = 10
MOST_CHANGES = 8
GROWTH = 1.1
FLUSH_SECONDS = 0.2
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


_FAILURES = (RegistryError, NotFoundError, ForbiddenError)


class WholeFileError(RegistryError):
    """The server sends the whole file where a range of it was asked for."""


class Transfer:
    """Brings a partial file to its end; `digest` is what it must have then.

    Without a `source`, or where it fails, all comes from `neighbours`. Hashing and writing happen
    in the threads of `pool`.
    """

    def __init__(
        self,
        source: Source | None,
        partial: Partial,
        digest: str,
        *,
        pool: Executor,
        bandwidth: Bandwidth,
        limits: Limits,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._source = source
        self._partial = partial
        self._digest = digest
        self._pool = pool
        self._bandwidth = bandwidth
        self._limits = limits
        self._unchecked = set(partial.chunks)
        self._failure: AylluError | None = None
        self._active: dict[asyncio.Task[None], Part] = {}
        self._ranged = partial.size > CHUNK
        self._streams = limits.least
        self._failures = 0
        self._recently = self._recently_before = 0
        self._rates: deque[float] = deque(maxlen=16)
        self._heard = asyncio.get_running_loop().time()
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._stored, self._news = asyncio.Event(), asyncio.Event()
        self._room = memoryview(bytearray(CHUNK))
        self.received = 0
        landing = PartialLanding(partial, pool, (self._stored, self._news), self._active.values)
        self.share: Share = Alone()
        if neighbours is not None:
            self.share = neighbours.open(digest, landing, fetches=source is not None)

    @property
    def completed(self) -> int:
        """How many bytes are here, in memory or on disk."""
        held = sum(part.held_size for part in self._active.values())
        return min(self._partial.stored + held, self._partial.size)

    async def run(self) -> None:
        """Fetch what is missing. Raises RegistryError where it cannot be had as it should be.

        What is there stays for another time, unless it turned out to be something else.
        """
        await self._fetch_missing()
        while not self._is_right() and await self.share.doubt():
            await self._hash_again()
        if not self._is_right() and not (self._source and await self._repair()):
            await self._in_thread(self._partial.discard)
            raise RegistryError(
                "digest mismatch, file must be downloaded again: "
                f"want {self._digest}, got sha256:{self._hash.hexdigest()}"
            )
        await self.share.conclude()

    def _is_right(self) -> bool:
        return self._digest == f"sha256:{self._hash.hexdigest()}"

    async def _fetch_missing(self) -> None:
        """Run streams and the hash beside them until all is there and hashed."""
        self._plan()
        hashing = asyncio.create_task(self._hash_all())
        flushing = asyncio.create_task(self._flush_all())
        sharing = asyncio.create_task(self.share.run())
        news = asyncio.create_task(self._hear())
        loop = asyncio.get_running_loop()
        tick = loop.time() + self._limits.tick
        try:
            while not hashing.done():
                self._start_streams()
                if news.done():
                    news = asyncio.create_task(self._hear())
                done, _ = await asyncio.wait(
                    {hashing, flushing, news, *self._active, sharing},
                    timeout=max(tick - loop.time(), 0),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if loop.time() >= tick:
                    self._adapt()
                    tick = loop.time() + self._limits.tick
                await self._settle(done)
        finally:
            await end([hashing, flushing, sharing, news, *self._active])
            self._active.clear()

    def _plan(self) -> None:
        self.share.begin([n for n in range(self._partial.count) if n not in self._partial.chunks])

    @property
    def _part_chunks(self) -> int:
        return min(max(self._partial.size // PARTS, LEAST_PART), MOST_PART) // CHUNK

    def _start_streams(self) -> None:
        while self._source and len(self._active) < self._streams:
            part = self._next_part()
            if part is None:
                break
            if not self._active:
                self._heard = asyncio.get_running_loop().time()
            self._active[asyncio.create_task(self._fetch(part))] = part

    def _next_part(self) -> Part | None:
        """What to fetch next; a small file, or one without ranges, is one part."""
        return self.share.take(self._part_chunks) if self._ranged else self.share.take_all()

    async def _settle(self, done: set[asyncio.Task[None]]) -> None:
        """Raise what ended a task; a server without ranges is asked for the whole file.

        A registry that fails is left where others have what is missing.
        """
        ended = [(task.exception(), self._active.pop(task, None)) for task in done]
        for error, part in ended:
            if part is not None:
                self.share.ended(part)
            if isinstance(error, WholeFileError):
                await end(self._active)
                self._active.clear()
                self._ranged = False
                self._plan()
                break
            if error is not None:
                if not isinstance(error, _FAILURES) or not part or not self.share.hopes:
                    raise error
                await self._leave_registry(error)
        is_short = len(self._partial.chunks) < self._partial.count
        if is_short and not self._source and not self.share.hopes:
            raise self._failure or RegistryError(
                f"no other machine has all of {self._digest[7:19]} any more"
            )

    async def _leave_registry(self, error: AylluError) -> None:
        self._failure, self._source = error, None
        await end(self._active)
        self._active.clear()
        self.share.leave_registry()

    def _adapt(self) -> None:
        """Count the streams anew, and end slow ones."""
        faster = self._recently > GROWTH * self._recently_before
        self._streams = next_streams(
            self._streams, self._limits, failures=self._failures, faster=faster
        )
        self._recently_before, self._recently, self._failures = self._recently, 0, 0
        now = asyncio.get_running_loop().time()
        judged = [
            part for part in self._active.values() if now - part.started > self._limits.slow_after
        ]
        rates = [*self._rates, *(part.rate(now) for part in judged)]
        slow = SLOW_SHARE * statistics.median(rates) if len(rates) > 2 else 0
        for part in judged:
            if part.rate(now) < slow and part.restarts < SLOW_RESTARTS:
                part.restarts += 1
                part.abort()

    async def _fetch(self, part: Part) -> None:
        """All of a part, whatever it takes; raises after some tries without progress."""
        failures = 0
        while part.number < part.end:
            before = part.position
            try:
                await self._stream(part)
            except TransientError:
                self._failures += 1
                failures = 0 if part.position > before else failures + 1
                if failures >= self._limits.tries:
                    raise
                await asyncio.sleep(self._limits.backoff * 2 ** (failures - 1) if failures else 0)
            part.retries += 1

    async def _stream(self, part: Part) -> None:
        """One request for what a part still wants. A silent or slow one just ends."""
        loop = asyncio.get_running_loop()
        span = (part.position, min(part.end * CHUNK, self._partial.size)) if self._ranged else ()
        position, part.started, part.received = span[0] if span else 0, loop.time(), 0
        try:
            async with asyncio.timeout(None) as part.scope:
                with Watch(self._limits.stall, part.abort) as watch:
                    async with self._origin.open(*span) as response:
                        self._check(response, *span)
                        async for piece, _ in response.content.iter_chunks():
                            watch.paused = True
                            await self._take(part, memoryview(piece), position)
                            position += len(piece)
                            watch.paused = False
                            watch.touch()
                            if part.number >= part.end:
                                self._rates.append(part.rate(loop.time()))
                                return
        except TimeoutError:
            if loop.time() - self._heard > SILENCES * self._limits.stall:
                raise RegistryError(f"{self._place} has stopped sending") from None
            return
        finally:
            part.scope = None
        raise TransientError(f"{self._place} sent less than it promised")

    def _check(self, response: ClientResponse, start: int = 0, end: int | None = None) -> None:
        """Raise unless an answer is of the bytes that were asked for, of a file of our size."""
        total = response.content_length
        if end is not None:
            if response.status == 200:
                raise WholeFileError(f"{self._place} sends no ranges")
            found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != start or int(found[2]) >= end:
                raise TransientError(f"{self._place} sent other bytes than it was asked for")
            total = None if found[3] == "*" else int(found[3])
        if total not in {None, self._partial.size}:
            raise RegistryError(
                f"{self._place} has {total} bytes of {self._digest}, and its manifest says "
                f"{self._partial.size}"
            )

    async def _take(self, part: Part, piece: memoryview, position: int) -> None:
        """Put a piece that begins at `position` of the file where it belongs."""
        self._heard = asyncio.get_running_loop().time()
        self._recently += len(piece)
        self.received += len(piece)
        part.received += len(piece)
        await self._bandwidth.take(len(piece))
        piece = piece[max(part.position - position, 0) :]
        while piece and part.number < part.end:
            room = self._partial.length(part.number) - part.held_size
            part.held.append(piece[:room])
            part.held_size += len(part.held[-1])
            if len(piece) < room:
                return
            piece = piece[room:]
            if part.number not in self._partial.chunks:
                await self._in_thread(self._partial.write, part.number, part.held, part.retries)
                self._stored.set()
                self.share.landed(part.number)
            part.held, part.held_size = [], 0
            part.number += 1
            if self._ranged and part.number in self._partial.chunks:  # it came from elsewhere
                part.end = part.number

    async def _hash_all(self) -> None:
        """Follow what is there without a gap to the end; what was damaged on disk is missing."""
        chunks = self._partial.chunks
        while self._hashed < self._partial.count:
            end = self._hashed
            while end in chunks and end - self._hashed < HASHED_AT_ONCE:
                end += 1
            if end == self._hashed:
                self._stored.clear()
                await self._stored.wait()
            elif not await self._in_thread(self._hash_to, end):
                self._partial.forget(self._hashed)
                self.share.miss(self._hashed)
                self._news.set()

    async def _hear(self) -> None:
        """Wait for news of the share."""
        await self._news.wait()
        self._news.clear()

    async def _flush_all(self) -> None:
        """Keep the disk at work, so that nobody waits for it at the end."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self._in_thread(self._partial.flush)

    def _hash_to(self, end: int) -> bool:
        """Hash chunks to before `end`; False at one that is not what was once written."""
        for number in range(self._hashed, end):
            data = self._partial.read(number, self._room)
            if number in self._unchecked and not self._partial.is_sound(number, data):
                return False
            self._hash.update(data)
            self._hashed = number + 1
        self._partial.note_frontier(min(end * CHUNK, self._partial.size))
        return True

    async def _repair(self) -> bool:
        """Replace what is to blame for a wrong digest; returns whether it is right now.

        First what the disk did not keep; then what came otherwise than it comes now, part by part,
        beginning with those that had trouble.
        """
        damaged = await self._in_thread(self._damaged)
        for number in damaged:
            self._partial.forget(number)
        if damaged:
            await self._hash_again()
        parts = parts_of(list(range(self._partial.count)), self._part_chunks)
        changes = 0
        for part in sorted(parts, key=self._trouble, reverse=True):
            if self._is_right() or changes == MOST_CHANGES:
                break
            if await self._replace(part):
                changes += 1
                await self._hash_again()
        return self._is_right()

    async def _hash_again(self) -> None:
        self._hash, self._hashed = hashlib.sha256(), 0
        await self._fetch_missing()

    async def _replace(self, part: Part) -> bool:
        """Fetch a part again; returns whether it is another now."""
        before = {n: self._partial.chunks[n].crc for n in range(part.number, part.end)}
        for number in before:
            self._partial.forget(number)
        await self._fetch(part)
        return any(self._partial.chunks[n].crc != crc for n, crc in before.items())

    def _trouble(self, part: Part) -> tuple[bool, int]:
        chunks = [self._partial.chunks[number] for number in range(part.number, part.end)]
        return any(not c.is_known for c in chunks), max(c.retries for c in chunks)

    def _damaged(self) -> list[int]:
        """The chunks that are not on disk as they were written."""
        return [
            number
            for number in range(self._partial.count)
            if not self._partial.is_sound(number, self._partial.read(number, self._room))
        ]

    @property
    def _origin(self) -> Source:
        assert self._source is not None  # noqa: S101 - streams live only while there is one
        return self._source

    @property
    def _place(self) -> str:
        return self._origin.origin.root.authority

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """Run what blocks. Raises StoreError where the disk does not play along."""
        with using(self._partial.path.parent.parent):
            return await in_thread(self._pool, work, *arguments)
