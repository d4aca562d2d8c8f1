"""Other machines' help with a training of this one: asked for, held, and told to the training.

The training itself sees whether that is faster (`trainer/team.py`), and goes on while this server
is gone: the next one asks anew.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

import structlog
from msgspec import structs

from ayllu.cluster.node import LocalNode
from ayllu.cluster.peers import Peers
from ayllu.cluster.record import Record
from ayllu.cluster.tasks import Tasks
from ayllu.deploy.remote import Held, ask
from ayllu.errors import AylluError
from ayllu.models.create import Progress
from ayllu.trainer import spec
from ayllu.trainer.spec import Helper, Helpers, Settings
from ayllu.tune.job import Folder, Job
from ayllu.tune.lending import HelpRequest

PATH = "/api/cluster/helpers"
LOOK_SECONDS = 1.0
AGAIN_SECONDS, MOST_SECONDS = 5.0, 300.0
"""How soon a machine that could not help is asked again; each time later."""
MOST = 8
"""Machines that help with one training."""
_log = structlog.get_logger(__name__)


class Helping:
    """All such help."""

    def __init__(self, node: LocalNode) -> None:
        self._node = node

    @asynccontextmanager
    async def while_training(self, job: Job, folder: Folder) -> AsyncIterator[None]:
        """Have others help for the time of a block, where the job's order wants that."""
        if not job.order.data_parallel:
            yield
            return
        gathered = _Gathered(self._node, job, folder)
        try:
            gathered.start()
            yield
        finally:
            await gathered.close()


class _Gathered:
    """The machines that help with one training. Whoever makes one closes it."""

    def __init__(self, node: LocalNode, job: Job, folder: Folder) -> None:
        self._node = node
        self._job = job
        self._folder = folder
        self._tasks = Tasks()
        self._asked: set[str] = set()
        self._pauses: dict[str, tuple[float, float]] = {}
        """How long each machine was left alone the last time, and until when it is."""
        self._helpers: dict[str, Helper] = {}

    def start(self) -> None:
        """Look for machines from now on."""
        self._tasks.start(self._look())

    async def close(self) -> None:
        """Give all of them back."""
        await self._tasks.end()
        with suppress(AylluError):
            self._folder.clear(spec.HELPERS)

    async def _look(self) -> None:
        self._write()
        while True:
            for record in self._node.records()[1:]:
                if len(self._asked) < MOST and self._may(record):
                    self._asked.add(record.node)
                    self._tasks.start(self._keep(record))
            await asyncio.sleep(LOOK_SECONDS)

    def _may(self, record: Record) -> bool:
        """Whether a machine could help now."""
        if not record.trains or record.training or not record.contribute.enabled:
            return False
        if record.node in self._asked or record.load.ram_free < self._job.needs:
            return False
        told = self._folder.parallel
        _, until = self._pauses.get(record.node, (0.0, 0.0))
        return time.monotonic() > until and (told is None or record.name not in told.aside)

    async def _keep(self, record: Record) -> None:
        """Have a machine help until it does no more."""
        began = time.monotonic()
        try:
            await self._help(record)
        except AylluError as error:
            _log.info("no help with a training", node=record.name, reason=error.sentence)
        finally:
            self._asked.discard(record.node)
            pause, _ = self._pauses.get(record.node, (0.0, 0.0))
            lasted = time.monotonic() - began > MOST_SECONDS
            pause = AGAIN_SECONDS if lasted or not pause else min(2 * pause, MOST_SECONDS)
            self._pauses[record.node] = pause, time.monotonic() + pause

    async def _help(self, record: Record) -> None:
        """Raises AylluError where the machine does not help, or no more."""
        peers, tunnel = self._node.peers, self._node.tunnel
        if peers is None or tunnel is None:
            return
        job = self._job
        await bring_base(peers, record, job.order.model, job.digest)
        key = secrets.token_hex(16)
        lease = await ask(peers, record.node, PATH, self._request(key), lambda _: None)
        held = Held(record.node, record.name, lease, tunnel)
        lost = asyncio.Event()
        held.on_loss(lambda _: lost.set())
        try:
            await held.open()
            port = int(held.endpoint.rpartition(":")[2])
            self._helpers[record.node] = Helper(record.name, port, key)
            self._write()
            _log.info("a machine helps with a training", node=record.name, job=job.id)
            await lost.wait()
            _log.info("a machine helps no more", job=job.id, reason=held.lost)
        finally:
            if self._helpers.pop(record.node, None) is not None:
                with suppress(AylluError):
                    self._write()
            await held.close()

    def _request(self, key: str) -> HelpRequest:
        work, measured = self._folder.work, self._folder.measured
        assert work is not None  # noqa: S101 - it is in training
        assert measured is not None  # noqa: S101 - the same
        settings: Settings = structs.replace(work.settings, dtype=measured.dtype)
        return HelpRequest(
            deployment=f"tune-{self._job.id}",
            fence=time.time_ns(),
            model=self._job.order.model,
            digest=self._job.digest,
            settings=settings,
            threads=1 if measured.threads == 1 < work.threads else 0,
            room=max(self._job.needs, measured.peak),
            key=key,
        )

    def _write(self) -> None:
        """Tell the training. Raises StoreError."""
        self._folder.put(spec.HELPERS, Helpers(tuple(self._helpers.values())))


async def bring_base(peers: Peers, record: Record, model: str, digest: str) -> None:
    """Have a machine get a model from its neighbours, where it has not that of the digest.

    Raises an AylluError in the machine's own words.
    """
    if all(held.digest != digest for held in record.models):
        steps = peers.steps(record.node, "/api/pull", {"model": model}, Progress)
        async with aclosing(steps):
            async for _ in steps:
                pass
