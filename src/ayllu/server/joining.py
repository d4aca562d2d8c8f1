"""What the owner of a machine does with its ayllu: make it, invite, join, pair, revoke, leave."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from ayllu import values
from ayllu.cluster.node import LocalNode
from ayllu.config import parse_peers
from ayllu.errors import BadRequestError, NotFoundError
from ayllu.gotime import format_time
from ayllu.server import wire_joining as wire
from ayllu.server.openapi import Endpoint
from ayllu.server.state import read_body, state_of
from ayllu.server.stream import json_response

T = TypeVar("T")


async def up(request: Request) -> Response:
    """POST /api/cluster/up: take part in an ayllu, and make one where this machine is in none."""
    body, node = await read_body(request, wire.UpRequest), state_of(request).cluster
    await node.up(
        name=_read(values.node_name, body.name, "name") if body.name else "",
        trusted_lan=_read(values.secret, body.trusted_lan, "trusted_lan"),
        peers=_read(parse_peers, ",".join(body.peers), "peers"),
    )
    return json_response(_membership(node))


async def invite(request: Request) -> Response:
    """POST /api/cluster/invite: make a code that lets one machine in, once."""
    body = await read_body(request, wire.InviteRequest)
    code, expires = await state_of(request).cluster.invite(admin=body.admin)
    return json_response(
        wire.Invitation(
            code=code,
            expires_at=format_time(round(expires * 1e9)),
            command=f"ayllu join {code}",
            admin=body.admin,
        )
    )


async def join(request: Request) -> Response:
    """POST /api/cluster/join: join the ayllu that a code is of."""
    body, node = await read_body(request, wire.JoinRequest), state_of(request).cluster
    await node.join(body.code)
    return json_response(_membership(node))


async def pairings(request: Request) -> Response:
    """GET /api/cluster/pair: list the pairing under way, and machines that can be paired."""
    return json_response(_pairings(state_of(request).cluster))


async def pair(request: Request) -> Response:
    """POST /api/cluster/pair: show this machine to others, and begin to pair it with one."""
    body, node = await read_body(request, wire.PairRequest), state_of(request).cluster
    await node.pair(body.node)
    return json_response(_pairings(node))


async def confirm(request: Request) -> Response:
    """POST /api/cluster/pair/confirm: say whether both machines show the same digits."""
    body, node = await read_body(request, wire.ConfirmRequest), state_of(request).cluster
    if node.nearby is None:
        raise NotFoundError("there is no such pairing (any more): begin again")
    node.nearby.confirm(body.pairing, accept=body.accept)
    return json_response(_pairings(node))


async def revoke(request: Request) -> Response:
    """POST /api/cluster/revoke: take a machine out of the ayllu for good."""
    body, node = await read_body(request, wire.RevokeRequest), state_of(request).cluster
    gone, name = await node.revoke(body.node, body.reason)
    return json_response(wire.Gone(node=gone, name=name))


async def leave(request: Request) -> Response:
    """POST /api/cluster/leave: take this machine out of its ayllu."""
    await read_body(request, wire.LeaveRequest)
    node = state_of(request).cluster
    gone = await node.leave()
    return json_response(wire.Gone(node=gone, name=node.name))


def _read(parse: Callable[[str], T], text: str, field: str) -> T:
    """What a setting's reader makes of a field. Raises BadRequestError."""
    try:
        return parse(text)
    except ValueError as error:
        raise BadRequestError(f"{field} is not usable: {error}") from error


def _membership(node: LocalNode) -> wire.Membership:
    me = node.own.record
    return wire.Membership(
        ayllu=node.ayllu,
        node=me.node,
        name=me.name,
        admin=me.admin,
        endpoints=me.endpoints.peer,
        problem=node.problem,
    )


def _pairings(node: LocalNode) -> wire.Pairings:
    meetings = node.nearby.meetings() if node.nearby is not None else ()
    return wire.Pairings(tuple(wire.Pairing(**structs.asdict(one)) for one in meetings))


ROUTES = [
    Endpoint("POST /api/cluster/up", up, takes=wire.UpRequest, gives=wire.Membership),
    Endpoint("POST /api/cluster/invite", invite, takes=wire.InviteRequest, gives=wire.Invitation),
    Endpoint("POST /api/cluster/join", join, takes=wire.JoinRequest, gives=wire.Membership),
    Endpoint("GET /api/cluster/pair", pairings, gives=wire.Pairings),
    Endpoint("POST /api/cluster/pair", pair, takes=wire.PairRequest, gives=wire.Pairings),
    Endpoint(
        "POST /api/cluster/pair/confirm",
        confirm,
        takes=wire.ConfirmRequest,
        gives=wire.Pairings,
    ),
    Endpoint("POST /api/cluster/revoke", revoke, takes=wire.RevokeRequest, gives=wire.Gone),
    Endpoint("POST /api/cluster/leave", leave, takes=wire.LeaveRequest, gives=wire.Gone),
]
"""The routes, none of which other machines may ask."""
