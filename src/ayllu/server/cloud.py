"""What Ollama's clients ask about its cloud and its accounts: there are none here."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from ayllu.errors import ForbiddenError
from ayllu.server.state import drain
from ayllu.server.stream import json_response
from ayllu.server.wire_ollama import CloudStatus, StatusResponse


async def status(_: Request) -> Response:
    """GET /api/status: say that there is no cloud.

    Of the words that clients know, `config` is the nearest to "built so".
    """
    return json_response(StatusResponse(CloudStatus(disabled=True, source="config")))


async def refuse_account(request: Request) -> Response:
    """POST /api/me and /api/signout: refused, for there are no accounts."""
    await drain(request)
    raise ForbiddenError("there are no accounts here: nothing leaves your machines")
