"""The loaded models: reused while they fit a request, kept alive, evicted, replaced when they die.

`acquire` is the one way to a model; where a model runs is decided here and nowhere else. Whatever
changes what is loaded for a request happens under one lock, in the order the requests came; a model
that has to go is closed to newcomers first, so that nobody waits for ever.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path

from msgspec import structs

from ayllu.config import Settings
from ayllu.errors import BusyError, EngineError
from ayllu.models.corrected import Corrector
from ayllu.models.model import Model
from ayllu.models.modelfile import MOST_ADAPTERS
from ayllu.models.name import short_name
from ayllu.runner import fit
from ayllu.runner.client import RunnerClient
from ayllu.runner.engine import Engine
from ayllu.runner.options import LoadOptions
from ayllu.runner.place import Key, Lease, LoadedModel, Place, Runner, Tenant, key_of
from ayllu.runner.process import EngineDiedError, RunnerProcess, kill_unwanted, start_runner
from ayllu.runner.split import Share, Splitter
from ayllu.system import memory
from ayllu.types import Options

CLOSING = "the server is shutting down"


class Pool:
    """All loaded models of this server. Whoever made it calls `close`."""

    def __init__(self, settings: Settings, engine: Engine, *, gpus: int = 0) -> None:
        self.splitter: Splitter | None = None
        """Asked of each model before it is loaded, once there is one."""
        self.siblings: Callable[[Model], tuple[Path, ...]] = lambda _: ()
        """More adapters to load where a model's are, for models that may be asked for next."""
        self.most = 0
        """Bytes that models may take on this machine in all; 0: as many as it has."""
        self._settings = settings
        self._engine = engine
        self._gpus = gpus
        self._places: dict[Key, Place] = {}
        self._admission = asyncio.Lock()
        self._waiting = 0
        self._running = 0
        self._stopping: set[asyncio.Task[None]] = set()
        self._processes: set[RunnerProcess] = set()
        self._corrector = Corrector()
        self._listeners: list[Callable[[], None]] = []
        self._closed = False

    def subscribe(self, on_change: Callable[[], None]) -> None:
        """Have something called, on the event loop, when a model has been loaded or has gone."""
        self._listeners.append(on_change)

    @asynccontextmanager
    async def acquire(
        self,
        model: Model,
        options: Options,
        *,
        keep_alive: float | None = None,
        embedding: bool = False,
        slot: bool = True,
    ) -> AsyncGenerator[Lease]:
        """Wait for the model to be loaded and a slot of it to be free.

        Who only asks its tokenizer or its template needs no `slot`, and waits for none.

        Raises BusyError when the queue is full, EngineError when the model cannot be loaded.
        """
        started = time.monotonic_ns()
        if self._waiting >= self._settings.max_queue:
            raise BusyError("server busy, please try again.  maximum pending requests exceeded")
        self._waiting += 1
        try:
            take = self._take_slot if slot else self._enter
            tenant, runner = await take(model, options, keep_alive, embedding)
        finally:
            self._waiting -= 1
        self._running += slot
        try:
            client = runner.client.adapted(runner.scales(fit.adapter_scales(model, options)))
            yield Lease(runner, client, time.monotonic_ns() - started)
        finally:
            self._running -= slot
            if slot:
                runner.slots.release()
            self._leave(tenant)

    @property
    def running(self) -> int:
        """How many requests have a slot of a model."""
        return self._running

    @property
    def held(self) -> int:
        """Bytes of this machine that the models in memory take; all of it can be freed."""
        runners = (place.runner for place in self._places.values())
        return sum(one.share.size if one.share else one.size for one in runners if one is not None)

    @property
    def waiting(self) -> int:
        """How many requests wait for a model, or for a slot of one."""
        return self._waiting

    def places_of(self, digest: str) -> list[Place]:
        """Where a model is loaded, or about to be, by its manifest's digest."""
        return [place for place in self._places.values() if digest in place.tenants]

    def loaded(self) -> list[LoadedModel]:
        """What is in memory now, the longest-lasting first."""
        places = self._places.values()
        rows = chain.from_iterable(place.rows(gpus=self._gpus) for place in places)
        return sorted(rows, key=lambda row: row.expires_at, reverse=True)

    async def unload(self, digest: str) -> None:
        """Let a model go, by its manifest's digest: now, or when its last user leaves."""
        for tenant in [place.tenants[digest] for place in self.places_of(digest)]:
            tenant.keep_alive = 0.0
            is_coming = tenant.place.loading and tenant.place.model.digest == digest
            runner = None if tenant.users or is_coming else self._move_out(tenant)
            if runner is not None:
                await asyncio.shield(self._stop(runner))

    async def clear(self, digest: str) -> None:
        """Let a model go once its users are done, nobody new coming in; then it is loaded anew."""
        async with self._admission:
            for place in self.places_of(digest):
                await self._clear(place)

    async def shrink(self) -> None:
        """Let idle models go, the longest unused first, while all take more than they may."""
        for place in sorted(self._places.values(), key=lambda place: place.last_used):
            if 0 < self.most < self.held and place.runner is not None and not place.users:
                await self._end(place)

    def abort(self) -> None:
        """Take no more requests, and end those under way."""
        self._closed = True
        for process in self._processes:
            process.kill(CLOSING)

    async def close(self) -> None:
        """End every child."""
        self.abort()
        await self._corrector.close()
        for place in list(self._places.values()):
            await self._end(place)
        await asyncio.gather(*(process.stop() for process in self._processes), *self._stopping)

    async def _take_slot(
        self, model: Model, options: Options, keep_alive: float | None, embedding: bool
    ) -> tuple[Tenant, Runner]:
        """A slot of the model, to be given back; asked for anew where the engine dies meanwhile."""
        while True:
            tenant, runner = await self._enter(model, options, keep_alive, embedding)
            try:
                await runner.slots.acquire(runner.scales(fit.adapter_scales(model, options)))
            except BaseException:
                self._leave(tenant)
                raise
            if runner.process.alive:
                return tenant, runner
            runner.slots.release()
            self._leave(tenant)

    async def _enter(
        self, model: Model, options: Options, keep_alive: float | None, embedding: bool
    ) -> tuple[Tenant, Runner]:
        """Become a user of a child that serves the request, loaded where need be."""
        model = await self._corrector.correct(model)
        load = fit.plan_load(model, options, self._settings, gpus=self._gpus, embedding=embedding)
        alone = self.splitter is not None and self.splitter.is_pinned(model)
        key = key_of(model, embedding=embedding, alone=alone)
        place = self._places.get(key)
        if place is not None and place.serves(load, options):
            return self._join(place, model, keep_alive)
        async with self._admission:
            place = self._places.setdefault(key, Place(key, model))
            if not place.serves(load, options):
                await self._load(place, model, load)
            if place.runner is None or not place.runner.process.alive:
                raise EngineDiedError("the engine ended right after it had loaded the model")
            return self._join(place, model, keep_alive)

    def _join(self, place: Place, model: Model, keep_alive: float | None) -> tuple[Tenant, Runner]:
        """Count one more user. Nothing may happen between `serves` and this."""
        assert place.runner is not None  # noqa: S101 - a place that serves has one
        is_new = model.digest not in place.tenants
        tenant = place.admit(model)
        if keep_alive is not None:
            tenant.keep_alive = keep_alive
        tenant.count(1)
        tenant.stay(self._keep_alive(tenant))
        if is_new:
            self._tell()
        return tenant, place.runner

    def _leave(self, tenant: Tenant) -> None:
        """Count one user less and start the clock of an idle model."""
        tenant.count(-1)
        if tenant.users:
            return
        if tenant.place.runner is None and not tenant.place.loading:
            tenant.move_out()
            self._forget(tenant.place)
        elif not self._closed:
            tenant.stay(self._keep_alive(tenant), self._expire)

    def _keep_alive(self, tenant: Tenant) -> float:
        return self._settings.keep_alive if tenant.keep_alive is None else tenant.keep_alive

    def _expire(self, tenant: Tenant) -> None:
        tenant.timer = None
        if tenant.users == 0 and (runner := self._move_out(tenant)) is not None:
            self._stop(runner)

    def _move_out(self, tenant: Tenant) -> Runner | None:
        """Take a model out of its place; where none is left, the child, to be stopped."""
        tenant.move_out()
        if not tenant.place.tenants:
            return self._take(tenant.place)
        self._tell()
        return None

    async def _load(self, place: Place, model: Model, load: LoadOptions) -> None:
        """Put a child with these options in the place of what is there. Under the lock.

        Models that were there stay, as long as their time runs.
        """
        try:
            await self._clear(place, stay=True)
            if self._closed:
                raise BusyError(CLOSING)
            self._places[place.key] = place
            place.loading, place.model = True, model
            place.admit(model)
            if not load.embedding and (wanted := place.adapters(load.adapters)):
                wanted += await asyncio.to_thread(self.siblings, model)
                most = max(MOST_ADAPTERS, len(load.adapters))
                load = structs.replace(load, adapters=tuple(dict.fromkeys(wanted))[:most])
            slots = fit.slots_for(load, self._settings, gpus=self._gpus)
            load = structs.replace(load, parallel=slots)
            size = fit.footprint(fit.load_facts(load), load)
            share = None
            if self.splitter is not None:
                share = await self.splitter.split(place.model, load)
            place.runner = await self._start_in_room(place, load, size, share)
        finally:
            place.loading = False
            if place.runner is None:
                self._take(place)
        self._tell()

    async def _start_in_room(
        self, place: Place, load: LoadOptions, size: int, share: Share | None
    ) -> Runner:
        """A new child once there is memory for it; its share is given back where that fails."""
        try:
            await self._make_room(share.size if share else size)
            return await self._start(place, share.load if share else load, size, share)
        except BaseException:
            if share is not None:
                await asyncio.shield(share.end(crashed=False))
            raise

    async def _start(
        self, place: Place, load: LoadOptions, size: int, share: Share | None
    ) -> Runner:
        """A new child, ready to answer."""
        name = short_name(place.model.name)
        process = await self._start_process(place, load, name)
        if share is not None:
            share.watch(process.kill)
        client = RunnerClient(
            process,
            first_timeout=self._settings.first_token_timeout,
            next_timeout=self._settings.token_timeout,
            far=bool(load.workers),
        )
        runner = Runner(load, process, client, size, share)
        try:
            await client.wait_ready(self._settings.load_timeout)
            if load.adapters:
                await client.set_adapters(load.adapter_scales or (0.0,) * len(load.adapters))
        except BaseException as error:
            await asyncio.shield(self._stop(runner))
            if isinstance(error, EngineError):
                died = isinstance(error, EngineDiedError) or (share is not None and share.lost)
                kind = EngineDiedError if died else EngineError
                raise kind(f"{name} could not be loaded: {error}") from error
            raise
        return runner

    async def _start_process(self, place: Place, load: LoadOptions, name: str) -> RunnerProcess:
        """Start the child in a task of our own, so that giving up loses no half-started one."""
        pooled = " (rerank)" if load.pooling == "rank" else " (embeddings)"
        purpose = pooled if load.embedding else ""

        async def start() -> RunnerProcess:
            process = await start_runner(
                self._engine,
                load,
                name=name + purpose,
                home=self._settings.home,
                on_exit=lambda process: self._on_exit(place, process),
            )
            self._processes.add(process)
            return process

        task = asyncio.create_task(start())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(kill_unwanted)
            raise

    def _on_exit(self, place: Place, process: RunnerProcess) -> None:
        """A child ended: forget it where that is news."""
        self._processes.discard(process)
        if place.runner is not None and place.runner.process is process:
            runner = self._take(place)
            assert runner is not None  # noqa: S101 - it was there a line ago
            self._stop(runner)

    async def _make_room(self, size: int) -> None:
        """Unload others, the longest unused first and idle ones before busy ones, for `size` bytes.

        A busy one is closed to newcomers and waited for.
        """
        await asyncio.gather(*self._stopping)
        while True:
            others = [place for place in self._places.values() if place.runner is not None]
            full = len(others) >= self._settings.max_loaded_models
            short = bool(others) and not self._gpus and size > memory().available
            over = bool(others) and 0 < self.most < self.held + size
            if not full and not short and not over:
                return
            idle = [place for place in others if place.users == 0]
            await self._clear(min(idle or others, key=lambda place: place.last_used))

    async def _clear(self, place: Place, *, stay: bool = False) -> None:
        """Let the users of a place finish, nobody new coming in, and end its child.

        Its models `stay` where another child comes.
        """
        place.leaving = True
        try:
            if place.runner is not None and place.runner.process.alive:
                await place.idle.wait()
            await self._end(place, stay=stay)
        finally:
            place.leaving = False

    async def _end(self, place: Place, *, stay: bool = False) -> None:
        """End the child of a place, if there is one."""
        runner = self._take(place, stay=stay)
        if runner is not None:
            await asyncio.shield(self._stop(runner))

    def _take(self, place: Place, *, stay: bool = False) -> Runner | None:
        """Take a place's child out of the pool; whoever does so stops it."""
        runner, place.runner = place.runner, None
        for tenant in () if stay else [*place.tenants.values()]:
            tenant.keep_alive = None
            if not tenant.users:
                tenant.move_out()
        self._forget(place)
        if runner is not None:
            self._tell()
        return runner

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _forget(self, place: Place) -> None:
        """Drop an empty place."""
        if not place.tenants and not place.loading and self._places.get(place.key) is place:
            del self._places[place.key]

    def _stop(self, runner: Runner) -> asyncio.Task[None]:
        """Stop a child in a task of our own: whoever waits may give up, the child ends."""
        task = asyncio.create_task(runner.stop())
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)
        return task
