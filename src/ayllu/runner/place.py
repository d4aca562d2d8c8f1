"""A loaded model and its place in the pool: plain state, which the pool alone changes."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from msgspec import Struct

from ayllu.gotime import FOREVER
from ayllu.models.model import Model
from ayllu.runner import fit
from ayllu.runner.client import RunnerClient
from ayllu.runner.options import LoadOptions
from ayllu.runner.process import RunnerProcess
from ayllu.runner.split import Share
from ayllu.types import Options

LEAST_TOKENS = 8
"""A shorter answer says nothing of the speed."""


class Key(NamedTuple):
    """What makes two requests want the same child; its load options may still differ."""

    digest: str
    embedding: bool


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
        self.slots = asyncio.Semaphore(load.parallel)
        self.size = size
        self.share = share
        self.rate = 0.0

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
    """A row of `ayllu ps`: sizes in bytes, `expires_at` a Unix time (inf where it stays).

    `rate` is in tokens per second of one stream, as measured; 0 before the first answer.
    """

    model: Model
    size: int
    size_vram: int
    expires_at: float
    context_length: int
    share: Share | None = None
    rate: float = 0.0


class Place:
    """A model's place in the pool.

    `leaving` keeps newcomers out while the last users finish; `idle` is set while there are none.
    """

    def __init__(self, key: Key, model: Model) -> None:
        self.key = key
        self.model = model
        self.runner: Runner | None = None
        self.loading = False
        self.leaving = False
        self.users = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self.keep_alive: float | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.expires_at = FOREVER
        self.last_used = time.monotonic()

    def serves(self, load: LoadOptions, options: Options) -> bool:
        """Whether a request may use the child that is here now."""
        runner = self.runner
        return (
            runner is not None
            and not self.leaving
            and runner.process.alive
            and fit.serves(runner.load, load, options)
        )

    def has_room(self, coming: int) -> bool:
        """Whether its child would take one more request at once, where so many are to come."""
        runner = self.runner
        if runner is None or self.leaving or not runner.process.alive:
            return False
        return coming < runner.load.parallel and not runner.slots.locked()
