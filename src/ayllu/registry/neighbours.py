"""What a download asks of other machines of the user's, and what stands in where there are none.

`cluster/sharing.py` is the one that asks them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from msgspec import Struct

from ayllu.registry.ranges import Part


class Offer(Struct, frozen=True):
    """A manifest that another machine has: its bytes as they are, and that machine's name.

    `scheme` is what its registry speaks where it was pulled from one, empty where it was made.
    """

    data: bytes
    giver: str
    scheme: str


class Landing(Protocol):
    """A download, as whoever brings pieces from elsewhere sees it. Pieces are its chunks."""

    size: int
    count: int

    def stored(self) -> Iterable[tuple[int, bool]]:
        """The pieces that are here, and whether this machine vouches for each."""

    async def put(self, number: int, data: bytes, *, wanted: bytes | None) -> bytes | None:
        """Store a piece whose sha256 is `wanted`, if that is known; one that is here stays.

        Where it is not known, nobody vouches for the piece.
        Returns the sha256 of `data`, stored or not; None where the piece has another length.
        """

    async def sha256(self, number: int) -> bytes:
        """That of a piece as it lies on the disk."""

    def read(self, number: int) -> bytes | None:
        """A piece that is here; None where it is not, or not as it was. From any thread."""

    def forget(self, number: int) -> None:
        """Take a piece for missing."""

    def end_stream(self, number: int) -> None:
        """Fetch from the registry no more than what is there of the part with this piece."""

    def wake(self) -> None:
        """There may be parts to take, or nothing to hope for."""


class Share(Protocol):
    """One blob's exchange with other machines, for the time of its download."""

    received: int
    """Bytes that others gave."""
    givers: set[str]
    """The machines that gave them."""

    def begin(self, missing: list[int]) -> None:
        """These pieces are missing; all others are here."""

    def take(self, longest: int) -> Part | None:
        """The next pieces to fetch from the registry, at most `longest`; None for none now."""

    def take_all(self) -> Part | None:
        """All that is missing as one part, from a registry that sends no ranges; once."""

    def landed(self, number: int) -> None:
        """A piece came from the registry."""

    def miss(self, number: int) -> None:
        """A piece that was here is missing."""

    def ended(self, part: Part) -> None:
        """A part that was taken is fetched no more, though some of it may be missing."""

    def leave_registry(self) -> None:
        """The registry gives no more."""

    @property
    def hopes(self) -> bool:
        """Whether others have, or are about to have, what is missing."""

    async def run(self) -> None:
        """Exchange until cancelled."""

    async def doubt(self) -> bool:
        """The whole has a wrong digest: forget what somebody may have lied about.

        Returns whether there was anything; then the missing pieces have to come anew.
        """

    async def conclude(self) -> None:
        """The whole has the digest that it should, and is about to get its name."""

    def close(self, *, complete: bool) -> None:
        """The download has ended; `complete` says that the whole lies in the store."""


class Neighbours(Protocol):
    """The other machines."""

    def open(self, digest: str, landing: Landing, *, fetches: bool) -> Share:
        """Share a blob's download; `fetches` says that there is a registry to fetch it from."""

    async def manifest(self, name: str) -> Offer | None:
        """The manifest of the model of a full name; None where no machine has it."""


class Alone:
    """A share of nobody's."""

    def __init__(self) -> None:
        self.received = 0
        self.givers: set[str] = set()
        self._missing: deque[int] = deque()

    def begin(self, missing: list[int]) -> None:
        """These pieces are missing."""
        self._missing = deque(missing)

    def take(self, longest: int) -> Part | None:
        """The next pieces without a gap."""
        part = None
        while self._missing and (
            part is None or (self._missing[0] == part.end and part.end - part.number < longest)
        ):
            number = self._missing.popleft()
            part = part or Part(number, number)
            part.end = number + 1
        return part

    def take_all(self) -> Part | None:
        """All that is missing."""
        if not self._missing:
            return None
        part = Part(self._missing[0], self._missing[-1] + 1)
        self._missing.clear()
        return part

    def landed(self, number: int) -> None:
        """A piece came, as it should."""

    def miss(self, number: int) -> None:
        """A piece is missing after all."""
        self._missing.append(number)

    def ended(self, part: Part) -> None:
        """It ends when all of it is here, or with the download."""

    def leave_registry(self) -> None:
        """There is nobody else to ask."""

    @property
    def hopes(self) -> bool:
        """None."""
        return False

    async def run(self) -> None:
        """There is nothing to exchange."""
        await asyncio.get_running_loop().create_future()

    async def doubt(self) -> bool:
        """Nobody else is to blame."""
        return False

    async def conclude(self) -> None:
        """There is nobody to tell."""

    def close(self, *, complete: bool) -> None:
        """There is nobody to tell."""
