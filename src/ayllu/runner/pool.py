"""The loaded models: reused while they fit a request, kept alive, evicted, replaced when they die.

`acquire` is the one way to a model; where a model runs is decided here and nowhere else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from msgspec import Struct, structs

from ayllu.config import Settings
from ayllu.errors import BusyError, EngineError
from ayllu.gotime import FOREVER
from ayllu.models.model import Model
from ayllu.models.name import short_name
from ayllu.runner import fit
from ayllu.runner.client import RunnerClient
from ayllu.runner.engine import Engine
from ayllu.runner.options import LoadOptions
from ayllu.runner.process import RunnerProcess, start_runner
from ayllu.system import memory
from ayllu.types import ModelName, Options

CLOSING = "the server is shutting down"


class _Key(NamedTuple):
    """What makes two requests want the same child; its load options may still differ."""

    digest: str
    embedding: bool


class Runner:
    """A loaded model. `size` is its estimated memory in bytes."""

    def __init__(
        self, load: LoadOptions, process: RunnerProcess, client: RunnerClient, size: int
    ) -> None:
        self.load = load
        self.process = process
        self.client = client
        self.slots = asyncio.Semaphore(load.parallel)
        self.size = size

    async def stop(self) -> None:
        """End the child and close the connections to it."""
        await self.client.close()
        await self.process.stop()


class Lease(Struct, frozen=True):
    """The right to one slot of a loaded model. `load_duration` is nanoseconds spent waiting."""

    runner: Runner
    load_duration: int

    @property
    def client(self) -> RunnerClient:
        """The client to speak to the model with."""
        return self.runner.client

    @property
    def context(self) -> int:
        """Tokens that the slot holds."""
        return self.runner.load.context


class LoadedModel(Struct, frozen=True):
    """A row of `ayllu ps`: sizes in bytes, `expires_at` a Unix time (inf where it stays)."""

    model: Model
    size: int
    size_vram: int
    expires_at: float
    context_length: int


class _Place:
    """A model's place in the pool. The lock is held while its child is started or replaced."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.keep_alive = FOREVER
        self.lock = asyncio.Lock()
        self.runner: Runner | None = None
        self.users = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self.timer: asyncio.TimerHandle | None = None
        self.expires_at = FOREVER
        self.last_used = time.monotonic()


class Pool:
    """All loaded models of this server. Whoever made it calls `close`."""

    def __init__(self, settings: Settings, engine: Engine, *, gpus: int = 0) -> None:
        self._settings = settings
        self._engine = engine
        self._gpus = gpus
        self._places: dict[_Key, _Place] = {}
        self._room = asyncio.Lock()
        self._freed = asyncio.Event()
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._processes: set[RunnerProcess] = set()
        self._closed = False

    @asynccontextmanager
    async def acquire(
        self,
        model: Model,
        options: Options,
        *,
        keep_alive: float | None = None,
        embedding: bool = False,
        shift: bool = True,
    ) -> AsyncGenerator[Lease]:
        """Wait for the model to be loaded and a slot of it to be free.

        Raises BusyError when the queue is full, EngineError when the model cannot be loaded.
        """
        started = time.monotonic_ns()
        if self._waiting >= self._settings.max_queue:
            raise BusyError("server busy, please try again.  maximum pending requests exceeded")
        runner = None
        while runner is None:
            self._waiting += 1
            try:
                place, runner = await self._take_slot(
                    model, options, keep_alive, embedding=embedding, shift=shift
                )
            finally:
                self._waiting -= 1
        try:
            yield Lease(runner, time.monotonic_ns() - started)
        finally:
            runner.slots.release()
            self._leave(place)

    async def _take_slot(
        self,
        model: Model,
        options: Options,
        keep_alive: float | None,
        *,
        embedding: bool,
        shift: bool,
    ) -> tuple[_Place, Runner | None]:
        """A slot of the model, to be given back; None where its engine died in the meantime."""
        place = await self._enter(model, options, keep_alive, embedding=embedding, shift=shift)
        runner = place.runner
        assert runner is not None  # noqa: S101 - _enter leaves one
        try:
            await runner.slots.acquire()
        except BaseException:
            self._leave(place)
            raise
        if runner.process.alive:
            return place, runner
        runner.slots.release()
        self._leave(place)
        return place, None

    def loaded(self) -> list[LoadedModel]:
        """What is in memory now, the longest-lasting first."""
        rows = [
            LoadedModel(
                model=place.model,
                size=place.runner.size,
                size_vram=self._size_vram(place.runner),
                expires_at=place.expires_at,
                context_length=place.runner.load.context,
            )
            for place in self._places.values()
            if place.runner is not None and place.runner.process.alive
        ]
        return sorted(rows, key=lambda row: row.expires_at, reverse=True)

    async def unload(self, name: ModelName) -> None:
        """Let a model go: now where nobody uses it, else when its last user leaves."""
        for place in list(self._places.values()):
            if place.model.name == name and place.runner is not None:
                place.keep_alive = 0.0
                self._cancel_timer(place)
                await self._retire(place)

    def abort(self) -> None:
        """Take no more requests, and end those under way."""
        self._closed = True
        for process in self._processes:
            process.kill(CLOSING)

    async def close(self) -> None:
        """End every child."""
        self.abort()
        for place in self._places.values():
            self._cancel_timer(place)
            if place.runner is not None:
                await place.runner.stop()
        await asyncio.gather(*(process.stop() for process in self._processes), *self._tasks)

    async def _enter(
        self,
        model: Model,
        options: Options,
        keep_alive: float | None,
        *,
        embedding: bool,
        shift: bool,
    ) -> _Place:
        """Count one more user of a runner that fits the request, started where need be."""
        if self._closed:
            raise BusyError(CLOSING)
        key = _Key(model.digest, embedding)
        place = self._places.setdefault(key, _Place(model))
        async with place.lock:
            if keep_alive is not None:
                place.keep_alive = keep_alive
            elif place.runner is None:
                place.keep_alive = self._settings.keep_alive
            place.model = model
            wanted = fit.plan_load(
                model,
                options,
                self._settings,
                gpus=self._gpus,
                embedding=embedding,
                shift=shift,
            )
            if place.runner is not None and not place.runner.process.alive:
                await self._vacate(place)
            if place.runner is not None and not fit.serves(place.runner.load, wanted, options):
                await place.idle.wait()
                await self._vacate(place)
            if place.runner is None:
                place.runner = await self._start(place, wanted)
            place.users += 1
            place.idle.clear()
            place.last_used = time.monotonic()
            place.expires_at = time.time() + place.keep_alive
            self._cancel_timer(place)
        return place

    def _leave(self, place: _Place) -> None:
        """Count one user less and start the clock of an idle model."""
        place.users -= 1
        place.last_used = time.monotonic()
        if place.users:
            return
        place.idle.set()
        self._freed.set()
        if self._closed or place.keep_alive == FOREVER:
            return
        place.expires_at = time.time() + place.keep_alive
        loop = asyncio.get_running_loop()
        place.timer = loop.call_later(place.keep_alive, self._expire, place)

    def _expire(self, place: _Place) -> None:
        place.timer = None
        self._spawn(self._retire(place))

    async def _retire(self, place: _Place) -> None:
        """End an idle model's child, unless somebody came back to it in the meantime."""
        async with place.lock:
            if place.users == 0 and place.timer is None:
                await self._vacate(place)

    async def _start(self, place: _Place, load: LoadOptions) -> Runner:
        """A new child for the place, ready to answer."""
        name = short_name(place.model.name)
        async with self._room:
            load = structs.replace(load, parallel=self._parallel(load))
            size = fit.footprint(fit.model_facts(load.model, load.kv_cache_type), load)
            await self._make_room(size)
            process = await start_runner(
                self._engine,
                load,
                name=name,
                home=self._settings.home,
                on_exit=lambda process: self._on_exit(place, process),
            )
            self._processes.add(process)
            client = RunnerClient(
                process,
                first_timeout=self._settings.first_token_timeout,
                next_timeout=self._settings.token_timeout,
            )
            runner = Runner(load, process, client, size)
            try:
                await client.wait_ready(self._settings.load_timeout)
            except EngineError as error:
                await runner.stop()
                raise EngineError(f"{name} could not be loaded: {error}") from error
            except BaseException:
                await runner.stop()
                raise
        return runner

    def _on_exit(self, place: _Place, process: RunnerProcess) -> None:
        """A child ended: forget it where that is news."""
        self._processes.discard(process)
        runner = place.runner
        if runner is not None and runner.process is process:
            place.runner = None
            self._cancel_timer(place)
            self._freed.set()
            self._spawn(runner.client.close())

    async def _make_room(self, size: int) -> None:
        """Unload idle models, the longest unused first, until one of `size` bytes may come."""
        while True:
            others = [place for place in self._places.values() if place.runner is not None]
            full = len(others) >= self._settings.max_loaded_models
            short = bool(others) and not self._gpus and size > memory().available
            if not full and not short:
                return
            idle = [place for place in others if place.users == 0 and not place.lock.locked()]
            if idle:
                unused = min(idle, key=lambda place: place.last_used)
                async with unused.lock:
                    await self._vacate(unused)
                continue
            self._freed.clear()
            await self._freed.wait()

    async def _vacate(self, place: _Place) -> None:
        """End the child of a place that nobody uses. Whoever calls holds the place's lock."""
        runner, place.runner = place.runner, None
        self._cancel_timer(place)
        if runner is not None:
            await runner.stop()
            self._freed.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cancel_timer(self, place: _Place) -> None:
        if place.timer is not None:
            place.timer.cancel()
            place.timer = None

    def _size_vram(self, runner: Runner) -> int:
        """Bytes of the model on graphics cards, from the layers the engine put there."""
        return runner.size if self._gpus and runner.load.gpu_layers != 0 else 0

    def _parallel(self, load: LoadOptions) -> int:
        """Slots to open; with a graphics card the engine itself fits the model in."""
        if load.embedding:
            return 1
        if self._gpus:
            return self._settings.num_parallel
        facts = fit.model_facts(load.model, load.kv_cache_type)
        return fit.choose_parallel(
            self._settings.num_parallel,
            weights=facts.weights,
            kv_per_slot=facts.kv_per_token * load.context,
            available=memory().available,
        )
