"""The jobs of this machine: made, followed, ended and resumed; one trains at a time.

What a job is lies in its folder, so a server that starts goes on where the last one stopped: the
step it was in is done again, and a training that still runs is followed.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import ExitStack, aclosing
from pathlib import Path

import structlog
from msgspec import Struct, structs

from ayllu.errors import AylluError, BadRequestError, BusyError, NotFoundError, StoreError
from ayllu.gguf.tool import Step
from ayllu.models.files import locked, make_folder, using
from ayllu.trainer import spec
from ayllu.tune import program
from ayllu.tune.helping import Helping
from ayllu.tune.job import JOB, Folder, Job, Order, State
from ayllu.tune.placing import Task
from ayllu.tune.steps import Preview, Steps

FOLDER = "tune"
MOST_STARTS = 3
"""How often a training that dies is started without having written a checkpoint since."""
_SECONDS = 0.3
_log = structlog.get_logger(__name__)


class Doing(Struct, frozen=True, omit_defaults=True):
    """What a job does now, beside its state; `total` is 0 where there is no measure."""

    status: str = ""
    completed: int = 0
    total: int = 0


class Jobs:
    """All jobs below a home folder. Whoever starts them closes them; trainings go on then."""

    def __init__(
        self,
        home: Path,
        steps: Steps,
        helping: Helping,
        *,
        on_model: Callable[[], None],
        on_count: Callable[[int], object],
    ) -> None:
        """Have `on_model` called when a job has become a model, `on_count` with the open ones."""
        self._on_count = on_count
        self._root = home / FOLDER
        self._steps = steps
        self._helping = helping
        self._on_model = on_model
        self._jobs: dict[str, Job] = {}
        self._doing: dict[str, Doing] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Lock()
        self._naming = asyncio.Lock()
        self._listeners: set[asyncio.Event] = set()
        self._lock = ExitStack()
        self._is_ours = False

    def start(self) -> None:
        """Go on with what is not over, trainings first; another server of this home may do so."""
        if self._root.is_dir():
            try:
                self._take()
            except StoreError as error:
                _log.warning("jobs of fine-tuning are left alone", reason=error.sentence)

    def _load(self) -> None:
        """Read the jobs that are there, and go on with them; what never became one goes."""
        folders = [Folder(path) for path in self._root.iterdir() if path.is_dir()]
        for folder in folders:
            if not (folder.path / JOB).exists():
                shutil.rmtree(folder.path, ignore_errors=True)
        jobs = [job for folder in folders if (job := folder.job) is not None]
        for job in sorted(jobs, key=lambda job: (job.state != "training", job.created_at)):
            self._jobs[job.id] = job
            if not job.is_over:
                self._begin(job)
        self._tell()

    async def close(self) -> None:
        """Follow nothing any more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._lock.close()

    def all(self) -> list[Job]:
        """All jobs, the newest first."""
        return sorted(self._jobs.values(), key=lambda job: -job.created_at)

    def get(self, id_: str) -> Job | None:
        """A job by its id, where there is one."""
        return self._jobs.get(id_)

    def find(self, id_: str) -> Job:
        """The same. Raises NotFoundError."""
        job = self.get(id_)
        if job is None:
            raise NotFoundError(f"there is no job {id_!r}: `ayllu tune list` shows those there are")
        return job

    def folder(self, job: Job) -> Folder:
        """Where a job lies."""
        return Folder(self._root / job.id)

    def doing(self, job: Job) -> Doing:
        """What a job does now."""
        return self._doing.get(job.id, Doing())

    def task(self, order: Order) -> Task:
        """What an order would take of a machine. Raises as `create` does."""
        return self._steps.task(order)

    async def named(self, order: Order, taken: Collection[str] = ()) -> Order:
        """The order with a name for what comes of it, which nothing else has or will have.

        `taken` are those that jobs elsewhere will give. Raises as `create` does.
        """
        under_way = {job.order.name for job in self._jobs.values() if not job.is_over}
        return await asyncio.to_thread(self._steps.named, order, {*under_way, *taken})

    async def preview(self, order: Order) -> Preview:
        """What an order would train on, what it takes and how long. Leaves nothing.

        Raises as `create` does.
        """
        self._claim()
        folder = Folder(self._root / f"preview-{secrets.token_hex(4)}")
        try:
            await asyncio.to_thread(self._steps.take, order, folder)
            await self._steps.check(order, folder)
            return await self._steps.preview(await self.named(order), folder)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder.path, ignore_errors=True)

    async def create(self, order: Order, *, digest: str = "", origin: str = "") -> Job:
        """Begin a job, of the machine `origin`. Raises an AylluError where it could not be.

        Then there is none. `digest` is that of the base's manifest, where it has to be that one.
        """
        self._claim()
        id_ = secrets.token_hex(4)
        folder = Folder(self._root / id_)
        try:
            base = await asyncio.to_thread(self._steps.take, order, folder)
            await self._steps.check(order, folder, base=digest)
            async with self._naming:
                job = Job(
                    id=id_,
                    order=await self.named(order),
                    digest=base.digest,
                    architecture=base.architecture,
                    state="preparing",
                    created_at=time.time(),
                    origin=origin,
                )
                await asyncio.to_thread(folder.put, JOB, job)
                self._jobs[id_] = job
        except BaseException:
            await asyncio.to_thread(shutil.rmtree, folder.path, ignore_errors=True)
            raise
        self._begin(job)
        return job

    async def cancel(self, id_: str) -> Job:
        """End a job; what it has written stays, so that it can be resumed.

        Raises NotFoundError, and BadRequestError where it is over.
        """
        job = self.find(id_)
        await self._stop(job)
        job = self.find(id_)
        if job.is_over:
            raise BadRequestError(f"job {id_} is {job.state}: there is nothing to cancel")
        return self._change(job, state="cancelled", ended_at=time.time())

    async def resume(self, id_: str) -> Job:
        """Go on with a job that was cancelled or has failed, from its last checkpoint.

        Raises NotFoundError, and BadRequestError where it is not one of those, or its model's name
        was given to another.
        """
        self._claim()
        async with self._naming:
            job = self.find(id_)
            if job.state not in {"cancelled", "failed"}:
                raise BadRequestError(
                    f"job {id_} is {job.state}: only one that was cancelled or has failed is "
                    "resumed"
                )
            await self.named(job.order)
            folder = self.folder(job)
            ended = folder.ended
            state: State = "preparing"
            if ended is not None and ended.outcome == "done":
                state = "finishing"
            elif folder.work is not None:
                state = "waiting"
                await asyncio.to_thread(folder.clear, spec.ENDED)
            job = self._change(job, state=state, error="", ended_at=0.0, starts=0)
            self._begin(job)
            return job

    async def delete(self, id_: str) -> Job:
        """Remove a job and its folder; one that runs is cancelled first. Raises NotFoundError."""
        job = self.find(id_)
        await self._stop(job)
        job = self.find(id_)
        if not job.is_over:
            job = self._change(job, state="cancelled", ended_at=time.time())
        await asyncio.to_thread(self.folder(job).remove)
        self._jobs.pop(id_, None)
        self._tell()
        return job

    async def changes(self) -> AsyncGenerator[None]:
        """Something may have changed: now, after each change, and every now and then."""
        changed = asyncio.Event()
        self._listeners.add(changed)
        try:
            while True:
                yield
                try:
                    async with asyncio.timeout(_SECONDS):
                        await changed.wait()
                except TimeoutError:
                    continue
                changed.clear()
        finally:
            self._listeners.discard(changed)

    def _take(self) -> bool:
        """Whether the folder is ours, and of no other server that runs."""
        if not self._is_ours:
            with using(self._root):
                lock = locked(self._root / ".lock", exclusive=True)
                self._is_ours = self._lock.enter_context(lock)
            if self._is_ours:
                self._load()
            else:
                self._lock.close()
                _log.warning("another server of this home folder trains", folder=str(self._root))
        return self._is_ours

    def _claim(self) -> None:
        """Have the folder for ourselves. Raises BusyError where another server has it."""
        with using(self._root):
            make_folder(self._root)
        if not self._take():
            raise BusyError(f"another server trains in {self._root}: ask that one")

    def _begin(self, job: Job) -> None:
        task = asyncio.create_task(self._run(job))
        self._tasks[job.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(job.id, None))

    async def _stop(self, job: Job) -> None:
        """End what is done for a job, its training included."""
        if (task := self._tasks.get(job.id)) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await program.end(self.folder(job))

    async def _run(self, job: Job) -> None:
        """Take a job through the states that are left, and say how it ended."""
        try:
            job = await self._work(job)
            job = self._change(job, state="done", ended_at=time.time())
        except AylluError as error:
            self._fail(job, error.sentence)
        except Exception:  # noqa: BLE001 - a bug ends the job, and not in silence
            _log.exception("a job of fine-tuning broke", job=job.id)
            self._fail(job, "internal error: see the server's log")
        finally:
            self._doing.pop(job.id, None)
            self._tell()

    def _fail(self, job: Job, why: str) -> None:
        """Say that a job has failed, also on a full disk: the next server finds that out anew."""
        failed = structs.replace(
            self._jobs[job.id], state="failed", error=why, ended_at=time.time()
        )
        self._jobs[job.id] = failed
        try:
            self._change(failed)
        except AylluError as error:
            _log.error("a job's end could not be written", job=job.id, reason=error.sentence)

    async def _work(self, job: Job) -> Job:
        folder = self.folder(job)
        if job.state == "preparing":
            await self._follow(job, self._steps.prepare(job.order, folder))
            job = self._change(job, state="waiting", needs=self._steps.needs(folder))
        async with self._turn:
            if job.state in {"waiting", "measuring"}:
                job = self._change(job, state="measuring")
                await self._steps.measure(folder)
                job = self._change(job, state="training", started_at=time.time())
            if job.state == "training":
                async with self._helping.while_training(job, folder):
                    job = await self._train(job, folder)
                job = self._change(job, state="finishing")
            await self._follow(job, self._steps.finish(job, folder))
            self._on_model()
            await asyncio.to_thread(folder.slim)
            return job

    async def _follow(self, job: Job, steps: AsyncGenerator[tuple[str, Step]]) -> None:
        async with aclosing(steps):
            async for status, step in steps:
                self._doing[job.id] = Doing(status, step.completed, step.total)
                self._tell()
        self._doing.pop(job.id, None)

    async def _train(self, job: Job, folder: Folder) -> Job:
        """Have the program train until it says how that ended, whoever started it."""
        while True:
            process = await asyncio.to_thread(program.find, folder)
            if process is not None:
                await program.wait(process)
            elif (ended := folder.ended) is not None:
                if ended.outcome == "done":
                    return job
                raise BadRequestError(ended.error or "the training was ended from outside")
            else:
                job = await self._start(job, folder)

    async def _start(self, job: Job, folder: Folder) -> Job:
        """Start the program, from the last checkpoint where there is one.

        Raises BadRequestError where it died too often without writing another.
        """
        checkpoint = folder.checkpoint
        starts = job.starts + 1 if checkpoint == job.checkpoint else 1
        if starts > MOST_STARTS:
            words = program.last_words(folder)
            raise BadRequestError(
                f"the training ended {MOST_STARTS} times without a word, most likely because "
                f"memory ran out{f'; the last line of its log: {words}' if words else ''}"
            )
        job = self._change(job, starts=starts, checkpoint=checkpoint)
        python = await self._steps.ready(folder)
        program.start(python, folder)  # not in a thread: whoever cancels has to find it
        return job

    def _change(self, job: Job, **fields: object) -> Job:
        """Write a job's new state, in one go with all others, and tell those who watch."""
        job = structs.replace(job, **fields)
        self.folder(job).put(JOB, job)
        self._jobs[job.id] = job
        self._tell()
        return job

    def _tell(self) -> None:
        self._on_count(sum(not job.is_over for job in self._jobs.values()))
        for listener in self._listeners:
            listener.set()
