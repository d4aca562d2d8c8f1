"""What other machines hold here: leases, each with a program of its own, and when they end.

Most of the programs are workers, which hold layers of a model; what else one may be says who asks.

A lease ends with its beat, with its worker, when its coordinator or this machine's owner says so,
and when a later placement of the same deployment (a greater fence) takes its place.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Protocol

import structlog

from ayllu.cluster.ends import Framed, Plain
from ayllu.cluster.hardware import engine_build
from ayllu.cluster.tasks import Tasks
from ayllu.cluster.tunnel import Opening, Serve
from ayllu.deploy.beat import Beat
from ayllu.deploy.build import protocol_of
from ayllu.deploy.machines import HEADROOM, WORKER_SHARE
from ayllu.deploy.worker import LOOPBACK, Hosted, start_worker
from ayllu.deploy.worker_request import WorkerLine, WorkerRequest
from ayllu.errors import AylluError, BusyError, NotFoundError
from ayllu.models.create import Progress
from ayllu.runner.engine import Engine
from ayllu.runner.rpc_hello import version_text
from ayllu.system import Memory, memory, usable_cores

CLAIM_SECONDS = 5.0
"""How long a lease waits for its beat."""
MOST_LEASES = 64
MOST_FENCES = 1024
"""Deployments whose fences are remembered."""
_LOOK_SECONDS = 0.5
_ROOM_SECONDS = 0.02
_log = structlog.get_logger(__name__)


class LeaseRefusedError(AylluError):
    """This machine does not hold what another one wants it to; the sentence says why."""

    status = 409


class Weights(Protocol):
    """Who brings weights to workers."""

    def prepare(self, part: WorkerRequest, folder: Path) -> AsyncGenerator[Progress]:
        """Fill a folder, which is there, as the worker's `LLAMA_CACHE`; says how far it is."""

    async def release(self, folder: Path) -> None:
        """The worker has ended: remove its folder."""


class Wanted(Protocol):
    """What every lease is of, in the words of a WorkerRequest."""

    @property
    def deployment(self) -> str:
        """Whose it is, of all that its coordinator has."""

    @property
    def fence(self) -> int:
        """Which of several of those is right: the greatest."""

    @property
    def model(self) -> str:
        """The model's name there."""

    @property
    def room(self) -> int:
        """Bytes that it may take."""


Start = Callable[[Path], AsyncGenerator[Progress | Hosted]]
"""Starts a lease's program, which has a folder of its own: steps, the last of which is it."""


class _Lease:
    """What one coordinator holds."""

    def __init__(self, node: str, wanted: Wanted) -> None:
        self.id = secrets.token_hex(16)
        self.node = node
        self.wanted = wanted
        self.worker: Hosted | None = None
        self.beat: Beat | None = None
        self.is_claimed = False
        self.over = ""
        """Why it ended, or is about to."""
        self.ended = asyncio.Event()

    def may_be_over(self, since: float) -> bool:
        """Whether it is about to end, or nothing was heard of its coordinator since a moment."""
        return bool(self.over) or (self.beat is not None and self.beat.heard < since)

    def touched(self) -> int:
        """Bytes that it takes by now."""
        return self.worker.touched() if self.worker is not None else 0


class Leases:
    """All leases of this machine, and who may have one. Whoever makes it closes it.

    `limit` are the bytes that the owner gives to them (None: no limit), `objection` says why a
    machine gets none, in a sentence, or nothing. `has_gpus` leaves the workers' addresses
    unlimited: drivers of graphics cards take many.
    """

    def __init__(
        self,
        engine: Engine,
        home: Path,
        weights: Weights,
        *,
        limit: Callable[[], int | None],
        objection: Callable[[str], str],
        has_gpus: bool,
    ) -> None:
        self._engine = engine
        self._home = home
        self._folder = home / "workers"
        self._weights = weights
        self._limit = limit
        self._objection = objection
        self._has_gpus = has_gpus
        self._leases: dict[str, _Lease] = {}
        self._fences: dict[str, int] = {}
        self._tasks = Tasks()
        shutil.rmtree(self._folder, ignore_errors=True)  # of a server that was killed

    async def grant(self, node: str, wanted: WorkerRequest) -> AsyncGenerator[Progress]:
        """Hold layers for a machine. As `hold`."""
        await self._check_build(wanted)
        steps = self.hold(node, wanted, lambda folder: self._start_worker(wanted, folder))
        async with aclosing(steps):
            async for step in steps:
                yield step

    async def hold(self, node: str, wanted: Wanted, start: Start) -> AsyncGenerator[Progress]:
        """Hold something for a machine: steps, the last one with the lease.

        Closed before that, it holds nothing. Raises LeaseRefusedError, BusyError, EngineError.
        """
        self._check(node, wanted)
        self._note_fence(wanted)
        older = [one for one in self._leases.values() if _same(one.wanted, wanted)]
        lease = _Lease(node, wanted)
        self._leases[lease.id] = lease
        try:
            for one in older:
                await self._end(one, "a later placement of the model has taken its place")
            await self._wait_for_room(lease)
            async with aclosing(self._start(lease, start)) as steps:
                async for step in steps:
                    self._check_held(lease)
                    yield step
            self._check_held(lease)
        except BaseException as error:
            await self._end(lease, error.sentence if isinstance(error, AylluError) else "given up")
            await asyncio.shield(self._clear(lease))  # it may have ended before its worker began
            raise
        self._tasks.start(self._watch(lease))
        yield WorkerLine("success", lease=lease.id)

    async def admit(self, node: str, opening: Opening) -> Serve:
        """What a stream of a machine is joined with. Raises NotFoundError, LeaseRefusedError."""
        lease = self._find(node, opening.lease)
        if lease.worker is None or lease.over:
            raise LeaseRefusedError(lease.over or "the worker is not there yet")
        if opening.purpose == "beat":
            if lease.is_claimed:
                raise LeaseRefusedError("the lease has its beat already")
            lease.is_claimed = True
            return lambda stream: self._keep(lease, stream)
        plain = await _connected(lease.worker)

        async def joined(stream: Framed) -> None:
            stream.join(plain)

        return joined

    async def close(self, because: str = "this machine's server was ended") -> None:
        """End all leases."""
        await asyncio.gather(*(self._end(one, because) for one in list(self._leases.values())))
        await self._tasks.end()

    # Whether it may be.

    async def _check_build(self, wanted: WorkerRequest) -> None:
        ours = engine_build(self._engine), version_text(await protocol_of(self._engine))
        if (wanted.engine, wanted.protocol) != ours:
            raise LeaseRefusedError(
                f"both machines need the same engine: this one has {ours[0]} with RPC protocol "
                f"{ours[1]}, the other one {wanted.engine or 'an unknown one'} with "
                f"{wanted.protocol or 'an unknown protocol'}"
            )

    def _check(self, node: str, wanted: Wanted) -> None:
        if objection := self._objection(node):
            raise LeaseRefusedError(objection)
        if len(self._leases) >= MOST_LEASES:
            raise BusyError(f"this machine works for {MOST_LEASES} others already")
        known = self._fences.get(wanted.deployment, -1)
        if wanted.fence <= known:
            raise LeaseRefusedError(
                f"a later placement of {wanted.model} is known here (fence {known}, and this one "
                f"has {wanted.fence})"
            )

    def _note_fence(self, wanted: Wanted) -> None:
        self._fences.pop(wanted.deployment, None)
        self._fences[wanted.deployment] = wanted.fence
        while len(self._fences) > MOST_FENCES:
            del self._fences[next(iter(self._fences))]

    async def _wait_for_room(self, lease: _Lease) -> None:
        """Raise BusyError where others have too much.

        Who places a model anew may be sooner than the news here that its coordinator is gone: those
        others count that are heard of after the question.
        """
        asked = time.monotonic()
        while True:
            others = [one for one in self._leases.values() if one is not lease]
            taken = [(one.wanted.room, one.touched()) for one in others]
            room = room_left(memory(), self._limit(), taken)
            if lease.wanted.room <= room:
                return
            if not any(one.may_be_over(asked) for one in others):
                raise BusyError(
                    f"{lease.wanted.room:,} bytes are wanted, and this machine gives {room:,}"
                )
            await asyncio.sleep(_ROOM_SECONDS)

    def _check_held(self, lease: _Lease) -> None:
        if lease.over:
            raise LeaseRefusedError(lease.over)

    # What is held.

    async def _start(self, lease: _Lease, start: Start) -> AsyncGenerator[Progress]:
        folder = self._folder / lease.id
        await asyncio.to_thread(folder.mkdir, 0o700, parents=True)
        async with aclosing(start(folder)) as steps:
            async for step in steps:
                if isinstance(step, Hosted):
                    lease.worker = step
                else:
                    yield step

    async def _start_worker(
        self, wanted: WorkerRequest, folder: Path
    ) -> AsyncGenerator[Progress | Hosted]:
        async with aclosing(self._weights.prepare(wanted, folder)) as steps:
            async for step in steps:
                yield step
        yield Progress("starting the worker")
        yield await start_worker(
            self._engine,
            name=f"worker-{wanted.model}-{wanted.first}",
            home=self._home,
            threads=usable_cores(),
            room=None if self._has_gpus else wanted.room,
            cache=folder if await asyncio.to_thread(_has_files, folder) else None,
        )

    async def _watch(self, lease: _Lease) -> None:
        """End a lease that nobody claims, or whose worker has ended or stands still."""
        worker, loop = lease.worker, asyncio.get_running_loop()
        assert worker is not None  # noqa: S101 - it was started
        claimed_by = loop.time() + CLAIM_SECONDS
        while not lease.over:
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await worker.exited.wait()
            except TimeoutError:
                if worker.stands_still():
                    await self._end(lease, "its worker was stopped")
                elif objection := self._objection(lease.node):
                    await self._end(lease, objection)
                elif not lease.is_claimed and loop.time() > claimed_by:
                    await self._end(lease, "nobody claimed the lease")
            else:
                await self._end(lease, f"its worker ended: {worker.reason()}")

    async def _keep(self, lease: _Lease, stream: Framed) -> None:
        beat = lease.beat = Beat(stream)
        why = "this machine takes no part in the ayllu (any more)"
        try:
            why = f"the machine that it was for: {await beat.keep()}"
        finally:
            lease.beat = None  # there is nobody to be told
            self._begin_end(lease, why)
            try:
                await lease.ended.wait()  # the end of the stream says that nothing is held
            finally:
                stream.leave()

    async def _end(self, lease: _Lease, why: str) -> None:
        """End a lease, for the first reason that comes; return once nothing of it is left."""
        self._begin_end(lease, why)
        await lease.ended.wait()

    def _begin_end(self, lease: _Lease, why: str) -> None:
        """The same for whoever does not wait: it is seen to its end."""
        if lease.over:
            return
        lease.over = why
        _log.info("a lease ended", node=lease.node, model=lease.wanted.model, reason=why)
        if lease.beat is not None:
            lease.beat.part(why)
        self._tasks.start(self._clear(lease))

    async def _clear(self, lease: _Lease) -> None:
        """Leave nothing of a lease that is over. Safe to call twice."""
        if lease.worker is not None:
            lease.worker.kill(lease.over)
            await lease.worker.stop()
        await self._weights.release(self._folder / lease.id)
        self._leases.pop(lease.id, None)
        lease.ended.set()

    def _find(self, node: str, lease: str) -> _Lease:
        found = self._leases.get(lease)
        if found is None or found.node != node:
            raise NotFoundError("there is no such lease (any more)")
        return found


def room_left(ram: Memory, limit: int | None, taken: list[tuple[int, int]]) -> int:
    """Bytes that one more lease may have.

    `taken` are the others: what each may take, and has taken by now. `limit` is the owner's, for
    what is not taken by models of this machine.
    """
    given = sum(room for room, _ in taken)
    to_come = sum(max(room - touched, 0) for room, touched in taken)
    room = min(WORKER_SHARE * ram.total - given, (1 - HEADROOM) * ram.available - to_come)
    return max(0, int(room if limit is None else min(room, limit - given)))


def _has_files(folder: Path) -> bool:
    return any(path.is_file() for path in folder.rglob("*"))


def _same(one: Wanted, other: Wanted) -> bool:
    return one.deployment == other.deployment


async def _connected(worker: Hosted) -> Plain:
    """A connection with a worker. Raises LeaseRefusedError."""
    loop = asyncio.get_running_loop()
    try:
        _, plain = await loop.create_connection(Plain, LOOPBACK, worker.port)
    except OSError as error:
        raise LeaseRefusedError("the worker takes no connection") from error
    return plain
