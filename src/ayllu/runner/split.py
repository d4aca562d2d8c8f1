"""What the pool asks of those that have parts of a model run on other machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ayllu.models.model import Model
from ayllu.runner.options import LoadOptions


class Share(Protocol):
    """The parts of one model that other machines hold for a child here. Whoever got it ends it."""

    @property
    def load(self) -> LoadOptions:
        """What the child is started with."""

    @property
    def size(self) -> int:
        """Bytes that it takes on this machine."""

    @property
    def lost(self) -> str:
        """Which part was lost, in a sentence; empty while all are there."""

    def watch(self, on_loss: Callable[[str], object]) -> None:
        """Be told, once and in a sentence, when a part is lost: also where it was lost before."""

    async def end(self, *, crashed: bool) -> None:
        """Give the parts back. A child that `crashed` may have done so for want of one."""


class Splitter(Protocol):
    """Decides whether a model is loaded here alone."""

    def is_pinned(self, model: Model) -> bool:
        """Whether the owner said where this one runs: it then shares its engine with no other."""

    async def split(self, model: Model, load: LoadOptions) -> Share | None:
        """The share of other machines; None where the model is to be loaded here as a whole.

        Raises EngineError where it fits nowhere.
        """
