"""Requests and answers of the routes for models on several machines, which are ours."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from ayllu.deploy.types import Kind
from ayllu.server.schemas import Name

MOST_SLOTS = 256
MOST_CONTEXT = 1 << 24


class PlanRequest(Struct, frozen=True):
    """POST /api/cluster/plan. What is left out is as the model would be loaded."""

    model: Name = ""
    context: Annotated[int, Meta(ge=1, le=MOST_CONTEXT)] | None = None
    slots: Annotated[int, Meta(ge=1, le=MOST_SLOTS)] | None = None


class StageRow(Struct, frozen=True):
    """Layers on a machine: `first` is the first one's number, `size` all that it takes there."""

    node: str
    name: str
    first: int
    layers: int
    size: int


class PlanCandidate(Struct, frozen=True):
    """A way to run the model: on the first of its machines lies what belongs to no layer.

    `first_token` are seconds to the first token of a prompt of 512, `wait` those until a request
    would be taken up.
    """

    kind: Kind
    stages: tuple[StageRow, ...]
    tokens_per_second: float
    first_token: float
    wait: float
    why: str


class PlanResponse(Struct, frozen=True, kw_only=True):
    """The answer of /api/cluster/plan: the best way first, or the refusal that says what lacks.

    `node` and `name` are of the machine that made the plan. Sizes are in bytes.
    """

    model: str
    node: str
    name: str
    context: int
    slots: int
    layers: int
    size: int
    candidates: tuple[PlanCandidate, ...]
    refusal: str = ""
