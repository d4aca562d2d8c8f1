"""Where models run on several machines: deployments, and what /api/ps says of them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from ayllu.cluster.record import MOST_STAGES
from ayllu.server.schemas import Name
from ayllu.server.wire_plan import MOST_CONTEXT, MOST_SLOTS, StageRow

_Text = Annotated[str, Meta(max_length=256)]


class Placement(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Where a model runs, the machine that answers first, and how fast, in tokens per second.

    `predicted` and `measured` are of one stream; `replays` counts the times that it was placed anew
    because a part was lost.
    """

    stages: tuple[StageRow, ...] = ()
    predicted: float = 0.0
    measured: float = 0.0
    replays: int = 0


class DeployRequest(Struct, frozen=True):
    """POST /api/cluster/deployments. What is left out is as the model would be loaded."""

    model: Name = ""
    nodes: Annotated[tuple[_Text, ...], Meta(max_length=MOST_STAGES)] = ()
    split: Annotated[
        tuple[Annotated[int, Meta(ge=0, le=1 << 16)], ...], Meta(max_length=MOST_STAGES)
    ] = ()
    context: Annotated[int, Meta(ge=1, le=MOST_CONTEXT)] | None = None
    slots: Annotated[int, Meta(ge=1, le=MOST_SLOTS)] | None = None
    tensor_split: bool = False
    stream: bool = True


class DeploymentRow(Struct, frozen=True, kw_only=True):
    """A model that a machine runs on several, or was told to run (`pinned`).

    `node` and `name` are of the machine that answers. Where it does not run it has no stages.
    """

    id: str
    model: str
    digest: str
    node: str
    name: str
    pinned: bool
    tensor_split: bool
    placement: Placement


class Deployments(Struct, frozen=True):
    """GET /api/cluster/deployments: this machine's first."""

    deployments: tuple[DeploymentRow, ...]


class DeployLine(Struct, frozen=True, omit_defaults=True):
    """A step of a deployment; the last one is `success`, with what runs now."""

    status: str
    deployment: DeploymentRow | None = None


class Undeployed(Struct, frozen=True):
    """The deployment that is none any more."""

    id: str
    model: str
