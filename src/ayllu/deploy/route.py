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

BOUND = 1.25
"""How much more than its share of the requests a machine takes of those that come to it by hash."""
NEAR = 1.25
"""How much longer than on the best machine a request may take on the one of its conversation."""
TOKENS = 256
"""How long an answer is expected to be: bodies are not read for what limits it."""
STEP_SECONDS = 0.002
"""What each token takes besides reading the weights."""
START_SECONDS = 0.5
"""What loading takes besides reading the file."""
_MEMORY_GBS, _TFLOPS, _DISK_MBS, _RTT_MS, _MBS = 10.0, 0.1, 500.0, 5.0, 10.0
"""What is assumed of a machine, or of the way to it, that was not measured yet."""


class Work(Struct, frozen=True):
    """A request: what identifies its conversation's beginning, tokens of prompt, bytes of body."""

    key: bytes = b""
    prompt: int = 0
    length: int = 0


class Replica(Struct, frozen=True, kw_only=True):
    """A machine that has a model of `size` bytes, by its manifest's digest.

    Rates are measured ones, 0 where nothing was. `busy` are requests that run or wait there.
    `trouble` is how far it is to be avoided: those of a higher number come after all of a lower
    one. A machine that is `here` needs no hop.
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


def order(work: Work, replicas: Iterable[Replica]) -> tuple[Replica, ...]:
    """The machines in the order in which they are to be asked."""
    found = sorted(replicas, key=lambda one: (one.trouble, finish_seconds(one, work), one.node))
    home = _home(work, [one for one in found if one.trouble == found[0].trouble])
    return tuple(found) if home is None else (home, *(one for one in found if one is not home))


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
    return 2 * replica.size * tokens / ((replica.tflops or _TFLOPS) * 1e12)


def _decode_seconds(replica: Replica) -> float:
    """Each token reads all weights."""
    read = replica.size / ((replica.memory_gbs or _MEMORY_GBS) * 1e9)
    return TOKENS * (read + STEP_SECONDS)


def _load_seconds(replica: Replica) -> float:
    return START_SECONDS + replica.size / ((replica.disk_mbs or _DISK_MBS) * 1e6)


def _hop_seconds(replica: Replica, length: int) -> float:
    if replica.here:
        return 0.0
    return 2 * (replica.rtt_ms or _RTT_MS) / 1e3 + length / ((replica.mbs or _MBS) * 1e6)


def _home(work: Work, found: Sequence[Replica]) -> Replica | None:
    """The machine of a conversation, where it is about as good as the best; `found` is in order."""
    if not work.key or not found:
        return None
    best = finish_seconds(found[0], work)
    share = math.ceil(BOUND * (sum(one.busy for one in found) + 1) / len(found))
    for one in by_hash(work.key, found):
        with_cache = finish_seconds(one, work) - prefill_seconds(one, work.prompt)
        if one.busy < share and with_cache <= NEAR * best:
            return one
    return None


def by_hash(key: bytes, found: Iterable[Replica]) -> list[Replica]:
    """The machines in the order that a key gives them, the same wherever it is asked."""
    return sorted(found, key=lambda one: blake2b(one.node.encode(), key=key[:64]).digest())
