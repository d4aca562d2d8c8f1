"""Fine-tuning on another machine of the ayllu: which one, and the requests for jobs that are there.

They go there as they came, and its answers are given on as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from functools import wraps

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from ayllu.cluster.peer_server import peer_of
from ayllu.cluster.peers import PeerAnswer, PeerGoneError
from ayllu.cluster.record import Record
from ayllu.deploy.machines import ways_of
from ayllu.errors import AylluError, BadRequestError, NotFoundError
from ayllu.server import wire_tune as wire
from ayllu.server.state import State, state_of
from ayllu.server.stream import LineResponse, json_response
from ayllu.tune.away import Lent
from ayllu.tune.job import Order
from ayllu.tune.placing import first_done

LIST_SECONDS = 3.0
"""How long a machine may take to tell how its jobs are."""
_HEADERS = ("content-type", "content-length")
Handler = Callable[[Request], Awaitable[Response]]


async def machine_for(state: State, order: Order, named: str) -> Record:
    """The machine that is to do a job: the one that is named, or would be done first.

    Raises NotFoundError for a machine that is none, BadRequestError for one that cannot.
    """
    me, *others = state.cluster.records()
    if named:
        record = state.cluster.find(named)
        if record.node != me.node and not record.trains:
            raise BadRequestError(
                f"{record.name} cannot train: it has no PyTorch (`pip install 'ayllu[tune]'` there)"
            )
        return record
    if not others or not any(one.trains for one in others):
        return me
    task = await asyncio.to_thread(state.jobs.task, order)
    best = first_done(task, (me, *others), ways_of((me, *others)), me.node)
    return next(one for one in (me, *others) if one.node == best)


async def begin(state: State, order: Order, record: Record) -> wire.Begun:
    """Have another machine do it. Raises an AylluError where it does not."""
    base = (await asyncio.to_thread(state.jobs.task, order)).digest
    return wire.Begun(await _row(state, await state.away.begin(record, order, base)))


async def rows(state: State) -> Iterable[wire.TuneJob]:
    """How the jobs are that other machines do."""
    return await asyncio.gather(*(_row(state, job) for job in state.away.all()))


def forwarded(handler: Handler) -> Handler:
    """A handler of a route with a job in its path, which asks the machine that does the job."""

    @wraps(handler)
    async def handle(request: Request) -> Response:
        state = state_of(request)
        job = None if peer_of(request.scope) else state.away.get(request.path_params["job"])
        if job is None:
            return await handler(request)
        if request.method == "DELETE":
            return await _remove(state, job, request)
        answer = await _ask(state, job, request)
        if answer.status < 300 and request.url.path.endswith("/resume"):
            state.away.resumed(job.id)
        return _given_on(answer)

    return handle


async def _remove(state: State, job: Lent, request: Request) -> Response:
    """Remove a job of another machine; one that is away is told as soon as it is back."""
    try:
        answer = await _ask(state, job, request)
    except PeerGoneError:
        state.away.remove(job.id)
        return json_response(wire.Deleted(job.id))
    if answer.status == 404:  # it was removed there
        answer.close()
        state.away.forget(job.id)
        return json_response(wire.Deleted(job.id))
    if answer.status < 300:
        state.away.forget(job.id)
    return _given_on(answer)


def _given_on(answer: PeerAnswer) -> Response:
    headers = {name: answer.headers[name] for name in _HEADERS if name in answer.headers}
    return LineResponse(_body(answer), status=answer.status, headers=headers)


async def _ask(state: State, job: Lent, request: Request) -> PeerAnswer:
    headers = {
        name: request.headers[name]
        for name in ("content-type", "last-event-id")
        if name in request.headers
    }
    try:
        return await state.away.peers().ask(
            job.node,
            request.method,
            request.url.path,
            headers=headers,
            body=await request.body() or None,
        )
    except PeerGoneError as error:
        raise PeerGoneError(f"job {job.id} is at {_name(state, job)}: {error.sentence}") from error


async def _body(answer: PeerAnswer) -> AsyncGenerator[bytes]:
    try:
        async for piece in answer.pieces():
            yield piece
    finally:
        answer.close()


async def _row(state: State, job: Lent) -> wire.TuneJob:
    name = _name(state, job)
    try:
        async with asyncio.timeout(LIST_SECONDS):
            row = await state.away.peers().tell(
                job.node, "GET", f"/api/tune/{job.id}", wire.TuneJob
            )
    except NotFoundError:
        return _unseen(job, name, "" if job.state == "done" else f"{name} has it no more")
    except (AylluError, TimeoutError):
        return _unseen(job, name, "" if job.brought else f"{name} cannot be reached now")
    return structs.replace(row, node=name)


def _unseen(job: Lent, name: str, error: str) -> wire.TuneJob:
    """A job as it is known here."""
    return wire.TuneJob(
        id=job.id,
        model=job.base,
        name=job.model,
        state=job.state,
        error=error,
        created_at="",
        node=name,
    )


def _name(state: State, job: Lent) -> str:
    return state.site.names().get(job.node) or job.machine or job.node
