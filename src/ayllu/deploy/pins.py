"""Deployments that the owner asked for: kept on disk, taken over by others when their machine dies.

Each has one coordinator, the machine that answers for it. Its record names them with a fence: where
two machines claim one, the greater fence is right. Who takes over is in `heirs.py`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from pathlib import Path

import msgspec
import structlog
from msgspec import structs

from ayllu.cluster.folder import read, write
from ayllu.cluster.node import LocalNode
from ayllu.cluster.record import MOST_DEPLOYMENTS, Deployed, Record
from ayllu.cluster.tasks import Tasks
from ayllu.deploy.deployments import Deployments
from ayllu.deploy.heirs import Coordinators, Orphan
from ayllu.errors import AylluError, BadRequestError, NotFoundError
from ayllu.gotime import FOREVER
from ayllu.models.model import open_model
from ayllu.models.name import parse_name, short_name
from ayllu.models.store import Store
from ayllu.runner.pool import Pool
from ayllu.types import Options

FILE = "deployments.json"
START_SECONDS = 20.0
"""How long a machine that starts waits for the others before it places what it ran before."""
_LOOK_SECONDS = 1.0
_log = structlog.get_logger(__name__)


class Pins:
    """The pinned deployments of this machine. Whoever starts it closes it."""

    def __init__(
        self, node: LocalNode, pool: Pool, store: Store, deployments: Deployments, home: Path
    ) -> None:
        self._node = node
        self._pool = pool
        self._store = store
        self._deployments = deployments
        self._path = home / FILE
        self._coordinators = Coordinators()
        self._tasks = Tasks()

    def start(self) -> None:
        """Place what was pinned before this start. Raises StoreError for a file that is damaged."""
        pins = read(self._path, list[Deployed]) or []
        self._deployments.pins.update({pin.digest: pin for pin in pins})
        if pins:
            self._tasks.start(self._place_again(pins))
        self._node.watch_others(self._hear)
        self._tasks.start(self._follow())

    async def close(self) -> None:
        """Follow nothing any more; what is pinned stays so."""
        await self._tasks.end()

    async def deploy(self, wanted: Deployed) -> AsyncGenerator[str]:
        """Pin a model and load it; says how far it is. Raises AylluError, and then nothing changed.

        `wanted` names the model, and what its owner says of it. This machine is to answer for it.
        """
        model = await asyncio.to_thread(open_model, self._store, parse_name(wanted.model))
        pin = structs.replace(
            wanted,
            id=secrets.token_hex(6),
            model=short_name(model.name),
            digest=model.digest,
            fence=self._deployments.fence(),
            pinned=True,
        )
        before = self._deployments.pins.get(model.digest)
        if before is None and len(self._deployments.pins) >= MOST_DEPLOYMENTS:
            raise BadRequestError(f"{MOST_DEPLOYMENTS} models are pinned already")
        for node in wanted.nodes:
            self._deployments.troubles.forgive(node)
        lines: asyncio.Queue[str | None] = asyncio.Queue()
        with self._deployments.listening(model.digest, lines.put_nowait):
            loading = asyncio.create_task(self._place(pin))
            loading.add_done_callback(lambda _: lines.put_nowait(None))
            try:
                while (line := await lines.get()) is not None:
                    yield line
                await loading
            except BaseException:
                loading.cancel()
                await asyncio.gather(loading, return_exceptions=True)
                self._pin(model.digest, before)
                raise

    async def undeploy(self, text: str) -> Deployed:
        """Let a deployment go, by its id or its model's name. Raises NotFoundError."""
        for pin in self._deployments.pins.values():
            if text == pin.id or short_name(parse_name(text)) == pin.model:
                break
        else:
            raise NotFoundError(f"no deployment {text!r} is of this machine")
        self._pin(pin.digest, None)
        await self._pool.unload(pin.digest)
        return pin

    async def _place(self, pin: Deployed) -> None:
        """Have the pool load a model as it is pinned, whatever it is now."""
        self._pin(pin.digest, pin)
        await self._pool.clear(pin.digest)
        model = await asyncio.to_thread(open_model, self._store, parse_name(pin.model))
        options = Options(num_ctx=pin.context or None)
        async with self._pool.acquire(model, options, keep_alive=FOREVER, slot=False):
            pass

    def _pin(self, digest: str, pin: Deployed | None) -> None:
        pins = self._deployments.pins
        if pin is None:
            pins.pop(digest, None)
        else:
            pins[digest] = pin
        write(self._path, msgspec.json.encode(list(pins.values())))
        self._tell()

    def _tell(self) -> None:
        self._node.own.change(deployments=self._deployments.running())

    # What becomes of deployments whose coordinator dies.

    async def _place_again(self, pins: Iterable[Deployed]) -> None:
        """What ran before this machine's start runs again, once those that it needs are there."""
        pins, until = list(pins), time.monotonic() + START_SECONDS
        while pins:
            records = self._node.records()
            self._yield_to(records)
            online = {record.node for record in records}
            for pin in list(pins):
                if online.issuperset(pin.nodes) or time.monotonic() > until:
                    pins.remove(pin)
                    if self._deployments.pins.get(pin.digest) is pin:  # nobody took it over
                        await self._try(pin)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            records, now = self._node.records(), time.monotonic()
            self._yield_to(records)
            self._hear()
            ours = {pin.id for pin in self._deployments.pins.values()}
            me = self._node.own.record.node
            for orphan in self._coordinators.orphans(me, records, now, ours):
                await self._take_over(orphan)

    def _yield_to(self, records: Sequence[Record]) -> None:
        """Another machine that has a greater fence for what is ours has taken it over."""
        me = self._node.own.record.node
        for record in records:
            for deployed in record.deployments:
                mine = self._deployments.pins.get(deployed.digest)
                is_ours = mine is not None and mine.id == deployed.id and record.node != me
                if is_ours and mine is not None and deployed.fence > mine.fence:
                    _log.info("another machine took a deployment over", id=mine.id, by=record.name)
                    self._pin(mine.digest, None)
                    self._tasks.start(self._pool.unload(mine.digest))

    def _hear(self) -> None:
        """At every change: a machine may be gone before anybody looks again."""
        me = self._node.own.record.node
        self._coordinators.hear(me, self._node.records(), time.monotonic())

    async def _take_over(self, orphan: Orphan) -> None:
        pin, gone = orphan.deployed, orphan.coordinator
        _log.warning("a coordinator is gone: its deployment is run here", id=pin.id, node=gone)
        nodes = tuple(node for node in pin.nodes if node != gone)
        await self._try(
            structs.replace(
                pin,
                fence=self._deployments.fence(pin.fence + 1),
                nodes=nodes,
                split=(),
                stages=(),
                predicted=0.0,
            )
        )

    async def _try(self, pin: Deployed) -> None:
        try:
            await self._place(pin)
        except AylluError as error:  # a request for the model tries again
            _log.warning("a deployment cannot be placed now", id=pin.id, reason=error.sentence)
        if self._deployments.pins.get(pin.digest) is not pin:  # another one has it meanwhile
            await self._pool.unload(pin.digest)
