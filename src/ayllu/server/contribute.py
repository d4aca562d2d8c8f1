"""What the owner gives of this machine, shown and changed without a restart."""

from __future__ import annotations

from msgspec import Struct, structs
from starlette.requests import Request
from starlette.responses import Response

from ayllu.cluster.contribute import Chosen
from ayllu.cluster.own import OwnRecord
from ayllu.cluster.record import Contribution
from ayllu.errors import BadRequestError
from ayllu.server.openapi import Endpoint
from ayllu.server.state import read_body, state_of
from ayllu.server.stream import json_response


class ContributeRequest(Chosen, frozen=True):
    """PUT /api/cluster/contribute: what is given counts at once and at later starts.

    The texts are those of the settings: a size or a percentage, hours; empty: no limit.
    """


class Contribute(Struct, frozen=True, kw_only=True):
    """What the owner gives, in the settings' words, and what that is now in bytes (0: no limit)."""

    contribute: bool
    ram: str
    vram: str
    hours: str
    now: Contribution


async def show(request: Request) -> Response:
    """GET /api/cluster/contribute: show what the owner gives of this machine."""
    return json_response(_given(state_of(request).cluster.own))


async def change(request: Request) -> Response:
    """PUT /api/cluster/contribute: give more of this machine, or less, from now on."""
    body, state = await read_body(request, ContributeRequest), state_of(request)
    own = state.cluster.own
    try:
        own.choose(Chosen(**structs.asdict(body)))
    except ValueError as error:
        raise BadRequestError(f"this cannot be chosen: {error}") from error
    await state.pool.shrink()
    return json_response(_given(own))


def _given(own: OwnRecord) -> Contribute:
    terms = own.terms
    return Contribute(
        contribute=terms.contribute,
        ram=terms.ram.text,
        vram=terms.vram.text,
        hours=terms.hours.text,
        now=own.given(),
    )


ROUTES = [
    Endpoint("GET /api/cluster/contribute", show, gives=Contribute),
    Endpoint("PUT /api/cluster/contribute", change, takes=ContributeRequest, gives=Contribute),
]
"""The routes, none of which other machines may ask."""
