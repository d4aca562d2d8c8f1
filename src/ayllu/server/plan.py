"""Models on several machines: where one would run, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from ayllu.deploy.demand import demand_of
from ayllu.deploy.types import Candidate
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.gguf.layers import file_sizes
from ayllu.models.model import Model
from ayllu.runner import fit
from ayllu.runner.options import LoadOptions
from ayllu.server import wire_plan as wire
from ayllu.server.openapi import FreeEndpoint
from ayllu.server.placements import stage_rows
from ayllu.server.state import State, model_of, options_of, read_body, required, state_of
from ayllu.server.stream import json_response


async def plan(request: Request) -> Response:
    """POST /api/cluster/plan: say which machines would run a model, how fast, and why."""
    body, state = await read_body(request, wire.PlanRequest), state_of(request)
    model = await model_of(request, required(body.model))
    load = await asyncio.to_thread(load_of, state, model, body.context, body.slots)
    demand = demand_of(load)
    state.cluster.own.measure()
    found = await state.site.plan(model, demand)
    sizes = await asyncio.to_thread(file_sizes, model.path, load.kv_cache_type)
    names = state.site.names()
    return json_response(
        wire.PlanResponse(
            model=body.model,
            node=state.site.here,
            name=state.cluster.name,
            context=demand.context,
            slots=demand.slots,
            layers=sizes.layers,
            size=sizes.total,
            candidates=tuple(_candidate(one, names) for one in found.candidates),
            refusal=found.refusal,
        )
    )


def load_of(state: State, model: Model, context: int | None, slots: int | None) -> LoadOptions:
    """What the model would be loaded with, where nobody says more than this."""
    header = cached_header(model.path)
    arch.check(header)
    options = options_of(model, {"num_ctx": context} if context else {})
    settings, gpus = state.settings, state.tools.gpus
    load = fit.plan_load(model, options, settings, gpus=gpus, embedding=arch.pools(header))
    return structs.replace(load, parallel=slots or fit.slots_for(load, settings, gpus=gpus))


def _candidate(candidate: Candidate, names: Mapping[str, str]) -> wire.PlanCandidate:
    return wire.PlanCandidate(
        kind=candidate.kind,
        stages=stage_rows(candidate.stages, names),
        tokens_per_second=round(candidate.tokens_per_second, 3),
        first_token=round(candidate.first_token, 3),
        wait=round(candidate.wait, 3),
        why=candidate.why,
    )


ROUTES = [
    FreeEndpoint("POST /api/cluster/plan", plan, takes=wire.PlanRequest, gives=wire.PlanResponse),
]
"""The routes. A machine that does not have the model asks one that has, which plans for itself."""
