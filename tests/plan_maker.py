"""Models and machines for plans, made of numbers."""

from __future__ import annotations

from itertools import combinations

from msgspec import structs

from ayllu.deploy.types import Machine, Way, Ways
from ayllu.gguf.layers import LayerSizes

GB = 10**9
LAN = Way(rtt_ms=0.4, mbs=110.0)
NAMES = "abcdef"


def sizes(
    *weights: int, output: int = 0, kv: int = 0, width: int = 64, largest: int = 0
) -> LayerSizes:
    """A dense model in a type of a byte for each number."""
    return LayerSizes(
        weights=weights,
        active=weights,
        operations=tuple(2 * size for size in weights),
        kv=(kv,) * len(weights),
        embedding=0,
        output=output,
        width=width,
        largest=largest,
    )


def machine(node: str, room: int, **changes: object) -> Machine:
    """A machine like another, which holds the model."""
    usual = Machine(node, node.upper(), room, room, memory_gbs=40.0, tflops=1.0, holds=True)
    return structs.replace(usual, **changes)


def ways(nodes: str, way: Way = LAN) -> Ways:
    """The same way between all of them."""
    return {frozenset(pair): way for pair in combinations(nodes, 2)}


LAN_OF_ALL = ways(NAMES)
