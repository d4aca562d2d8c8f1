"""Which machine of the ayllu answers for a model that this one does not have. A pure function."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ayllu.cluster.record import HeldModel, Record

_NO_LINK = 1000.0
"""Milliseconds to a machine that was not measured yet: it comes last among equals."""


def choose(records: Iterable[Record], model: str, rtt: Mapping[str, float]) -> tuple[Record, ...]:
    """The machines that have a model, the best first.

    `model` is a name as lists show it (`mini:latest`), in any case; `rtt` has milliseconds to other
    machines by their id. Best is who has it loaded, then who has the fewest requests running, then
    who reads it from memory the fastest (each token reads all of it), then who is nearest.
    """
    ranked = []
    for record in records:
        held = _held(record, model)
        if held is not None:
            ranked.append((_rank(record, held, rtt), record))
    return tuple(record for _, record in sorted(ranked, key=lambda pair: pair[0]))


def _held(record: Record, model: str) -> HeldModel | None:
    wanted = model.lower()
    return next((held for held in record.models if held.name.lower() == wanted), None)


def _rank(
    record: Record, held: HeldModel, rtt: Mapping[str, float]
) -> tuple[bool, int, float, float, str]:
    speed = record.speed.memory_gbs if record.speed is not None else 0.0
    return (
        not held.loaded,
        record.load.running + record.load.waiting,
        -speed / max(held.size, 1),
        rtt.get(record.node, _NO_LINK),
        record.node,
    )
