"""The jobs of this machine's user that other machines do: begun there, asked after, brought home.

Which they are lies in a file, so that what comes of them is brought here, too, where this machine
was switched off meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct, structs

from ayllu.cluster.folder import read, write
from ayllu.cluster.node import LocalNode
from ayllu.cluster.peers import PeerGoneError, Peers
from ayllu.cluster.record import Record
from ayllu.cluster.tasks import Tasks
from ayllu.config import Settings
from ayllu.errors import AylluError, NotFoundError, UnsupportedError
from ayllu.models.create import Progress
from ayllu.models.store import Store
from ayllu.tune.helping import bring_base
from ayllu.tune.job import ENDS, Order, State
from ayllu.tune.jobs import FOLDER
from ayllu.tune.program import find_python

FILE = "elsewhere.json"
POLL_SECONDS = 3.0
REMOVE_SECONDS = 15.0
"""How often a machine that cannot be reached is told again to remove a job."""
_CHUNK = 1 << 20
_log = structlog.get_logger(__name__)


class Lent(Struct, frozen=True):
    """A job of another machine; `state` is its latest known, `model` what comes of it.

    `node` is the machine's id, `machine` its name, for when it is away.

    `brought` says that the model is here, or that there will be none, `removed` that nobody wants
    to hear of the job any more, which the machine has still to be told.
    """

    id: str
    node: str
    base: str
    model: str
    state: State = "preparing"
    brought: bool = False
    removed: bool = False
    machine: str = ""


class _Row(Struct, frozen=True):
    """What matters of the job that another machine tells of."""

    id: str
    name: str
    state: State


class _Begun(Struct, frozen=True):
    job: _Row


class Away:
    """All of them. Whoever starts it closes it. `pull` gets a model by its name."""

    def __init__(
        self,
        settings: Settings,
        node: LocalNode,
        store: Store,
        pull: Callable[[str], AsyncGenerator[Progress]],
    ) -> None:
        self._path = settings.home / FOLDER / FILE
        self._torch_python = settings.torch_python
        self._node = node
        self._store = store
        self._pull = pull
        self._jobs: dict[str, Lent] = {}
        self._tasks = Tasks()

    def start(self) -> None:
        """Ask after those of an earlier life, and tell the others whether this machine trains.

        Raises StoreError for a file that is damaged.
        """
        self._tasks.start(self._look())
        for job in read(self._path, list[Lent]) or []:
            self._jobs[job.id] = job
            if job.removed:
                self._tasks.start(self._remove(job))
            elif not job.brought:
                self._tasks.start(self._bring(job.id))

    async def close(self) -> None:
        """Ask no more: the other machines go on."""
        await self._tasks.end()

    def all(self) -> list[Lent]:
        """All of them."""
        return [job for job in self._jobs.values() if not job.removed]

    def get(self, id_: str) -> Lent | None:
        """One by its id, where it is there."""
        job = self._jobs.get(id_)
        return None if job is None or job.removed else job

    def peers(self) -> Peers:
        """The way to the other machines. Raises PeerGoneError where there is none."""
        if self._node.peers is None:
            raise PeerGoneError("this machine has left the ayllu")
        return self._node.peers

    async def begin(self, record: Record, order: Order, base: str) -> Lent:
        """Have a machine do a job whose `base` is a manifest's digest.

        It gets the data and the model first. Raises an AylluError in the machine's own words.
        """
        peers = self.peers()
        await bring_base(peers, record, order.model, base)
        for digest in dict.fromkeys(order.data.values()):
            await self._send(peers, record.node, digest)
        wanted = {**structs.asdict(order), "digest": base}
        begun = await peers.tell(record.node, "POST", "/api/tune", _Begun, wanted=wanted)
        job = Lent(
            id=begun.job.id,
            node=record.node,
            base=order.model,
            model=begun.job.name,
            state=begun.job.state,
            machine=record.name,
        )
        self._keep(job)
        self._tasks.start(self._bring(job.id))
        return job

    def forget(self, id_: str) -> None:
        """A job is none any more. Raises StoreError."""
        if self._jobs.pop(id_, None) is not None:
            self._save()

    def remove(self, id_: str) -> None:
        """A job is none any more here, and there as soon as its machine is. Raises StoreError."""
        if (job := self.get(id_)) is not None:
            job = structs.replace(job, removed=True)
            self._keep(job)
            self._tasks.start(self._remove(job))

    def resumed(self, id_: str) -> None:
        """A job goes on, and what comes of it is wanted again. Raises StoreError."""
        job = self._jobs[id_]
        if job.brought:
            self._keep(structs.replace(job, brought=False, state="waiting"))
            self._tasks.start(self._bring(id_))

    async def _look(self) -> None:
        with suppress(UnsupportedError):
            await find_python(self._torch_python)
            self._node.own.change(trains=True)

    async def _send(self, peers: Peers, node: str, digest: str) -> None:
        """Give a machine a file of the data, where it has it not."""
        path = f"/api/blobs/{digest}"
        if await peers.status(node, "HEAD", path) == 200:
            return
        file = self._store.blob_path(digest)
        status = await peers.status(node, "POST", path, body=_pieces(file))
        if status not in {200, 201}:
            raise PeerGoneError(f"the machine takes no data (status {status})")

    async def _bring(self, id_: str) -> None:
        """Ask after a job until it is over, and get what came of it."""
        while (job := self.get(id_)) is not None and not job.brought:
            try:
                path = f"/api/tune/{id_}"
                row = await self.peers().tell(job.node, "GET", path, _Row)
                if row.state == "done":
                    async with aclosing(self._pull(row.name)) as lines:
                        async for _ in lines:
                            pass
                if row.state != job.state or row.state in ENDS:
                    self._tell(job, row.state)
            except NotFoundError:
                self._tell(job, "failed")
            except AylluError as error:
                _log.debug("a job elsewhere cannot be asked after", job=id_, why=error.sentence)
            await asyncio.sleep(POLL_SECONDS)

    def _tell(self, job: Lent, state: State) -> None:
        """A job has a new state, if it was not removed meanwhile. Raises StoreError."""
        if self.get(job.id) is job:
            self._keep(structs.replace(job, state=state, brought=state in ENDS))

    async def _remove(self, job: Lent) -> None:
        """Tell a job's machine that it is not wanted, until it has heard it."""
        while True:
            with suppress(PeerGoneError):
                status = await self.peers().status(job.node, "DELETE", f"/api/tune/{job.id}")
                if status in {200, 404}:
                    self.forget(job.id)
                    return
            await asyncio.sleep(REMOVE_SECONDS)

    def _keep(self, job: Lent) -> None:
        self._jobs[job.id] = job
        self._save()

    def _save(self) -> None:
        write(self._path, msgspec.json.encode(list(self._jobs.values())))


async def _pieces(path: Path) -> AsyncGenerator[bytes]:
    with path.open("rb") as file:
        while data := await asyncio.to_thread(file.read, _CHUNK):
            yield data
