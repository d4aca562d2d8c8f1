"""What belongs to a request that came from another machine, and may go on at a third one.

The layer that takes such a request sets it (server/carrier.py), and it holds for all that runs for
the request. Handlers need not know: ids and times are asked for here, and are the same on each
machine that has a part in the answer; without a hop they are new.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from hashlib import blake2b

from ayllu.chat.said import Item, Said


class Hop:
    """One request's. `seed` and `started` (seconds since 1970) are of the machine that sent it.

    Several answers to it are counted in the order in which they begin: `said` is what was said of
    each elsewhere, and `hear` is called with each Item of their records. `part` is which of them
    the next item for the client is of, `failed` the status of the error that it tells of, or 0.
    """

    def __init__(
        self,
        seed: bytes,
        started: int,
        said: Mapping[int, Said],
        hear: Callable[[int, Item], None],
    ) -> None:
        self._seed = seed
        self.started = started
        self._said = said
        self._hear = hear
        self._answers = 0
        self._made = 0
        self.part = 0
        self.failed = 0

    def token(self, size: int) -> str:
        """The next id's hex digits, as random as the seed is; `size` is in bytes."""
        self._made += 1
        return blake2b(b"%d" % self._made, key=self._seed, digest_size=size).hexdigest()

    def begin_answer(self) -> tuple[Said | None, Callable[[Item], None]]:
        """What was said of the next answer elsewhere, and what is to be called with its Items."""
        number = self._answers
        self._answers += 1
        return self._said.get(number), partial(self._hear, number)


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
