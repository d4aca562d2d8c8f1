"""Requests and answers of the routes that change the ayllu, and of those that use all of it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from ayllu.models.create import Progress
from ayllu.server.schemas import NEEDED, TEXT, Name, said

_Text = Annotated[str, Meta(max_length=256)]
_Needed = Annotated[
    str, Meta(max_length=4096), said({**TEXT, "minLength": 1, "maxLength": 4096, **NEEDED})
]


class UpRequest(Struct, frozen=True):
    """POST /api/cluster/up. What is given is kept for later starts."""

    name: Annotated[str, Meta(max_length=64)] = ""
    trusted_lan: _Text = ""
    peers: Annotated[list[_Text], Meta(max_length=64)] = []


class InviteRequest(Struct, frozen=True):
    """POST /api/cluster/invite. `admin` null: while there are few machines that may invite."""

    admin: bool | None = None


class JoinRequest(Struct, frozen=True):
    """POST /api/cluster/join."""

    code: _Needed = ""


class PairRequest(Struct, frozen=True):
    """POST /api/cluster/pair: a machine by its name, id or address; none only looks around."""

    node: _Text = ""


class ConfirmRequest(Struct, frozen=True):
    """POST /api/cluster/pair/confirm."""

    pairing: _Needed = ""
    accept: bool = True


class RevokeRequest(Struct, frozen=True):
    """POST /api/cluster/revoke: a member by its name or id."""

    node: _Needed = ""
    reason: Annotated[str, Meta(max_length=200)] = ""


class LeaveRequest(Struct, frozen=True):
    """POST /api/cluster/leave: an empty object."""


class Membership(Struct, frozen=True, kw_only=True):
    """What this machine is now: of which ayllu, where it listens, and what is wrong with that."""

    ayllu: str
    node: str
    name: str
    admin: bool
    endpoints: tuple[str, ...]
    problem: str


class Invitation(Struct, frozen=True, kw_only=True):
    """A code that lets one machine in, once. `expires_at` is RFC 3339."""

    code: str
    expires_at: str
    command: str
    admin: bool | None


class Pairing(Struct, frozen=True, kw_only=True):
    """A machine that could be paired with or, where there is a `pairing`, is being so."""

    node: str
    name: str
    address: str
    pairing: str
    digits: str
    state: str
    sentence: str


class Pairings(Struct, frozen=True):
    """Those that are under way, and machines nearby."""

    pairings: tuple[Pairing, ...]


class Gone(Struct, frozen=True):
    """The machine that was a member."""

    node: str
    name: str


class Holder(Struct, frozen=True, kw_only=True):
    """A machine that has a model; `here` is the one that answers."""

    id: str
    name: str
    loaded: bool
    here: bool


class AylluModel(Struct, frozen=True, kw_only=True):
    """A model of the ayllu: the same name and digest. Size in bytes."""

    name: str
    digest: str
    size: int
    nodes: tuple[Holder, ...]


class AylluModels(Struct, frozen=True):
    """The answer of /api/cluster/models."""

    models: tuple[AylluModel, ...]


class PullOnRequest(Struct, frozen=True):
    """POST /api/cluster/pull: `on` are machines by their names or ids, or `all`."""

    model: Name = ""
    on: Annotated[tuple[_Text, ...], Meta(min_length=1, max_length=256)] = ("all",)
    insecure: bool = False
    stream: bool = True


class PullOnLine(Progress, frozen=True, omit_defaults=True):
    """A step of one machine's pull; `failed` says why it ended without the model."""

    node: str = ""
    name: str = ""
    failed: str = ""
