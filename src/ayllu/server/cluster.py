"""The ayllu as this machine sees it: a table of machines, and a stream of what changes in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from ayllu.cluster.diagnose import Finding
from ayllu.cluster.view import Cluster, Event, Whole, changes, view
from ayllu.server.state import read_body, state_of
from ayllu.server.stream import Framing, framed_response, json_response, until_left
from ayllu.server.wire import encode
from ayllu.server.wire_ollama import ErrorResponse

QUIET_SECONDS = 0.2
"""The least time between two looks: machines that say much at once are shown at once."""


class MeasureRequest(Struct, frozen=True):
    """POST /api/cluster/measure: an empty object."""


async def show(request: Request) -> Response:
    """GET /api/cluster: show the machines of the ayllu, this one first."""
    node = state_of(request).cluster
    await node.own.look_at_models()
    return json_response(view(node.snapshot()))


class Diagnosis(Struct, frozen=True):
    """Why other machines are there, or are not: a line for each, this machine's first."""

    findings: tuple[Finding, ...]


async def diagnose(request: Request) -> Response:
    """GET /api/cluster/doctor: try all machines that are known, and say why two do not meet."""
    work = state_of(request).cluster.examine()
    return json_response(Diagnosis(await until_left(request, work)))


async def measure(request: Request) -> Response:
    """POST /api/cluster/measure: measure this machine again, and show it."""
    await read_body(request, MeasureRequest)
    cluster = state_of(request).cluster
    await until_left(request, cluster.measure_again())
    return json_response(view(cluster.snapshot()).nodes[0])


async def events(request: Request) -> Response:
    """GET /api/cluster/events: show the machines, and then each change of them."""
    state = state_of(request)
    await state.cluster.own.look_at_models()
    return await framed_response(request, watch(state.cluster, state.stopping), FRAMING)


async def watch(cluster: Cluster, stopping: asyncio.Event) -> AsyncGenerator[Event]:
    """A snapshot, and what leads from there on; a reader that is slow gets fewer, larger steps."""
    changed = asyncio.Event()
    close = cluster.subscribe(changed.set)
    end = asyncio.create_task(stopping.wait())
    end.add_done_callback(lambda _: changed.set())
    try:
        shown = view(cluster.snapshot())
        yield Whole(shown)
        while not end.done():
            await changed.wait()
            changed.clear()
            now = view(cluster.snapshot())
            for event in changes(shown, now):
                yield event
            shown = now
            await asyncio.wait({end}, timeout=QUIET_SECONDS)
    finally:
        close()
        end.cancel()


def _frame(event: Event | ErrorResponse) -> bytes:
    kind = "error" if isinstance(event, ErrorResponse) else str(event.__struct_config__.tag)
    return b"event: " + kind.encode() + b"\ndata: " + encode(event) + b"\n\n"


FRAMING = Framing(media_type="text/event-stream", frame=_frame, ping=b": ping\n\n")
