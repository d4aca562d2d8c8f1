"""What this machine runs on several: placed when loaded, and placed anew when a part is lost.

The machine that answers is the coordinator of its deployments. Nothing that runs is moved when a
machine joins: it counts from the next loading on.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from msgspec import structs

from ayllu.cluster.record import Deployed
from ayllu.deploy.backend import Backend, Job, PartLostError
from ayllu.deploy.demand import demand_of
from ayllu.deploy.deployment import Deployment
from ayllu.deploy.site import Site
from ayllu.deploy.trouble import Troubles
from ayllu.deploy.types import Candidate, Demand
from ayllu.models.model import Model
from ayllu.models.name import short_name
from ayllu.runner.options import LoadOptions

Tell = Callable[[str], None]
_log = structlog.get_logger(__name__)


class Deployments:
    """The pool's splitter. `make_backend` makes what runs a job's parts.

    `on_change` is called when `running` gives something else.
    """

    def __init__(
        self,
        site: Site,
        make_backend: Callable[[Job], Backend],
        troubles: Troubles,
        on_change: Callable[[], None],
    ) -> None:
        self.pins: dict[str, Deployed] = {}
        """What the owner said of models, by their digests."""
        self._site = site
        self._make_backend = make_backend
        self.troubles = troubles
        """Which machines failed lately: parts are put elsewhere where that is possible."""
        self._on_change = on_change
        self._running: dict[str, Deployment] = {}
        self._replays: Counter[str] = Counter()
        self._listeners: defaultdict[str, list[Tell]] = defaultdict(list)
        self._last_fence = 0

    def running(self) -> tuple[Deployed, ...]:
        """What runs now, and what is pinned and does not."""
        pins = dict(self.pins)
        rows = [_row(one, pins.pop(digest, None)) for digest, one in self._running.items()]
        return (*rows, *pins.values())

    def fence(self, least: int = 0) -> int:
        """A number greater than all before it, also of an earlier life: milliseconds since 1970."""
        self._last_fence = max(self._last_fence + 1, time.time_ns() // 1_000_000, least)
        return self._last_fence

    @contextmanager
    def listening(self, digest: str, tell: Tell) -> Iterator[None]:
        """Be told, in sentences, how far the placing of a model is."""
        self._listeners[digest].append(tell)
        try:
            yield
        finally:
            self._listeners[digest].remove(tell)

    def is_pinned(self, model: Model) -> bool:
        """Whether the owner said where a model runs."""
        return model.digest in self.pins

    async def split(self, model: Model, load: LoadOptions) -> Deployment | None:
        """The parts that other machines hold of a model; None where it is loaded here as a whole.

        Raises EngineError where it fits nowhere.
        """
        if load.embedding:
            return None
        if before := self._running.get(model.digest):
            await before.ended.wait()
        pin = self.pins.get(model.digest)
        refused: set[str] = set()
        while True:
            demand = _demand(load, pin)
            best = await self._site.place(
                model, demand, pin, without=refused, insists=load.mmap is True
            )
            if best is None:
                return None
            load = structs.replace(load, context=demand.context, parallel=demand.slots)
            try:
                return await self._start(model, load, best, pin)
            except PartLostError as error:
                if pin is not None and pin.split and self._listeners[model.digest]:
                    raise  # whoever says it now wants just this
                _log.warning("a machine cannot hold a part", node=error.node, reason=str(error))
                self._tell(model, f"{error.sentence}; placing the model without it")
                refused.add(error.node)

    async def _start(
        self, model: Model, load: LoadOptions, best: Candidate, pin: Deployed | None
    ) -> Deployment:
        """A placement at work. Raises PartLostError where a machine cannot hold its part."""
        job = Job(
            deployment=pin.id if pin else _id(best.head, model.digest),
            fence=self.fence(pin.fence + 1 if pin else 0),
            model=model,
            load=structs.replace(load, tensor_split=bool(pin and pin.tensor)),
            stages=best.stages,
        )
        backend = self._make_backend(job)
        try:
            async for line in backend.prepare():
                self._tell(model, line)
            started = await backend.start()
        except BaseException:
            await asyncio.shield(backend.stop())
            raise
        deployment = Deployment(
            job,
            backend,
            started,
            best,
            on_loss=self._on_loss,
            on_end=self._on_end,
            replays=self._replays[model.digest],
        )
        self._running[model.digest] = deployment
        self._on_change()
        return deployment

    def _on_loss(self, problem: PartLostError, deployment: Deployment) -> None:
        _log.warning("a part of a model was lost", node=problem.node, reason=problem.sentence)
        self.troubles.fail(problem.node, time.monotonic())
        self._replays[deployment.job.model.digest] += 1

    def _on_end(self, deployment: Deployment) -> None:
        digest = deployment.job.model.digest
        if self._running.get(digest) is deployment:
            del self._running[digest]
            self._on_change()

    def _tell(self, model: Model, line: str) -> None:
        for tell in tuple(self._listeners[model.digest]):
            tell(line)


def _demand(load: LoadOptions, pin: Deployed | None) -> Demand:
    """What a model is asked for; what its owner said of it counts first."""
    demand = demand_of(load)
    if pin is None:
        return demand
    return structs.replace(
        demand, context=pin.context or demand.context, slots=pin.slots or demand.slots
    )


def _row(deployment: Deployment, pin: Deployed | None) -> Deployed:
    job = deployment.job
    name = short_name(job.model.name)
    row = pin or Deployed(id=job.deployment, model=name, digest=job.model.digest, fence=0)
    return structs.replace(
        row,
        fence=job.fence,
        stages=deployment.stages,
        predicted=deployment.predicted.tokens_per_second,
    )


def _id(node: str, digest: str) -> str:
    """The name of a deployment that nobody asked for: one for each coordinator and model."""
    return hashlib.sha256(f"{node} {digest}".encode()).hexdigest()[:12]
