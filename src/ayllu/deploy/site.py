"""What is known of all machines when a model is to be placed, and where the plan puts it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import NamedTuple

from msgspec import structs

from ayllu.cluster.contribute import limits
from ayllu.cluster.node import LocalNode
from ayllu.cluster.record import Deployed, Record
from ayllu.deploy.machines import machine_of, ways_of
from ayllu.deploy.plan import make_plan, pinned_plan
from ayllu.deploy.trouble import WORST, Troubles
from ayllu.deploy.types import Candidate, Demand, Machine, Plan, Ways
from ayllu.errors import BadRequestError, EngineError
from ayllu.gguf.layers import LayerSizes, file_sizes
from ayllu.models.model import Model
from ayllu.models.name import short_name
from ayllu.runner.pool import Pool
from ayllu.system import memory

_Case = tuple[LayerSizes, Demand, list[Machine], Ways]


class _Known(NamedTuple):
    """A model, and the machines at this moment."""

    model: Model
    sizes: LayerSizes
    records: list[Record]
    ways: Ways


class Site:
    """This machine among the others, as far as placing models is concerned."""

    def __init__(self, node: LocalNode, pool: Pool, troubles: Troubles, kv_cache_type: str) -> None:
        self._node = node
        self._pool = pool
        self._troubles = troubles
        self._kv_cache_type = kv_cache_type

    @property
    def here(self) -> str:
        """This machine's id; empty where it is in no ayllu."""
        return self._node.own.record.node

    def names(self) -> dict[str, str]:
        """The machines' names for people, by their ids."""
        return {record.node: record.name for record in self._node.records()}

    async def plan(self, model: Model, demand: Demand) -> Plan:
        """All ways to run a model, the best first."""
        known = await self._known(model)
        machines = [self._machine(record, model, WORST) for record in known.records]
        return make_plan(known.sizes, demand, machines, known.ways, here=self.here)

    async def check(self, model: Model, demand: Demand, pin: Deployed) -> Candidate:
        """Where a model would run as its owner wants it. Raises BadRequestError."""
        case = self._case(await self._known(model), demand, WORST)
        if pin.split:
            return pinned_plan(*case, nodes=pin.nodes, split=pin.split)
        plan = self._among(case, pin.nodes)
        if not plan.candidates:
            raise BadRequestError(f"{pin.model} {plan.refusal}")
        return plan.candidates[0]

    async def place(
        self,
        model: Model,
        demand: Demand,
        pin: Deployed | None,
        *,
        without: Collection[str] = (),
        insists: bool = False,
    ) -> Candidate | None:
        """Where a model runs that this machine answers for; None: here, as a whole.

        What its owner said of it counts as long as it can be had; machines that failed are used
        last. Raises EngineError where it fits nowhere, unless its user `insists` on a try here.
        """
        known = await self._known(model)
        for trouble in range(WORST + 1):
            case = self._case(known, demand, trouble, without)
            for candidate in self._wanted(case, pin):
                return candidate if candidate.kind == "split" else None
        if insists or self._may_try(case[0]):
            return None
        given = limits(self._node.own.given())
        raise EngineError(f"{short_name(model.name)} {self._among(case, ()).refusal}{given}")

    def _wanted(self, case: _Case, pin: Deployed | None) -> Iterator[Candidate]:
        """The ways to run a model, what its owner said first."""
        if pin is not None and pin.split:
            with suppress(BadRequestError):
                yield pinned_plan(*case, nodes=pin.nodes, split=pin.split)
        if pin is not None and pin.nodes:
            yield from self._among(case, pin.nodes).candidates
        yield from self._among(case, ()).candidates

    def _among(self, case: _Case, nodes: Collection[str]) -> Plan:
        sizes, demand, machines, ways = case
        named = [one for one in machines if not nodes or one.node in {*nodes, self.here}]
        return make_plan(sizes, demand, named, ways, here=self.here)

    def _case(
        self, known: _Known, demand: Demand, trouble: int, without: Collection[str] = ()
    ) -> _Case:
        """What the plan gets where this machine alone may answer."""
        machines = []
        for record in known.records:
            machine = self._machine(record, known.model, trouble)
            if record.node == self.here:
                machine = structs.replace(machine, loaded=False, busy=0)
            else:
                may_work = machine.may_work and record.node not in without
                machine = structs.replace(
                    machine, room=0, vram=0, holds=False, loaded=False, may_work=may_work
                )
            machines.append(machine)
        return known.sizes, demand, machines, known.ways

    def _machine(self, record: Record, model: Model, trouble: int) -> Machine:
        rank = self._troubles.rank(record.node, time.monotonic())
        machine = machine_of(
            record,
            digest=model.digest,
            engine=self._node.own.record.engine,
            here=self.here,
            set_aside=rank > trouble,
        )
        # The model is here, whether or not this machine's record says so already.
        return structs.replace(machine, holds=True) if record.node == self.here else machine

    def _records(self) -> list[Record]:
        """All machines, this one as it is at this moment."""
        me, *others = self._node.records()
        loaded = {one.model.digest for one in self._pool.loaded()}
        models = (structs.replace(one, loaded=one.digest in loaded) for one in me.models)
        load = structs.replace(me.load, ram_free=memory().available)
        return [structs.replace(me, load=load, models=tuple(models)), *others]

    async def _known(self, model: Model) -> _Known:
        sizes = await asyncio.to_thread(file_sizes, model.path, self._kv_cache_type)
        records = self._records()
        return _Known(model, sizes, records, ways_of(records))

    def _may_try(self, sizes: LayerSizes) -> bool:
        """Whether the engine may see for itself: it fits models to GPUs, and maps files.

        Not more than the owner gives, and not more than the machine has.
        """
        me = self._node.own.record
        if me.contribute.ram or me.contribute.vram:
            return False
        return bool(me.hardware.gpus) or sizes.total < me.hardware.ram_total
