"""Runs a model on several machines by llama.cpp's RPC: the first way to do it (`backend.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from msgspec import structs

from ayllu.cluster.record import Stage
from ayllu.deploy.backend import Job, PartLostError
from ayllu.deploy.remote import Reach, Remote, take
from ayllu.deploy.worker_request import WorkerLine, WorkerRequest
from ayllu.models.name import full_name
from ayllu.runner.engine import Engine
from ayllu.runner.options import LoadOptions, Worker


class RpcBackend:
    """An RPC worker on each machine but the first one. `names` are the machines' for people."""

    def __init__(self, reach: Reach, engine: Engine, job: Job, names: Mapping[str, str]) -> None:
        self._reach = reach
        self._engine = engine
        self._job = job
        self._names = names
        self._remotes: dict[str, Remote] = {}
        self._lost: PartLostError | None = None
        self._watchers: list[Callable[[PartLostError], object]] = []

    async def prepare(self) -> AsyncIterator[str]:
        """Take a worker on every machine, on all at once. Raises PartLostError."""
        lines: asyncio.Queue[str | None] = asyncio.Queue()
        tasks = [asyncio.create_task(self._take(one, lines)) for one in self._job.stages[1:]]
        gathered = asyncio.gather(*tasks)
        gathered.add_done_callback(lambda _: lines.put_nowait(None))
        try:
            while (line := await lines.get()) is not None:
                yield line
            await gathered
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, gathered, return_exceptions=True)

    async def start(self) -> LoadOptions:
        """What the engine of this machine is started with. Raises PartLostError."""
        if self._lost is not None:
            raise self._lost
        workers = (
            Worker(self._remotes[stage.node].endpoint, stage.layers)
            for stage in self._job.stages[1:]
        )
        return structs.replace(self._job.load, workers=tuple(workers))

    def health(self) -> PartLostError | None:
        """What was lost first; None while all parts are there."""
        return self._lost

    def watch(self, on_loss: Callable[[PartLostError], object]) -> None:
        """Be told once, when the first part is lost: also where it was lost before."""
        if self._lost is not None:
            on_loss(self._lost)
        else:
            self._watchers.append(on_loss)

    def places(self) -> Sequence[Stage]:
        """Where each layer is, this machine's first."""
        return self._job.stages

    async def stop(self) -> None:
        """Give all parts back. Safe to call twice."""
        self._watchers.clear()
        await asyncio.gather(*(remote.close() for remote in self._remotes.values()))

    async def _take(self, stage: Stage, lines: asyncio.Queue[str | None]) -> None:
        name = self._names.get(stage.node, stage.node)

        def tell(step: WorkerLine) -> None:
            lines.put_nowait(f"{name}: {step.status}")

        model = self._job.model
        assert model.blob is not None  # noqa: S101 - a model of the store has one
        wanted = WorkerRequest(
            deployment=self._job.deployment,
            fence=self._job.fence,
            model=full_name(model.name),
            digest=model.blob.digest,
            size=model.blob.size,
            first=stage.first,
            layers=stage.layers,
            room=stage.size,
        )
        remote = await take(self._reach, self._engine, stage.node, name, wanted, tell)
        self._remotes[stage.node] = remote
        remote.on_loss(lambda why: self._lose(PartLostError(stage.node, why)))

    def _lose(self, problem: PartLostError) -> None:
        if self._lost is None:
            self._lost = problem
            watchers, self._watchers = self._watchers, []
            for tell in watchers:
                tell(problem)
