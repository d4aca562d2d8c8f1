"""What uses all machines of the ayllu at once: a list of their models, and pulls on several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from ayllu.cluster.peers import PeerGoneError
from ayllu.cluster.record import HeldModel, Record
from ayllu.errors import AylluError
from ayllu.models.create import Progress
from ayllu.registry.pull import Order
from ayllu.server.models import puller
from ayllu.server.several import several
from ayllu.server.state import State, read_body, required, state_of
from ayllu.server.stream import collect, json_response, ndjson_response, until_left
from ayllu.server.wire_joining import (
    AylluModel,
    AylluModels,
    Holder,
    PullOnLine,
    PullOnRequest,
)


async def models(request: Request) -> Response:
    """GET /api/cluster/models: list the models of all machines of the ayllu."""
    node = state_of(request).cluster
    await node.own.look_at_models()
    known = node.snapshot()
    records = [known.me, *(member.record for member in known.members)]
    return json_response(AylluModels(tuple(rows(records))))


def rows(records: Sequence[Record]) -> Iterable[AylluModel]:
    """Every model with the machines that have it, by name; the first record is this machine's.

    Machines may have different models of one name: each is a row of its own.
    """
    holders: dict[tuple[str, str], list[tuple[Record, HeldModel]]] = defaultdict(list)
    for record in records:
        for held in record.models:
            holders[held.name, held.digest].append((record, held))
    for (name, digest), pairs in sorted(holders.items()):
        yield AylluModel(
            name=name,
            digest=digest,
            size=pairs[0][1].size,
            nodes=tuple(
                Holder(
                    id=record.node,
                    name=record.name,
                    loaded=held.loaded,
                    here=record is records[0],
                )
                for record, held in pairs
            ),
        )


async def pull(request: Request) -> Response:
    """POST /api/cluster/pull: have some machines of the ayllu get a model."""
    body, state = await read_body(request, PullOnRequest), state_of(request)
    required(body.model)
    work = _pull_each(state, body, state.cluster.find_all(body.on))
    if body.stream:
        return await ndjson_response(request, work)
    return json_response((await until_left(request, collect(work)))[-1])


async def _pull_each(
    state: State, body: PullOnRequest, records: Sequence[Record]
) -> AsyncGenerator[PullOnLine]:
    """The steps of all machines as they come. Raises AylluError at the end where one failed."""
    failed: list[str] = []
    pulls = [_pull_on(state, body, record) for record in records]
    async with aclosing(several(pulls, at_once=len(pulls))) as lines:
        async for _, line in lines:
            if line.failed:
                failed.append(f"{line.name} ({line.failed})")
            yield line
    if failed:
        raise AylluError(f"{body.model} could not be pulled on {', '.join(failed)}")
    yield PullOnLine("success")


async def _pull_on(state: State, body: PullOnRequest, record: Record) -> AsyncGenerator[PullOnLine]:
    """The steps of one machine, its failure among them."""
    is_here = record.node == state.cluster.snapshot().me.node
    source = _pull_here(state, body) if is_here else _pull_there(state, body, record.node)
    who = PullOnLine("failed", node=record.node, name=record.name)
    try:
        async with aclosing(source) as steps:
            async for step in steps:
                yield structs.replace(who, **structs.asdict(step))
    except AylluError as error:
        yield structs.replace(who, failed=error.sentence)


def _pull_here(state: State, body: PullOnRequest) -> AsyncGenerator[Progress]:
    order = Order(text=body.model, insecure=body.insecure, prunes=not state.settings.no_prune)
    return puller(state).pull(order)


async def _pull_there(state: State, body: PullOnRequest, node: str) -> AsyncGenerator[Progress]:
    peers = state.cluster.peers
    if peers is None:
        raise PeerGoneError("this machine has left the ayllu")
    wanted = {"model": body.model, "insecure": body.insecure}
    last = ""
    async with aclosing(peers.steps(node, "/api/pull", wanted, Progress)) as steps:
        async for step in steps:
            last = step.status
            yield step
    if last != "success":
        raise PeerGoneError("it stopped before it was done")
