"""One model on several machines, as the pool and `ayllu ps` see it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from ayllu.cluster.record import Stage
from ayllu.deploy.backend import Backend, Job, PartLostError
from ayllu.deploy.types import Candidate
from ayllu.runner.options import LoadOptions

LOSS_SECONDS = 2.0
"""A dead worker ends the child at once; that its machine is gone is known within this time."""


class Deployment:
    """A placement at work: the share of a child that runs here. Whoever got it ends it.

    `on_loss` hears of the first part that is lost, `on_end` of the end. `replays` counts how often
    the model was placed anew because a part was lost.
    """

    def __init__(
        self,
        job: Job,
        backend: Backend,
        load: LoadOptions,
        predicted: Candidate,
        on_loss: Callable[[PartLostError, Deployment], None],
        on_end: Callable[[Deployment], None],
        replays: int = 0,
    ) -> None:
        self.job = job
        self.load = load
        self.predicted = predicted
        self.replays = replays
        self._backend = backend
        self.ended = asyncio.Event()
        self._lost = asyncio.Event()
        self._is_over = False
        self._on_loss, self._on_end = on_loss, on_end
        backend.watch(self._note)

    @property
    def size(self) -> int:
        """Bytes that the model takes on this machine."""
        return self.job.stages[0].size

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Where each layer is, this machine's first."""
        return tuple(self._backend.places())

    @property
    def lost(self) -> str:
        """Which part was lost, in a sentence; empty while all are there."""
        problem = self._backend.health()
        return problem.sentence if problem is not None else ""

    def watch(self, on_loss: Callable[[str], object]) -> None:
        """Be told, once and in a sentence, when a part is lost: also where it was lost before."""
        self._backend.watch(lambda problem: on_loss(problem.sentence))

    async def end(self, *, crashed: bool) -> None:
        """Give the parts back. Where the child crashed it is waited for who was lost."""
        if crashed:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOSS_SECONDS):
                    await self._lost.wait()
        self._is_over = True
        await self._backend.stop()
        if not self.ended.is_set():
            self.ended.set()
            self._on_end(self)

    def _note(self, problem: PartLostError) -> None:
        self._lost.set()
        if not self._is_over:
            self._on_loss(problem, self)
