"""Work for other machines of the ayllu: what they hold here, asked over mutual TLS alone."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ayllu.cluster.peer_server import peer_of
from ayllu.deploy.worker_request import WorkerRequest
from ayllu.errors import ForbiddenError
from ayllu.server.state import read_body, state_of
from ayllu.server.stream import ndjson_response
from ayllu.tune.lending import HelpRequest


async def hold(request: Request) -> Response:
    """POST /api/cluster/workers: hold some layers of another machine's model."""
    wanted = await read_body(request, WorkerRequest)
    grant = state_of(request).leases.grant(_coordinator(request), wanted)
    return await ndjson_response(request, grant)


async def assist(request: Request) -> Response:
    """POST /api/cluster/helpers: compute parts of another machine's fine-tuning."""
    wanted = await read_body(request, HelpRequest)
    grant = state_of(request).lending.grant(_coordinator(request), wanted)
    return await ndjson_response(request, grant)


def _coordinator(request: Request) -> str:
    """The id of the machine that asks. Raises ForbiddenError for whoever is none."""
    node = peer_of(request.scope)
    if node is None:
        raise ForbiddenError("only another machine of the ayllu may have this one work for it")
    return node
