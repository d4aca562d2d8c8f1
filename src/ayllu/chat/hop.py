"""What belongs to a request that came from another machine, and may go on at a third one.

The layer that takes such a request sets it (server/carrier.py), and it holds for all that runs for
the request. Handlers need not know: ids and times are asked for here, and are the same on each
machine that has a part in the answer; without a hop they are new.
"""

from __future__ import annotations

import secrets
import time
from contextvars import ContextVar
from hashlib import blake2b


class Hop:
    """One request's. `seed` and `started` (seconds since 1970) are of the machine that sent it.

    `part` is which of several answers the next item is of, `failed` the status of the error that
    the next one tells of, 0 for none.
    """

    def __init__(self, seed: bytes, started: int) -> None:
        self._seed = seed
        self.started = started
        self._made = 0
        self.part = 0
        self.failed = 0

    def token(self, size: int) -> str:
        """The next id's hex digits, as random as the seed is; `size` is in bytes."""
        self._made += 1
        return blake2b(b"%d" % self._made, key=self._seed, digest_size=size).hexdigest()


HOP: ContextVar[Hop | None] = ContextVar("hop", default=None)


def is_hop() -> bool:
    """Whether the request came from another machine."""
    return HOP.get() is not None


def new_token(size: int) -> str:
    """Hex digits of so many bytes (64 at most) that nobody can guess, for an id."""
    hop = HOP.get()
    return secrets.token_hex(size) if hop is None else hop.token(size)


def started_at() -> int:
    """When the request was made, in seconds since 1970."""
    hop = HOP.get()
    return int(time.time()) if hop is None else hop.started


def note_part(part: int) -> None:
    """What is told next belongs to one of several answers."""
    if (hop := HOP.get()) is not None:
        hop.part = part


def note_failure(status: int) -> None:
    """What is told next is an error, of this status, in place of the rest of the answer."""
    if (hop := HOP.get()) is not None:
        hop.failed = status
