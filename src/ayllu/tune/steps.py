"""What a job does: its data taken and prepared, its memory checked, its result made a model."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from pathlib import Path

from msgspec import Struct, structs

from ayllu.config import Settings as Config
from ayllu.errors import BadRequestError, NotFoundError
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.gguf.quantize import parse_quantization
from ayllu.gguf.tool import Step
from ayllu.gguf.trainable import untrainable
from ayllu.models.files import using
from ayllu.models.model import Model, open_model
from ayllu.models.name import parse_name, short_name
from ayllu.models.store import Store
from ayllu.models.tools import Tools, check_form
from ayllu.runner.pool import Pool
from ayllu.system import memory, usable_cores
from ayllu.trainer import spec
from ayllu.trainer.spec import Measured, Settings, Work
from ayllu.tune import program
from ayllu.tune.data import Data, read
from ayllu.tune.defaults import settle, steps_of
from ayllu.tune.job import BASE, DATA, PREPARED, Folder, Job, Order, find_data
from ayllu.tune.memory import estimate
from ayllu.tune.placing import ADAPTER, FULL, Task
from ayllu.tune.prepare import Prepared, choose_context, prepare
from ayllu.tune.result import Result, publish
from ayllu.values import human_bytes

EPOCHS, TOKEN_BYTES, WEIGHT_BYTES = 3, 4, 8
"""What a job is taken for when machines are compared, before its data is read: passes over it,
bytes to a token, and bytes of memory to a parameter."""
_UNPACKED = "unpacked"


class Base(Struct, frozen=True):
    """The model that is trained; `digest` is its manifest's."""

    digest: str
    architecture: str


class Preview(Struct, frozen=True, kw_only=True):
    """What a training would be: `seconds` as some steps were measured, `needs` in bytes.

    `free` is the memory that could be had now; where that is too little, `problem` says so and
    nothing is `measured`.
    """

    order: Order
    prepared: Prepared
    settings: Settings
    steps: int
    needs: int
    free: int
    measured: Measured | None = None
    seconds: float = 0.0
    problem: str = ""


class Steps:
    """The steps of all jobs, with what they need of the server."""

    def __init__(self, config: Config, store: Store, pool: Pool, tools: Tools) -> None:
        self._config = config
        self._store = store
        self._pool = pool
        self._tools = tools

    def take(self, order: Order, folder: Folder) -> Base:
        """Give a job what nobody may take from it: the base's weights and the data.

        Raises NotFoundError and BadRequestError for what is not there or cannot be trained.
        """
        _check(order)
        model = self.model(order)
        for name, blob in find_data(self._store, order.data).items():
            folder.keep(f"{DATA}/{name}", blob, copies=True)
        folder.keep(BASE, model.path, copies=False)
        return Base(model.digest, arch.architecture(cached_header(model.path)))

    async def check(self, order: Order, folder: Folder, *, base: str = "") -> None:
        """Raise what can be said at once: no PyTorch, data that nothing can be learned from.

        `base` is the digest of the manifest that the base has to have, where it has to be that one.
        """
        model = self.model(order)
        if base not in {"", model.digest}:
            raise BadRequestError(f"another model has the name {order.model} here")
        choose_context(model, order.context)
        await program.find_python(self._config.torch_python)
        await self._read(order, folder)

    def named(self, order: Order, taken: Collection[str]) -> Order:
        """The order with a name for what comes of it: its own, else one that nothing has yet.

        `taken` are those that other jobs will give. Raises BadRequestError for one that is not
        free.
        """
        if order.name:
            name = parse_name(order.name)
            if short_name(name) in taken:
                raise BadRequestError(f"another job makes {short_name(name)}: give another name")
            if self._store.find(name) is not None:
                raise BadRequestError(
                    f"there is a model {short_name(name)} already: give another name, or "
                    f"`ayllu rm {short_name(name)}` first"
                )
            return structs.replace(order, name=short_name(name))
        plain = f"{parse_name(order.model).model.lower()}-tuned"
        found, count = parse_name(plain), 1
        while short_name(found) in taken or self._store.find(found) is not None:
            count += 1
            found = parse_name(f"{plain}-{count}")
        return structs.replace(order, name=short_name(found))

    async def prepare(self, order: Order, folder: Folder) -> AsyncGenerator[tuple[str, Step]]:
        """Make `examples.npz`, `prepared.json` and `work.json` of the data."""
        model = await asyncio.to_thread(self.model, order)
        data = await self._read(order, folder)
        made = None
        steps = prepare(
            self._pool,
            model,
            data,
            order.settings,
            folder.path,
            system=order.system,
            strict=order.strict,
        )
        async with aclosing(steps):
            async for step in steps:
                if isinstance(step, Prepared):
                    made = step
                else:
                    yield "preparing examples", step
        assert made is not None  # noqa: S101 - it comes last
        folder.put(PREPARED, made)
        own = folder.path / BASE
        weights = own if own.exists() else model.path
        header = cached_header(weights)
        work = Work(
            model=str(weights),
            architecture=arch.architecture(header),
            settings=settle(order.settings, header, made),
            threads=usable_cores(),
            room=self._free(),
        )
        folder.put(spec.WORK, work)
        await asyncio.to_thread(shutil.rmtree, folder.path / _UNPACKED, ignore_errors=True)

    async def measure(self, folder: Folder) -> Measured:
        """Have some steps measured. Raises BadRequestError where there is too little memory."""
        python = await self.ready(folder)
        measured = await program.measure(python, folder)
        self._check_memory(measured.peak, "as was measured", _work(folder))
        return measured

    async def ready(self, folder: Folder) -> Path:
        """The Python that trains, once there is memory for it: models are unloaded for it.

        Raises BadRequestError where it would be too little without any, too.
        """
        python = await program.find_python(self._config.torch_python)
        work, needs = _work(folder), self.needs(folder)
        self._check_memory(needs, "by the estimate", work)
        for row in reversed(self._pool.loaded()):
            if memory().available >= needs:
                break
            await self._pool.unload(row.model.digest)
        folder.put(spec.WORK, structs.replace(work, room=self._free()))
        return python

    def needs(self, folder: Folder) -> int:
        """How many bytes of memory a training takes, by the estimate."""
        prepared = folder.prepared
        assert prepared is not None  # noqa: S101 - it is written before
        work = _work(folder)
        return estimate(work.settings, cached_header(Path(work.model)), prepared)

    def task(self, order: Order) -> Task:
        """What an order would take of a machine, by the size of its data."""
        model = self.model(order)
        header = cached_header(model.path)
        data = sum(self._store.blob_path(one).stat().st_size for one in order.data.values())
        count = arch.parameter_count(header)
        return Task(
            digest=model.digest,
            size=model.path.stat().st_size,
            parameters=count,
            tokens=round((order.epochs or EPOCHS) * data / TOKEN_BYTES),
            data=data,
            needs=WEIGHT_BYTES * count,
            operations=FULL if order.method == "full" else ADAPTER,
        )

    async def preview(self, order: Order, folder: Folder) -> Preview:
        """What a training would be, told by its first steps."""
        async with aclosing(self.prepare(order, folder)) as steps:
            async for _ in steps:
                pass
        prepared, settings, needs = folder.prepared, _work(folder).settings, self.needs(folder)
        assert prepared is not None  # noqa: S101 - it was written just now
        seen = Preview(
            order=order,
            prepared=prepared,
            settings=settings,
            steps=steps_of(settings, prepared),
            needs=needs,
            free=self._free(),
        )
        try:
            measured = await self.measure(folder)
        except BadRequestError as error:
            return structs.replace(seen, problem=error.sentence)
        return structs.replace(seen, measured=measured, seconds=_seconds(seen, measured))

    async def finish(self, job: Job, folder: Folder) -> AsyncGenerator[tuple[str, Step]]:
        """Make a model of what was trained."""
        order, prepared = job.order, folder.prepared
        assert prepared is not None  # noqa: S101 - it was trained on
        if await asyncio.to_thread(self._store.find, parse_name(order.model)) is None:
            raise NotFoundError(
                f"{order.model} was removed while it was trained: get it back, and then "
                f"`ayllu tune resume {job.id}` makes {order.name} of it"
            )
        result = Result(
            folder=folder.path,
            base=parse_name(order.model),
            base_digest=job.digest,
            data=order.data,
            prepared=prepared,
            system=order.system,
            merge=order.merge,
            quantize=order.quantize,
        )
        made = publish(
            self._store,
            parse_name(order.name),
            result,
            tools=self._tools,
            torch_python=self._config.torch_python,
        )
        async with aclosing(made) as lines:
            async for line in lines:
                yield line.status, Step(line.completed, line.total)

    def model(self, order: Order) -> Model:
        """The base. Raises NotFoundError, and BadRequestError where it cannot be trained."""
        try:
            model = open_model(self._store, parse_name(order.model))
        except NotFoundError as error:
            raise NotFoundError(f"model '{order.model}' not found") from error
        check_form(model.path)
        if why := untrainable(cached_header(model.path)):
            raise BadRequestError(f"{order.model} cannot be tuned: {why}")
        return model

    async def _read(self, order: Order, folder: Folder) -> Data:
        unpacked = folder.path / _UNPACKED
        with using(folder.path):
            await asyncio.to_thread(unpacked.mkdir, exist_ok=True)
        python = self._config.torch_python
        return await read(folder.data(order), unpacked, strict=order.strict, python=python)

    def _free(self) -> int:
        """Bytes that a training could have: what is free, and what loaded models would free."""
        return memory().available + self._pool.held

    def _check_memory(self, needs: int, how: str, work: Work) -> None:
        """Raises BadRequestError where there is too little memory."""
        free = self._free()
        if needs > free:
            raise BadRequestError(
                f"this training takes {human_bytes(needs)} of memory {how}, and "
                f"{human_bytes(free)} are free: {_remedy(work)}"
            )


def _check(order: Order) -> None:
    """Raises BadRequestError for what no base and no data could make right."""
    if order.name:
        parse_name(order.name)
    if order.method == "full" and (order.dora or order.rslora):
        raise BadRequestError("dora and rslora are of adapters, and full trains all weights")
    if order.quantize:
        parse_quantization(order.quantize)
        if not (order.merge or order.dora or order.method == "full"):
            raise BadRequestError("an adapter is not quantized: give a type with `merge` only")
    if not order.data:
        raise BadRequestError("data is required: files to train on, by their digests")


def _work(folder: Folder) -> Work:
    work = folder.work
    assert work is not None  # noqa: S101 - it is written with the examples
    return work


def _seconds(seen: Preview, measured: Measured) -> float:
    """How long all steps take, and the evaluations among them."""
    every = seen.settings.evaluate_every
    evaluations = seen.steps // every if every else 0
    return seen.steps * measured.seconds_per_step + evaluations * measured.evaluation_seconds


def _remedy(work: Work) -> str:
    """What would take less."""
    settings = work.settings
    if settings.method == "full":
        return "train an adapter in place of all weights (--method lora), or a smaller model"
    if settings.batch > 1:
        return f"take fewer examples at once (--batch {settings.batch // 2}), or a smaller model"
    if not settings.gradient_checkpointing:
        return "compute more and keep less (--gradient-checkpointing), or take a smaller model"
    return (
        f"cut the examples shorter than {settings.context} tokens (--context), or take a smaller "
        "model"
    )
