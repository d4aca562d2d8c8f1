"""This machine's help with other machines' trainings: a program that computes gradients for one.

It is a lease as any other: it takes no more memory than it was given, only the tunnel leads to it,
and it ends with the stream that shows that the other machine lives.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from ayllu.cluster.folder import write
from ayllu.config import Settings as Config
from ayllu.deploy.leases import Leases
from ayllu.deploy.worker import NICENESS, Hosted
from ayllu.errors import EngineError, NotFoundError
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.models.create import Progress
from ayllu.models.model import Model, open_model
from ayllu.models.name import parse_name
from ayllu.models.store import Store
from ayllu.runner.child import log_file, start_child
from ayllu.system import child_environment, usable_cores
from ayllu.trainer import spec
from ayllu.trainer.spec import Settings, Work
from ayllu.tune import program

READY_SECONDS = 900
"""How long it may take until it has read the model."""
_PORT = re.compile(re.escape(spec.LISTENING.encode()) + rb" (\d+)")
_Text = Annotated[str, Meta(max_length=512)]


class HelpRequest(Struct, frozen=True, kw_only=True):
    """POST /api/cluster/helpers: a training that another machine wants help with.

    `model` is the base's name and `digest` its manifest's, which has to be here. `settings` are
    those of the training, with the numbers that it computes in. Of one `deployment`'s requests the
    greatest `fence` is right. `threads` are the most to compute with (0: one for each core), `room`
    is all that it may take, in bytes. The program works for whoever knows the `key`.
    """

    deployment: Annotated[str, Meta(min_length=1, max_length=64)]
    fence: Annotated[int, Meta(ge=0, lt=1 << 62)]
    model: _Text
    digest: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    settings: Settings
    threads: Annotated[int, Meta(ge=0, le=1024)] = 0
    room: Annotated[int, Meta(ge=1, lt=1 << 62)]
    key: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32,64}\Z")]


class _Helper(Hosted):
    """The program; `ready` once it has a port."""

    def __init__(self, child: Process) -> None:
        super().__init__(child)
        self.ready = asyncio.Event()

    def _hear(self, line: bytes) -> None:
        if not self.port and (found := _PORT.match(line)) is not None:
            self.port = int(found[1])
            self.ready.set()

    def last_words(self) -> str:
        """The last line that it said, or why it ended."""
        return next((line for line in reversed(self.log) if line.strip()), self.reason())


class Lending:
    """All such help."""

    def __init__(self, config: Config, store: Store, leases: Leases) -> None:
        self._config = config
        self._store = store
        self._leases = leases

    def grant(self, node: str, wanted: HelpRequest) -> AsyncGenerator[Progress]:
        """Help a machine: steps, the last one with the lease. Raises as `Leases.hold` does.

        And UnsupportedError without PyTorch, NotFoundError for a base that is not here.
        """
        return self._leases.hold(node, wanted, lambda folder: self._start(wanted, folder))

    async def _start(self, wanted: HelpRequest, folder: Path) -> AsyncGenerator[Progress | Hosted]:
        python = await program.find_python(self._config.torch_python)
        await asyncio.to_thread(self._prepare, wanted, folder)
        yield Progress("starting the helper")
        child = await start_child(
            python, program.arguments(folder, "--assist"), child_environment(), _step_back
        )
        helper = _Helper(child)
        helper.watch(log_file(self._config.home, f"helper-{wanted.model}"))
        try:
            async with aclosing(_waiting(helper)) as steps:
                async for step in steps:
                    yield step
        except BaseException:
            await helper.stop()
            raise
        yield helper

    def _prepare(self, wanted: HelpRequest, folder: Path) -> None:
        """Write what the program reads. Raises NotFoundError, StoreError."""
        model = self._model(wanted)
        cores = usable_cores()
        work = Work(
            model=str(model.path),
            architecture=arch.architecture(cached_header(model.path)),
            settings=wanted.settings,
            threads=min(wanted.threads or cores, cores),
            room=wanted.room,
        )
        write(folder / spec.WORK, msgspec.json.encode(work))
        write(folder / spec.KEY, wanted.key.encode())

    def _model(self, wanted: HelpRequest) -> Model:
        model = open_model(self._store, parse_name(wanted.model))
        if model.digest != wanted.digest:
            raise NotFoundError(f"another model has the name {wanted.model} here")
        return model


async def _waiting(helper: _Helper) -> AsyncGenerator[Progress]:
    """Wait until it is ready, and say so now and then. Raises EngineError where it never is."""
    for _ in range(READY_SECONDS):
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await helper.ready.wait()
                return
        if helper.exited.is_set():
            raise EngineError(f"the helper did not start: {helper.last_words()}")
        yield Progress("reading the model")
    raise EngineError(f"the helper was not ready in {READY_SECONDS} s")


def _step_back() -> None:
    """The owner's own programs come first."""
    if sys.platform != "win32":
        os.nice(NICENESS)
