"""What the machines of an ayllu say to each other, in a few words of our own.

`zenoh_bus.py` says them over Zenoh with mutual TLS. An ayllu has two buses: one for control, one
for pieces of models, so that small questions do not wait behind large answers.

Keys are paths without wildcards, as `record/<node>`; patterns may have `*` for one step. A bus puts
the ayllu's id before them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from ayllu.errors import AylluError

LIVE = "live/{node}"
RECORD = "record/{node}"
PULSE = "pulse/{node}"
REVOKED = "revoked/{node}"
PING = "ping/{node}"
BURST = "burst/{node}"
HAVE = "have/{digest}/{node}"
HOLDS = "holds/{node}"
MANIFEST = "manifest/{node}"
PIECE = "piece/{node}"
HASHES = "hashes/{node}"
"""The keys, by what they carry. `digest` is 64 hex digits."""

Close = Callable[[], None]
"""Ends what was begun."""


class BusError(AylluError):
    """Nobody answered, or whoever did could not: the sentence says which."""

    status = 502


class Bus(Protocol):
    """An open bus. Everything but answers of `serve` happens on the event loop that opened it."""

    def announce(self, key: str) -> Close:
        """Say that the key is alive until it is closed, or this process or its network dies."""

    def watch(self, pattern: str, on_change: Callable[[str, bool], None]) -> Close:
        """Be told of keys that others announce (True) and that are no more (False).

        Those that are alive already are told first.
        """

    def publish(self, key: str, data: bytes) -> None:
        """Send to whoever is subscribed now; nothing is kept."""

    def subscribe(self, pattern: str, on_data: Callable[[str, bytes], None]) -> Close:
        """Be given what others publish."""

    def serve(self, key: str, answer: Callable[[bytes], bytes]) -> Close:
        """Answer questions to a key. `answer` runs in a thread of the bus and may block.

        It may raise AylluError, whose sentence the asker gets as a BusError; any other error is
        logged, rarely, and the asker gets a BusError without its text.
        """

    async def call(self, key: str, data: bytes = b"", *, seconds: float = 5.0) -> bytes:
        """The answer to a question. Raises BusError after `seconds` or when refused."""

    async def gather(
        self, pattern: str, data: bytes = b"", *, seconds: float = 1.0
    ) -> Mapping[str, bytes]:
        """The answers of all who serve keys of a pattern, by key; those that failed are left out.

        It waits for those that are connected, at most `seconds`.
        """

    async def close(self) -> None:
        """Leave: what was announced dies, what was served is no more."""
