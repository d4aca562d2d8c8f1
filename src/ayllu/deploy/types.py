"""The nouns of placement: machines and the ways between them, stages, candidates, plans.

What a model takes is `gguf.layers.LayerSizes`.

Sizes are in bytes, times in seconds unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from ayllu.cluster.record import Stage

Kind = Literal["local", "route", "replicate", "split"]


class Demand(Struct, frozen=True):
    """What is asked of a model: tokens of context per slot, slots, a draft model beside it.

    Sizes are in bytes; any machine may get all of the `adapters`.
    `batch` is how many tokens of a prompt the engine takes at a time, `accepted` how many tokens a
    step yields with the draft model (1 without).
    """

    context: int
    slots: int = 1
    batch: int = 128
    draft: int = 0
    adapters: int = 0
    accepted: float = 1.0


class Machine(Struct, frozen=True):
    """A machine as far as a plan is concerned. Rates are measured ones, 0 where nothing was.

    `room` is what a model may take there, of RAM or of its graphics cards' memory: what is free,
    less the headroom, and no more than its owner gives. `worker_room` is the same for a part of
    another machine's model.
    """

    node: str
    name: str
    room: int
    worker_room: int
    memory_gbs: float = 0.0
    tflops: float = 0.0
    tiles: bool = False
    """Its processor multiplies matrices in tiles (AMX)."""
    holds: bool = False
    """The model lies in its store."""
    loaded: bool = False
    """The model is in its memory, ready to answer."""
    busy: int = 0
    """Requests that run or wait there."""
    may_work: bool = True
    """It takes parts of other machines' models: same engine, not in quarantine, its owner wills."""
    vram: int = 0
    """Of `room`, what lies on graphics cards: a head's layers of a split model do not go there."""


class Way(Struct, frozen=True):
    """Between two machines: round trip in milliseconds, MB/s (1e6 bytes), 0 where not measured."""

    rtt_ms: float
    mbs: float
    wireless: bool = False


Ways = Mapping[frozenset[str], Way]
"""The measured ways, by the two machines' ids."""


class Candidate(Struct, frozen=True):
    """One way to run a model, and what it would give. The first stage is the head's.

    The head answers; it holds the first layers, the embedding and the output. The others are
    workers, in the order in which a token passes them.
    """

    kind: Kind
    stages: tuple[Stage, ...]
    tokens_per_second: float
    """For one stream."""
    first_token: float
    """Seconds to the first token of a prompt of 512."""
    wait: float = 0.0
    """Seconds until a request would be taken up."""
    why: str = ""

    @property
    def head(self) -> str:
        """The id of the machine that answers."""
        return self.stages[0].node


class Plan(Struct, frozen=True):
    """The candidates, the best first. Where there is none, `refusal` says how many bytes lack."""

    candidates: tuple[Candidate, ...]
    refusal: str = ""
