"""A way to run one model on several machines, as deployments need it: llama.cpp's RPC is the first.

A second one has other children on the machines; what is asked of it stays the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from msgspec import Struct

from ayllu.cluster.record import Stage
from ayllu.errors import EngineError
from ayllu.models.model import Model
from ayllu.runner.options import LoadOptions


class Job(Struct, frozen=True, kw_only=True):
    """What is to be run, and where: the first stage is this machine's.

    `fence` grows with every placement of a deployment: of two that claim the same parts, the
    greater one is right.
    """

    deployment: str
    fence: int
    model: Model
    load: LoadOptions
    stages: tuple[Stage, ...]


class PartLostError(EngineError):
    """A machine does not hold its part, or holds it no more."""

    def __init__(self, node: str, sentence: str) -> None:
        super().__init__(sentence)
        self.node = node


class Backend(Protocol):
    """One model's parts on other machines. Whoever made one stops it."""

    def prepare(self) -> AsyncIterator[str]:
        """Have every machine hold its part, with what it needs for that; says how far it is.

        Raises PartLostError where a machine cannot.
        """

    async def start(self) -> LoadOptions:
        """What the engine of this machine is started with. Raises PartLostError."""

    def health(self) -> PartLostError | None:
        """What was lost first; None while all parts are there."""

    def watch(self, on_loss: Callable[[PartLostError], object]) -> None:
        """Be told once, when the first part is lost: also where it was lost before."""

    def places(self) -> Sequence[Stage]:
        """Where each layer is, this machine's first."""

    async def stop(self) -> None:
        """Give all parts back. Safe to call twice."""
