"""Which machine answers a request: the one that is expected to be done first. Pure functions.

A conversation keeps to its machine, which has its beginning in the KV cache: machines are put in an
order of each conversation's own by rendezvous hashing (Thaler and Ravishankar, "A Name-Based
Mapping Scheme for Rendezvous", 1996: a machine that joins takes 1/n of them over), and passed over
where they have more than 1.25 times their share of the requests, as in "Consistent Hashing with
Bounded Loads" (Mirrokni, Thorup, Zadimoghaddam, arXiv:1608.01350).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from msgspec import Struct

from ayllu.deploy.predict import ANSWER, ENGINE_SECONDS, UNKNOWN_GBS, UNKNOWN_TFLOPS, UNKNOWN_WAY

BOUND = 1.25
"""How much more than its share of the requests a machine takes of those that come to it by hash."""
NEAR = 1.25
"""How much longer than on the best machine a request may take on the one of its conversation."""
START_SECONDS = 2.0
"""What loading takes besides reading the file."""
_DISK_MBS = 500.0
"""What is assumed of a machine whose disk was not measured."""
_LEAST = 1e-6
"""Of any rate, for they are another machine's word."""


class Work(Struct, frozen=True):
    """A request: what identifies its conversation's beginning, tokens of prompt, bytes of body."""

    key: bytes = b""
    prompt: int = 0
    length: int = 0


class Replica(Struct, frozen=True, kw_only=True):
    """A machine that has a model of `size` bytes, by its manifest's digest.

    Rates are measured ones, 0 where nothing was. `busy` are requests that run or wait there.
    `trouble` is how far it is to be avoided: those of a higher number come after all of a lower
    one. A machine that is `here` needs no hop; where the model does not `fit`, it would have to be
    split over several.
    """

    node: str
    digest: str
    size: int
    loaded: bool
    busy: int
    memory_gbs: float = 0.0
    tflops: float = 0.0
    disk_mbs: float = 0.0
    rtt_ms: float = 0.0
    mbs: float = 0.0
    trouble: int = 0
    here: bool = False
    fits: bool = True


def order(work: Work, replicas: Iterable[Replica]) -> tuple[Replica, ...]:
    """The machines in the order in which they are to be asked."""
    found = sorted(replicas, key=lambda one: (*_class(one), finish_seconds(one, work), one.node))
    home = _home(work, [one for one in found if _class(one) == _class(found[0])])
    return tuple(found) if home is None else (home, *(one for one in found if one is not home))


def _class(replica: Replica) -> tuple[int, bool]:
    """Machines of a lower class are all asked before those of a higher one."""
    return replica.trouble, not replica.fits


def is_near(replica: Replica, best: Replica, work: Work) -> bool:
    """Whether a machine would be done about as soon as the best one."""
    return finish_seconds(replica, work) <= NEAR * finish_seconds(best, work)


def finish_seconds(replica: Replica, work: Work) -> float:
    """In how many seconds a machine would be done with a request.

    Those before it are half done, on average; where they run beside it, they take as much of the
    machine.
    """
    own = prefill_seconds(replica, work.prompt) + _decode_seconds(replica)
    load = 0.0 if replica.loaded else _load_seconds(replica)
    return load + own + own * replica.busy / 2 + _hop_seconds(replica, work.length)


def prefill_seconds(replica: Replica, tokens: int) -> float:
    """Reading a prompt: two operations for each parameter, of about a byte, and token."""
    return 2 * replica.size * tokens / _rate(replica.tflops, UNKNOWN_TFLOPS, 1e12)


def _decode_seconds(replica: Replica) -> float:
    """Each token reads all weights. Bodies are not read for what limits an answer."""
    read = replica.size / _rate(replica.memory_gbs, UNKNOWN_GBS, 1e9)
    return ANSWER * (read + ENGINE_SECONDS)


def _load_seconds(replica: Replica) -> float:
    return START_SECONDS + replica.size / _rate(replica.disk_mbs, _DISK_MBS, 1e6)


def _hop_seconds(replica: Replica, length: int) -> float:
    if replica.here:
        return 0.0
    way = length / _rate(replica.mbs, UNKNOWN_WAY.mbs, 1e6)
    return 2 * (replica.rtt_ms or UNKNOWN_WAY.rtt_ms) / 1e3 + way


def _rate(measured: float, otherwise: float, unit: float) -> float:
    """A rate per second, of what it was measured as."""
    return max(measured or otherwise, _LEAST) * unit


def _home(work: Work, found: Sequence[Replica]) -> Replica | None:
    """The machine of a conversation, where it is about as good as the best; `found` is in order."""
    if not work.key or not found:
        return None
    best = finish_seconds(found[0], work)
    share = math.ceil(BOUND * (sum(one.busy for one in found) + 1) / len(found))
    named = {one.node: one for one in found}
    for one in map(named.__getitem__, by_hash(work.key, named)):
        with_cache = finish_seconds(one, work) - prefill_seconds(one, work.prompt)
        if one.busy < share and with_cache <= NEAR * best:
            return one
    return None


def by_hash(key: bytes, nodes: Iterable[str]) -> list[str]:
    """Machines' ids in the order that a key gives them, the same wherever it is asked.

    Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous", 1996.
    """
    return sorted(nodes, key=lambda node: blake2b(node.encode(), key=key[:64]).digest())
