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
from ayllu.types import Options


class Key(NamedTuple):
    """What makes two requests want the same child; its load options may still differ."""

    digest: str
    embedding: bool


class Runner:
    """A loaded model. `size` is its estimated memory in bytes."""

    def __init__(
        self, load: LoadOptions, process: RunnerProcess, client: RunnerClient, size: int
    ) -> None:
        self.load = load
        self.process = process
        self.client = client
        self.slots = asyncio.Semaphore(load.parallel)
        self.size = size

    async def stop(self) -> None:
        """End the child and close the connections to it."""
        await self.process.stop()
        await self.client.close()


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
    """A row of `ayllu ps`: sizes in bytes, `expires_at` a Unix time (inf where it stays)."""

    model: Model
    size: int
    size_vram: int
    expires_at: float
    context_length: int


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
