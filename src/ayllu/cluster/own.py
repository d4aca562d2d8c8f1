"""This machine's own record, kept up to date: what it has and holds, how fast and busy it is.

It is what a machine without an ayllu shows (`Cluster`), and what it tells the others of one. Nobody
else may change it.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from msgspec import Struct, structs

from ayllu import __version__
from ayllu.cluster import contribute
from ayllu.cluster.bus import Close
from ayllu.cluster.contribute import Chosen, Terms
from ayllu.cluster.folder import FOLDER
from ayllu.cluster.hardware import Meter, engine_build, hardware
from ayllu.cluster.measure import MEASURED, kept_speed, measured_speed
from ayllu.cluster.record import (
    MOST_MODELS,
    Contribution,
    Endpoints,
    HeldModel,
    Load,
    Record,
    Speed,
)
from ayllu.cluster.tasks import Tasks
from ayllu.cluster.view import Snapshot
from ayllu.config import Settings
from ayllu.errors import AylluError, EngineError, StoreError
from ayllu.models.name import short_name
from ayllu.models.store import Store
from ayllu.registry.limits import end
from ayllu.runner.engine import Engine, list_devices
from ayllu.runner.pool import Pool

LOAD_SECONDS = 2.0
MODELS_SECONDS = 5.0
"""How often it is looked how busy the machine is, and what it holds."""

QUIET_CPU = 0.3
MOST_QUIET_WAITS = 15
"""A machine is measured when a smaller share of its processors is busy. One of which nothing is
known yet is measured after so many looks, whatever else it does."""

PATIENCE = 60.0
MOST_PATIENCE = 3600.0
"""Seconds until it is measured again after it was disturbed: twice as many each time."""

_log = structlog.get_logger(__name__)


class Parts(Struct, frozen=True):
    """The parts of the server that a machine's record tells of; `devices` are the engine's GPUs."""

    settings: Settings
    engine: Engine
    devices: Sequence[str]
    store: Store
    pool: Pool


class OwnRecord:
    """Keeps the record, and tells who subscribed of each change. Whoever made it closes it.

    Until it is first asked for, or this machine is a member, nothing is looked at.
    """

    def __init__(self, parts: Parts, *, node: str = "", name: str = "", epoch: int = 0) -> None:
        """`node` and `epoch` are the identity's. Changes of the record come by `change`."""
        self._parts = parts
        self._meter = Meter(parts.settings.models)
        self._listeners: list[Callable[[], None]] = []
        self._measuring: asyncio.Task[bool] | None = None
        self._later: asyncio.TimerHandle | None = None
        self._patience = PATIENCE
        self._loaded: set[str] = set()
        self._looking = asyncio.Lock()
        self._chosen = _chosen(parts.settings)
        self.record = Record(
            node=node,
            name=name or socket.gethostname().partition(".")[0],
            epoch=epoch,
            counter=0,
            version=__version__,
            engine=engine_build(parts.engine),
            started=time.time(),
            endpoints=Endpoints(),
            hardware=hardware(parts.devices),
            load=self._load(),
        )
        self.given()
        self._tasks = Tasks()
        self._follows = False

    def snapshot(self) -> Snapshot:
        """This machine alone. Whoever asks first has it measured."""
        self.measure()
        return Snapshot(self.record)

    def subscribe(self, on_change: Callable[[], None]) -> Close:
        """Be called on the event loop when the record has changed."""
        self._follow()
        self._listeners.append(on_change)
        return lambda: self._listeners.remove(on_change)

    def change(self, **fields: Any) -> None:  # noqa: ANN401 - fields of a record
        """Give fields of the record other values, if they are others."""
        if any(getattr(self.record, name) != value for name, value in fields.items()):
            counter = self.record.counter + 1
            self.record = structs.replace(self.record, counter=counter, **fields)
            for listener in tuple(self._listeners):
                listener()

    def measure(self) -> None:
        """Measure how fast the machine is, unless that was done, now or in an earlier life."""
        self._follow()
        if self._measuring is None:
            self._measuring = asyncio.create_task(self._measure(fresh=False))

    async def measure_again(self) -> None:
        """Measure how fast the machine is now. Raises EngineError where that fails."""
        self._follow()
        if self._measuring is None or self._measuring.done():
            self._measuring = asyncio.create_task(self._measure(fresh=True))
        if not await asyncio.shield(self._measuring):
            raise EngineError("this machine could not be measured: the server's log says why")

    @property
    def terms(self) -> Terms:
        """What the owner gives of this machine."""
        return contribute.terms(self._parts.settings, self._chosen)

    def choose(self, chosen: Chosen) -> None:
        """Give more or less from now on, and at later starts.

        Raises ValueError for what cannot be chosen, StoreError where it cannot be kept.
        """
        settings, chosen = self._parts.settings, chosen.over(self._chosen)
        contribute.terms(settings, chosen)
        contribute.save(settings.home, chosen)
        self._chosen = chosen
        self.given()

    def given(self) -> Contribution:
        """What that is at this moment; the record and the pool have it, too."""
        hardware = self.record.hardware
        given = self.terms.at(time.localtime().tm_hour, hardware)
        self._parts.pool.most = given.vram if hardware.gpus else given.ram
        self.change(contribute=given)
        return given

    async def close(self) -> None:
        """Keep it no more."""
        await self._tasks.end()
        if self._measuring is not None:
            await end([self._measuring])
        if self._later is not None:
            self._later.cancel()

    async def _measure(self, *, fresh: bool) -> bool:
        """Whether there are figures; what was known stays where it cannot be measured.

        Where others ran beside it, it is measured again later, and the best of both counts.
        """
        settings, hardware = self._parts.settings, self.record.hardware
        file = settings.home / FOLDER / MEASURED
        kept = await asyncio.to_thread(kept_speed, file, hardware, settings.models)
        if kept is not None and not fresh and self.record.speed is None:
            self.change(speed=kept)
            return True
        await self._quiet(patient=not fresh and self.record.speed is not None)
        found = await measured_speed(file, hardware, settings.models)
        if found is None:
            return False
        self.change(speed=found.speed if fresh else better(self.record.speed, found.speed))
        if found.disturbed:
            self._later = asyncio.get_running_loop().call_later(self._patience, self._retry)
            self._patience = min(2 * self._patience, MOST_PATIENCE)
        return True

    def _retry(self) -> None:
        if self._measuring is None or self._measuring.done():
            self._measuring = asyncio.create_task(self._measure(fresh=False))

    async def _quiet(self, *, patient: bool) -> None:
        """Wait for whoever else uses the processors: for a while, or for as long as it takes."""
        looks = 0
        while patient or looks < MOST_QUIET_WAITS:
            looks += 1
            await asyncio.sleep(LOAD_SECONDS)
            if self.record.load.cpu < QUIET_CPU:
                return

    def _follow(self) -> None:
        """Look at what changes from now on: until somebody asks, nobody needs to know."""
        if not self._follows:
            self._follows = True
            self.change(load=self._load())
            self._tasks.start(self._follow_load())
            self._tasks.start(self._follow_models())

    async def _follow_load(self) -> None:
        while True:
            await asyncio.sleep(LOAD_SECONDS)
            load = await asyncio.to_thread(self._load)
            if is_news(self.record.load, load, self.record.hardware.ram_total):
                self.change(load=load)
            self.given()  # hours come and go

    async def _follow_models(self) -> None:
        while True:
            await self.look_at_models()
            await asyncio.sleep(MODELS_SECONDS)

    async def look_at_models(self) -> None:
        """Bring the record up to date with the store."""
        async with self._looking:  # one after the other: the last look counts
            await self._look_at_models()

    async def _look_at_models(self) -> None:
        loaded = {row.model.digest for row in self._parts.pool.loaded()}
        try:
            models = await asyncio.to_thread(held_models, self._parts.store, loaded)
        except AylluError as error:
            _log.debug("the models of this machine cannot be told", reason=error.sentence)
        else:
            self.change(models=models)
        if loaded != self._loaded:
            self._loaded = loaded
            await self._look_at_gpus()

    async def _look_at_gpus(self) -> None:
        """Their free memory is other once a model comes or goes; asking takes a process."""
        if not self.record.hardware.gpus:
            return
        try:
            devices = await asyncio.to_thread(list_devices, self._parts.engine)
        except EngineError as error:
            _log.warning("the GPUs cannot be listed", reason=error.sentence)
        else:
            self.change(hardware=await asyncio.to_thread(hardware, devices))

    def _load(self) -> Load:
        pool = self._parts.pool
        return self._meter.load(running=pool.running, waiting=pool.waiting)


def _chosen(settings: Settings) -> Chosen:
    """What the owner chose; where that cannot be told, others get nothing."""
    try:
        return contribute.load(settings)
    except StoreError as error:
        _log.warning("other machines may not use this one", reason=error.sentence)
        return Chosen(contribute=False)


def held_models(store: Store, loaded: set[str]) -> tuple[HeldModel, ...]:
    """The models of a store by name, as many as a record may hold; `loaded` are digests."""
    models = (
        HeldModel(short_name(model.name), model.digest, model.size, model.digest in loaded)
        for model in store.models()
    )
    return tuple(sorted(models, key=lambda model: model.name))[:MOST_MODELS]


def better(old: Speed | None, new: Speed) -> Speed:
    """The best of two measurements: others that run beside one only ever make it slower."""
    if old is None:
        return new
    return Speed(
        tflops=max(old.tflops, new.tflops),
        memory_gbs=max(old.memory_gbs, new.memory_gbs),
        disk_mbs=max(old.disk_mbs, new.disk_mbs),
        measured_at=new.measured_at,
    )


def is_news(old: Load, new: Load, ram_total: int) -> bool:
    """Whether others need to know: counts always, the rest where it differs by a good part.

    That is a hundredth of the memory, a tenth of the processors, and a gibibyte of disk.
    """
    return (
        (old.running, old.waiting) != (new.running, new.waiting)
        or abs(old.ram_free - new.ram_free) * 100 > ram_total
        or abs(old.cpu - new.cpu) > 0.1
        or abs(old.disk_free - new.disk_free) > 1 << 30
    )
