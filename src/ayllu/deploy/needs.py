"""What a model takes on machines that share its layers: pure sums, a range in constant time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import accumulate

from ayllu.deploy.types import Demand
from ayllu.gguf.layers import LayerSizes

BUFFER_ROWS = 32
"""Numbers of the model's width that the engine computes with, per token of a batch."""
PROCESS = 32 << 20
"""What an engine's process takes by itself (llama-server 45 MiB with a model of 10 MB, a worker 12
beside its buffers)."""
FLOAT = 4
"""Bytes of a number that a layer hands to the next."""


class Needs:
    """The memory that a model takes for a demand, in bytes.

    `layers` is what all layers take, `head` what the machine that answers takes besides its layers,
    `worker` what any other one does.
    """

    def __init__(self, sizes: LayerSizes, demand: Demand) -> None:
        tokens = demand.context * demand.slots
        buffer = PROCESS + demand.adapters + demand.batch * sizes.width * FLOAT * BUFFER_ROWS
        self.count = sizes.layers
        self.head = sizes.head + demand.draft + buffer
        self.worker = sizes.largest + buffer
        self._sums = sums(w + kv * tokens for w, kv in zip(sizes.weights, sizes.kv, strict=True))

    @property
    def layers(self) -> int:
        """What all layers take."""
        return self._sums[-1]

    @property
    def whole(self) -> int:
        """What the model takes on one machine."""
        return self.head_size(self.count)

    def of(self, first: int, end: int) -> int:
        """What the layers from `first` up to `end` take, that one left out."""
        return self._sums[end] - self._sums[first]

    def head_size(self, layers: int) -> int:
        """What the machine that answers holds with so many of the first layers."""
        return self.head + self.of(0, layers)

    def worker_size(self, first: int, end: int) -> int:
        """What another machine holds with these layers."""
        return self.worker + self.of(first, end)

    def forward(self, first: int, room: int) -> int:
        """The end of the layers that fit a room, from `first` on."""
        return max(first, bisect_right(self._sums, self._sums[first] + room) - 1)

    def back(self, end: int, room: int) -> int:
        """The first of the layers that fit a room, if `end` is the first of those after them."""
        return min(end, bisect_left(self._sums, self._sums[end] - room))


def sums(values: Iterable[int]) -> tuple[int, ...]:
    """The sums of the first 0, 1, 2, ... values."""
    return tuple(accumulate(values, initial=0))
