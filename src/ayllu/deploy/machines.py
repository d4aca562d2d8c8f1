"""Machines and the ways between them as plans see them, from what the machines say of themselves.

Pure. Plans' rooms are cut here: what is free less a headroom, what the owner gives. What a machine
really gives, beside the parts that it holds already, it says itself (`leases.room_left`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ayllu.cluster.record import Contribution, Gpu, Link, Record
from ayllu.deploy.types import Machine, Way, Ways

HEADROOM = 0.1
"""The share of free memory that a plan leaves alone."""
WORKER_SHARE = 0.7
"""The share of a machine's RAM that parts of other machines' models may take. A worker that takes
more than three quarters makes the engine crash (llama.cpp #15055)."""
_TILES = "amx_int8"
"""The instruction set for which the engine rearranges weights of all common types."""
_SHARED = frozenset({"metal", "mtl", "blas"})
"""Backends, in lower case, whose devices have no memory of their own."""


def machine_of(
    record: Record,
    *,
    digest: str,
    engine: str,
    here: str,
    set_aside: bool = False,
) -> Machine:
    """A machine as it looks to a plan for the model of a manifest's digest, made on `here`.

    `engine` is the build that all machines of a split need. Models that nobody uses make room for
    others, as the pool there has it, but not for parts of another machine's model.
    """
    given = record.contribute
    if record.node != here and (set_aside or not given.enabled):
        return Machine(record.node, record.name, 0, 0, may_work=False)
    held = next((one for one in record.models if one.digest == digest), None)
    busy = record.load.running + record.load.waiting
    loaded = [one for one in record.models if one.loaded]
    taken = sum(one.size for one in loaded)
    goes = sum(one.size for one in loaded if one is held or not busy)
    cards = [gpu for gpu in record.hardware.gpus if gpu.backend.lower() not in _SHARED]
    free, total = record.load.ram_free, record.hardware.ram_total
    if cards:
        vram = _vram(cards, given, taken, goes)
        ram = _room(free, total, given)
        worker = max(_vram([gpu], given, taken) for gpu in cards)
    else:
        vram = 0
        ram = _room(free, total, given, taken, goes)
        worker = min(_room(free, total, given, taken), int(WORKER_SHARE * total))
    speed = record.speed
    return Machine(
        node=record.node,
        name=record.name,
        room=ram + vram,
        worker_room=worker,
        memory_gbs=speed.memory_gbs if speed is not None else 0.0,
        tflops=speed.tflops if speed is not None else 0.0,
        tiles=_TILES in record.hardware.isa,
        holds=held is not None,
        loaded=held is not None and held.loaded,
        busy=busy,
        may_work=record.engine == engine and given.enabled and not set_aside,
        vram=vram,
    )


def ways_of(records: Iterable[Record]) -> Ways:
    """The ways between machines, which both ends measure.

    The shorter round trip counts, for an end that is busy only ever makes it longer, and of two
    rates the later one. A rate is only measured when it is quiet, so that one end may lack it.
    """
    measured: dict[frozenset[str], list[Link]] = {}
    for record in records:
        for link in record.links:
            measured.setdefault(frozenset((record.node, link.to)), []).append(link)
    return {ends: _way(links) for ends, links in measured.items() if len(ends) > 1}


def _way(links: list[Link]) -> Way:
    latest = sorted(links, key=lambda link: (-link.measured_at, link.to))
    return Way(
        rtt_ms=min(link.rtt_p50 for link in links),
        mbs=next((link.mbs for link in latest if link.mbs), 0.0),
        wireless=any(link.wireless for link in latest),
    )


def _vram(cards: Sequence[Gpu], given: Contribution, taken: int, goes: int = 0) -> int:
    free, total = sum(gpu.vram_free for gpu in cards), sum(gpu.vram_total for gpu in cards)
    return _room(free, total, given, taken, goes, on_gpu=True)


def _room(
    free: int,
    total: int,
    given: Contribution,
    taken: int = 0,
    goes: int = 0,
    *,
    on_gpu: bool = False,
) -> int:
    """Bytes for a model beside those that take so much, of which some goes to make room for it."""
    room = int((1 - HEADROOM) * min(free + goes, total))
    limit = given.vram if on_gpu else given.ram
    return max(min(room, limit - (taken - goes)), 0) if limit else room
