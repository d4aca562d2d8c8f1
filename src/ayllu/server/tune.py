"""Fine-tuning: jobs are begun, watched, ended and resumed, and what they leave is given out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

import msgspec
from msgspec import structs
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from ayllu.cluster.peer_server import peer_of
from ayllu.errors import BadRequestError, NotFoundError
from ayllu.gotime import format_time
from ayllu.server import wire_tune as wire
from ayllu.server.openapi import Endpoint, FreeEndpoint, PeerEndpoint
from ayllu.server.state import read_body, required, state_of
from ayllu.server.stream import Framing, framed_response, json_response, until_left
from ayllu.server.tune_elsewhere import begin, forwarded, machine_for, rows
from ayllu.server.wire import encode
from ayllu.server.wire_ollama import ErrorResponse
from ayllu.trainer.spec import Report
from ayllu.tune.curves import curves, draw, pace
from ayllu.tune.job import Job, Order, Tail
from ayllu.tune.jobs import Jobs
from ayllu.tune.steps import Preview

_MOST_DIGITS = 12

Numbered = tuple[int, wire.TuneEvent]
"""An event, and how many steps were reported up to it."""


async def create(request: Request) -> Response:
    """POST /api/tune: begin to fine-tune a model, or show what that would be."""
    body, state = await read_body(request, wire.TuneRequest), state_of(request)
    required(body.model)
    order = msgspec.convert(structs.asdict(body), Order)
    if body.preview:
        seen = await until_left(request, state.jobs.preview(order))
        return json_response(wire.Begun(preview=_preview(seen)))
    peer = peer_of(request.scope) or ""
    if not peer:
        away = {job.model for job in state.away.all() if not job.brought}
        order = await state.jobs.named(order, away)
        record = await machine_for(state, order, body.node)
        if record.node != state.site.here:
            return json_response(await until_left(request, begin(state, order, record)))
    job = await state.jobs.create(order, digest=body.digest, origin=peer)
    return json_response(wire.Begun(_row(state.jobs, job)))


async def show_all(request: Request) -> Response:
    """GET /api/tune: list the jobs of fine-tuning, the newest first."""
    jobs = state_of(request).jobs
    mine = await asyncio.to_thread(lambda: [_row(jobs, job) for job in jobs.all()])
    found = [*mine, *await rows(state_of(request))]
    found.sort(key=lambda row: row.created_at, reverse=True)
    return json_response(wire.TuneJobs(tuple(found)))


async def show(request: Request) -> Response:
    """GET /api/tune/:job: show a job with its settings, its data and its losses."""
    jobs, job = _found(request)
    return json_response(await asyncio.to_thread(_shown, jobs, job))


async def events(request: Request) -> Response:
    """GET /api/tune/:job/events: follow a job to its end; Last-Event-ID goes on where one left."""
    jobs, job = _found(request)
    said = request.headers.get("last-event-id", "0").strip()
    if not said.isdecimal() or len(said) > _MOST_DIGITS:
        raise BadRequestError("Last-Event-ID is no id of an event of this stream")
    watched = _watch(jobs, job.id, int(said), state_of(request).stopping)
    return await framed_response(request, watched, FRAMING)


async def cancel(request: Request) -> Response:
    """POST /api/tune/:job/cancel: end a job and keep what it has."""
    await read_body(request, wire.Request)
    jobs, job = _found(request)
    return json_response(_row(jobs, await jobs.cancel(job.id)))


async def resume(request: Request) -> Response:
    """POST /api/tune/:job/resume: go on with a job that was cancelled or has failed."""
    await read_body(request, wire.Request)
    jobs, job = _found(request)
    return json_response(_row(jobs, await jobs.resume(job.id)))


async def delete(request: Request) -> Response:
    """DELETE /api/tune/:job: remove a job and its files, not the model that came of it."""
    jobs, job = _found(request)
    await jobs.delete(job.id)
    return json_response(wire.Deleted(job.id))


async def curve(request: Request) -> Response:
    """GET /api/tune/:job/curves.svg: draw a job's losses."""
    jobs, job = _found(request)
    reports = await asyncio.to_thread(Tail(jobs.folder(job)).read)
    drawn = draw(curves(reports), f"{job.order.name}, trained from {job.order.model}")
    return Response(drawn, media_type="image/svg+xml")


async def file(request: Request) -> Response:
    """GET /api/tune/:job/files/:name: get a file of what was trained."""
    jobs, job = _found(request)
    name = request.path_params["name"]
    path = (await asyncio.to_thread(lambda: jobs.folder(job).results)).get(name)
    if path is None:
        raise NotFoundError(f"job {job.id} has no file {name!r} as a result")
    return FileResponse(path, media_type="application/octet-stream")


def _found(request: Request) -> tuple[Jobs, Job]:
    """The jobs, and the one that the path names. Raises NotFoundError.

    Another machine sees those of its own user alone.
    """
    jobs, peer = state_of(request).jobs, peer_of(request.scope)
    job = jobs.find(request.path_params["job"])
    if peer not in {None, job.origin}:
        raise NotFoundError(f"there is no job {job.id!r} of yours here")
    return jobs, job


def _preview(seen: Preview) -> wire.Preview:
    return wire.Preview(
        model=seen.order.model,
        name=seen.order.name,
        settings=seen.settings,
        examples=seen.prepared,
        steps=seen.steps,
        estimated_memory=seen.needs,
        free_memory=seen.free,
        estimated_seconds=seen.seconds,
        measured=seen.measured,
        problem=seen.problem,
    )


def _row(jobs: Jobs, job: Job, reports: Sequence[Report] | None = None) -> wire.TuneJob:
    if reports is None:
        reports = Tail(jobs.folder(job)).read()
    last, speed = reports[-1] if reports else None, pace(reports)
    losses = [one.validation_loss for one in reports if one.validation_loss is not None]
    return wire.TuneJob(
        id=job.id,
        model=job.order.model,
        name=job.order.name,
        state=job.state,
        error=job.error,
        created_at=_time(job.created_at),
        started_at=_time(job.started_at),
        ended_at=_time(job.ended_at),
        doing=jobs.doing(job),
        step=last.step if last else 0,
        steps=last.steps if last else 0,
        loss=last.loss if last else 0.0,
        validation_loss=losses[-1] if losses else None,
        tokens_per_second=speed.tokens_per_second,
        seconds_left=speed.seconds_left if job.state == "training" else 0.0,
    )


def _shown(jobs: Jobs, job: Job) -> wire.ShownJob:
    folder = jobs.folder(job)
    reports, work = Tail(folder).read(), folder.work
    return wire.ShownJob(
        **structs.asdict(_row(jobs, job, reports)),
        digest=job.digest,
        architecture=job.architecture,
        data=job.order.data,
        settings=work.settings if work else job.order.settings,
        merge=job.order.merge,
        quantize=job.order.quantize,
        system=job.order.system,
        estimated_memory=job.needs,
        examples=folder.prepared,
        measured=folder.measured,
        ended=folder.ended,
        parallel=folder.parallel,
        curves=curves(reports),
        files=tuple(_file(name, path) for name, path in folder.results.items()),
    )


def _file(name: str, path: Path) -> wire.File:
    return wire.File(name, path.stat().st_size)


async def _watch(
    jobs: Jobs, id_: str, seen: int, stopping: asyncio.Event
) -> AsyncGenerator[Numbered]:
    """How a job is, then what changes, until it is over; the first `seen` steps are left out."""
    tail = Tail(jobs.folder(jobs.find(id_)))
    reports: list[Report] = []
    shown = None
    async with aclosing(jobs.changes()) as changes:
        async for _ in changes:
            if stopping.is_set() or (job := jobs.get(id_)) is None:
                return
            now = job, jobs.doing(job)
            for report in await asyncio.to_thread(tail.read):
                reports.append(report)
                if len(reports) > seen:
                    yield len(reports), _step(reports)
            if now != shown:
                yield len(reports), wire.JobEvent(_row(jobs, job, reports))
                shown = now
            if job.is_over:
                return


def _step(reports: Sequence[Report]) -> wire.StepEvent:
    speed = pace(reports)
    return wire.StepEvent(reports[-1], speed.tokens_per_second, speed.seconds_left)


def _time(seconds: float) -> str:
    return format_time(round(seconds * 1e9), utc=False) if seconds else ""


def _frame(item: Numbered | ErrorResponse) -> bytes:
    if isinstance(item, ErrorResponse):
        return b"event: error\ndata: " + encode(item) + b"\n\n"
    number, event = item
    kind = str(event.__struct_config__.tag).encode()
    return b"event: " + kind + b"\nid: %d\ndata: " % number + encode(event) + b"\n\n"


FRAMING = Framing(media_type="text/event-stream", frame=_frame, ping=b": ping\n\n")

ROUTES = [
    PeerEndpoint("POST /api/tune", create, takes=wire.TuneRequest, gives=wire.Begun),
    Endpoint("GET /api/tune", show_all, gives=wire.TuneJobs),
    FreeEndpoint("GET /api/tune/{job}", forwarded(show), gives=wire.ShownJob),
    FreeEndpoint(
        "GET /api/tune/{job}/events", forwarded(events), streams=(FRAMING, wire.TuneEvent)
    ),
    FreeEndpoint(
        "POST /api/tune/{job}/cancel", forwarded(cancel), takes=wire.Request, gives=wire.TuneJob
    ),
    PeerEndpoint(
        "POST /api/tune/{job}/resume", forwarded(resume), takes=wire.Request, gives=wire.TuneJob
    ),
    FreeEndpoint("DELETE /api/tune/{job}", forwarded(delete), gives=wire.Deleted),
    FreeEndpoint("GET /api/tune/{job}/curves.svg", forwarded(curve), gives=bytes),
    FreeEndpoint("GET /api/tune/{job}/files/{name}", forwarded(file), gives=bytes),
]
"""The routes; another machine may begin jobs here, and see and end those."""
