"""A loaded model and its place in the pool: plain state, which the pool alone changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct

from ayllu.gotime import FOREVER
from ayllu.models.model import Model
from ayllu.runner import fit
from ayllu.runner.client import RunnerClient
from ayllu.runner.options import LoadOptions, loading_options, parse_options
from ayllu.runner.process import RunnerProcess
from ayllu.runner.slots import Scales, Slots
from ayllu.runner.split import Share
from ayllu.types import Options

LEAST_TOKENS = 8
"""A shorter answer says nothing of the speed."""


class Key(NamedTuple):
    """What makes two requests want the same child; its load options may still differ.

    Models that differ in their texts or adapters alone share one: the `files` are those of the
    weights, `own` is what the models say of loading them. A `digest` is of a model that shares with
    no other.
    """

    files: tuple[Path, ...]
    own: Options
    embedding: bool
    digest: str = ""


def key_of(model: Model, *, embedding: bool, alone: bool) -> Key:
    """The key of a model, to be `alone` or not. Requests for vectors cannot name adapters.

    Raises BadRequestError where the model's own options are none.
    """
    alone = alone or (embedding and bool(model.adapters))
    return Key(
        (model.path, *model.projectors, *model.drafts),
        loading_options(model.params),
        embedding,
        model.digest if alone else "",
    )


class Runner:
    """A loaded model. `size` is its estimated memory in bytes, on all machines of its `share`."""

    def __init__(
        self,
        load: LoadOptions,
        process: RunnerProcess,
        client: RunnerClient,
        size: int,
        share: Share | None = None,
    ) -> None:
        self.load = load
        self.process = process
        self.client = client
        self.slots = Slots(load.parallel)
        self.size = size
        self.share = share
        self.rate = 0.0

    def scales(self, adapters: Mapping[Path, float]) -> Scales:
        """How much of each of its adapters a request wants."""
        if self.load.embedding:
            return ()
        return tuple(adapters.get(path, 0.0) for path in self.load.adapters)

    def note(self, tokens: int, nanoseconds: int) -> None:
        """How long an answer's tokens took; the latest answers count most."""
        if tokens >= LEAST_TOKENS and nanoseconds > 0:
            rate = tokens * 1e9 / nanoseconds
            self.rate = (self.rate + rate) / 2 if self.rate else rate

    async def stop(self) -> None:
        """End the child, close the connections to it, and give back what others hold of it."""
        await self.process.stop()
        await self.client.close()
        if self.share is not None:
            crashed = self.process.hung or not self.process.killed_because
            await self.share.end(crashed=crashed)


class Lease(Struct, frozen=True):
    """The right to one slot of a loaded model. `load_duration` is nanoseconds spent waiting.

    `client` is the one to speak to the model with: it names the model's adapters.
    """

    runner: Runner
    client: RunnerClient
    load_duration: int

    @property
    def context(self) -> int:
        """Tokens that the slot holds."""
        return self.runner.load.context


class LoadedModel(Struct, frozen=True):
    """A row of `ayllu ps`: sizes in bytes, `expires_at` a Unix time (inf where it stays).

    Of models that share an engine, the first one has its size, the others that of their adapters.
    `rate` is in tokens per second of one stream, as measured; 0 before the first answer.
    """

    model: Model
    size: int
    size_vram: int
    expires_at: float
    context_length: int
    share: Share | None = None
    rate: float = 0.0


class Tenant:
    """A model in its place, which it may share with others; `users` are requests for it."""

    def __init__(self, place: Place, model: Model) -> None:
        self.place = place
        self.model = model
        self.users = 0
        self.keep_alive: float | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.expires_at = FOREVER
        self.last_used = time.monotonic()

    def count(self, change: int) -> None:
        """One user more, or one less."""
        self.users += change
        self.place.users += change
        self.last_used = self.place.last_used = time.monotonic()
        if self.place.users:
            self.place.idle.clear()
        else:
            self.place.idle.set()

    def stay(self, seconds: float, expire: Callable[[Tenant], None] | None = None) -> None:
        """How long it stays from now on, which ends in `expire` where it is idle."""
        self.expires_at = time.time() + seconds
        self.cancel_timer()
        if expire is not None and seconds != FOREVER:
            self.timer = asyncio.get_running_loop().call_later(seconds, expire, self)

    def cancel_timer(self) -> None:
        """Nothing ends it for now."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def move_out(self) -> None:
        """It is no more in its place."""
        self.cancel_timer()
        if self.place.tenants.get(self.model.digest) is self:
            del self.place.tenants[self.model.digest]


class Place:
    """The place of an engine in the pool, and of the models that share it, by their digests.

    `model` is the one that it was loaded for. `leaving` keeps newcomers out while the last users
    finish; `idle` is set while there are none.
    """

    def __init__(self, key: Key, model: Model) -> None:
        self.key = key
        self.model = model
        self.tenants: dict[str, Tenant] = {}
        self.runner: Runner | None = None
        self.loading = False
        self.leaving = False
        self.users = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self.last_used = time.monotonic()

    def admit(self, model: Model) -> Tenant:
        """The tenant that a model is, from now on where it was none."""
        tenant = self.tenants.setdefault(model.digest, Tenant(self, model))
        tenant.model = model
        return tenant

    def adapters(self, own: Collection[Path]) -> tuple[Path, ...]:
        """What to load for a model with its `own` ones: those of its latest neighbours, too."""
        latest = sorted(self.tenants.values(), key=lambda one: one.last_used, reverse=True)
        return (*own, *chain.from_iterable(one.model.adapters for one in latest))

    def serves(self, load: LoadOptions, options: Options) -> bool:
        """Whether a request may use the child that is here now."""
        runner = self.runner
        return (
            runner is not None
            and not self.leaving
            and runner.process.alive
            and fit.serves(runner.load, load, options)
        )

    def rows(self, *, gpus: int) -> list[LoadedModel]:
        """What is in memory now; on graphics cards all, where there are some, unless said so."""
        runner = self.runner
        if runner is None or not runner.process.alive:
            return []
        on_gpu = bool(gpus) and runner.load.gpu_layers != 0
        sizes = [fit.file_bytes(one.model.adapters) for one in self.tenants.values()]
        return [
            LoadedModel(
                model=tenant.model,
                size=size,
                size_vram=size if on_gpu else 0,
                expires_at=tenant.expires_at,
                context_length=runner.load.context,
                share=runner.share,
                rate=runner.rate,
            )
            for tenant, size in zip(self.tenants.values(), [runner.size, *sizes[1:]], strict=False)
        ]

    def has_room(self, model: Model, coming: int) -> bool:
        """Whether its child would take one more request at once, where so many are to come."""
        runner = self.runner
        if runner is None or self.leaving or not runner.process.alive:
            return False
        scales = fit.adapter_scales(model, parse_options(model.params))
        return coming < runner.load.parallel and not runner.slots.locked(runner.scales(scales))
