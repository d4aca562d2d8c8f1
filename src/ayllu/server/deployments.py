"""Models that their owner wants to run on several machines: told, shown, and let go again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from ayllu.cluster.record import Deployed, Record
from ayllu.deploy.demand import demand_of
from ayllu.errors import AylluError, BadRequestError, NotFoundError
from ayllu.models.model import Model, open_model
from ayllu.models.name import parse_name, short_name
from ayllu.server import wire_deployments as wire
from ayllu.server.openapi import Endpoint
from ayllu.server.placements import placement, stage_rows
from ayllu.server.plan import load_of
from ayllu.server.state import State, read_body, required, state_of
from ayllu.server.stream import NDJSON, collect, json_response, ndjson_response, until_left


async def show(request: Request) -> Response:
    """GET /api/cluster/deployments: list the models that run on several machines, or are to."""
    state = state_of(request)
    me, *others = state.cluster.records()
    records = (structs.replace(me, deployments=state.deployments.running()), *others)
    return json_response(wire.Deployments(tuple(_rows(state, records))))


async def deploy(request: Request) -> Response:
    """POST /api/cluster/deployments: run a model on some machines, for as long as nobody ends it.

    This machine answers for it.
    """
    body, state = await read_body(request, wire.DeployRequest), state_of(request)
    model = await _model(state, required(body.model))
    nodes = _nodes(state, state.cluster.find_all(body.nodes), ordered=bool(body.split))
    wanted = Deployed(
        id="",
        model=body.model,
        digest=model.digest,
        fence=0,
        nodes=nodes,
        split=body.split,
        context=body.context or 0,
        slots=body.slots or 0,
        tensor=body.tensor_split,
    )
    load = await asyncio.to_thread(load_of, state, model, body.context, body.slots)
    await state.site.check(model, demand_of(load), wanted)
    work = _deploy(state, wanted)
    if body.stream:
        return await ndjson_response(request, work)
    return json_response((await until_left(request, collect(work)))[-1])


async def undeploy(request: Request) -> Response:
    """DELETE /api/cluster/deployments/:deployment: let one go, by its id or its model's name."""
    gone = await state_of(request).pins.undeploy(request.path_params["deployment"])
    return json_response(wire.Undeployed(gone.id, gone.model))


async def _model(state: State, text: str) -> Model:
    """The model, which has to be here. Raises NotFoundError."""
    try:
        return await asyncio.to_thread(open_model, state.store, parse_name(text))
    except NotFoundError as error:
        holders = [
            record.name
            for record in state.cluster.records()[1:]
            if any(held.name == short_name(parse_name(text)) for held in record.models)
        ]
        if not holders:
            raise NotFoundError(f"model '{text}' not found") from error
        raise NotFoundError(
            f"model '{text}' is on {', '.join(holders)} and not on this machine, which has to "
            "answer for it: pull it first"
        ) from error


def _nodes(state: State, named: Sequence[Record], *, ordered: bool) -> tuple[str, ...]:
    """The machines' ids, this one's first. Raises BadRequestError where it cannot be.

    They are `ordered` where it is said how many layers each gets.
    """
    me, nodes = state.cluster.own.record, [record.node for record in named]
    if not nodes and ordered:
        raise BadRequestError("a split wants as many nodes, the first of which is this machine")
    if nodes and me.node not in nodes:
        raise BadRequestError(f"{me.name} is to answer: name it too, or ask one of the nodes")
    if ordered and nodes[0] != me.node:
        raise BadRequestError(
            f"the first of the nodes answers: name {me.name} first, or ask {named[0].name}"
        )
    return tuple(sorted(nodes, key=lambda node: node != me.node))


async def _deploy(state: State, wanted: Deployed) -> AsyncGenerator[wire.DeployLine]:
    async with aclosing(state.pins.deploy(wanted)) as lines:
        async for line in lines:
            yield wire.DeployLine(line)
    running = (one for one in state.deployments.running() if one.digest == wanted.digest)
    me = structs.replace(state.cluster.own.record, deployments=tuple(running))
    for row in _rows(state, [me]):
        yield wire.DeployLine("success", row)
        return
    raise AylluError(f"{wanted.model} was let go while it was placed")


def _rows(state: State, records: Sequence[Record]) -> Iterator[wire.DeploymentRow]:
    """The deployments of machines; only this one, the first, knows how fast its own are."""
    names = state.site.names()
    here = {row.model.digest: placement(row, names) for row in reversed(state.pool.loaded())}
    for record in records:
        for one in record.deployments:
            found = here.get(one.digest) if record is records[0] else None
            yield wire.DeploymentRow(
                id=one.id,
                model=one.model,
                digest=one.digest,
                node=record.node,
                name=record.name,
                pinned=one.pinned,
                tensor_split=one.tensor,
                placement=found or _told(one, names),
            )


def _told(one: Deployed, names: Mapping[str, str]) -> wire.Placement:
    """What a record says of where a model runs."""
    stages = stage_rows(one.stages, names)
    return wire.Placement(stages=stages, predicted=round(one.predicted, 2))


ROUTES = [
    Endpoint("GET /api/cluster/deployments", show, gives=wire.Deployments),
    Endpoint(
        "POST /api/cluster/deployments",
        deploy,
        takes=wire.DeployRequest,
        gives=wire.DeployLine,
        streams=(NDJSON, wire.DeployLine),
    ),
    Endpoint("DELETE /api/cluster/deployments/{deployment:path}", undeploy, gives=wire.Undeployed),
]
"""The routes, none of which other machines may ask."""
