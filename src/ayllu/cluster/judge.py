"""Whether pieces from other machines are what they should be, and who is to blame where not.

A piece is checked when it comes, by the list of a machine that has the whole blob, the reference.
Where the two disagree, other holders are asked. What they cannot settle, the sha256 of the whole
blob does: if it is wrong, one account after another is put to the test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from ayllu.cluster.hashes import Call, Hashes
from ayllu.cluster.swarm import Request, Swarm
from ayllu.cluster.trust import Trust, sides
from ayllu.registry.neighbours import Landing

MOST_WITNESSES = 3

_log = structlog.get_logger(__name__)


class Judge:
    """One download's. `on_liar` hears of machines that are proven to have sent what is wrong."""

    def __init__(
        self,
        call: Call,
        digest: str,
        landing: Landing,
        swarm: Swarm,
        on_liar: Callable[[str, str], None],
    ) -> None:
        self._landing = landing
        self._swarm = swarm
        self._on_liar = on_liar
        self._trust = Trust()
        self._lists = Hashes(call, digest, landing.size, landing.count, self._on_silence)
        self._reference: str | None = None
        self._tested: set[str] = set()
        self._silent: set[str] = set()
        self._accused: dict[str | None, set[str]] = {}
        """Who is not asked any more on the word of a reference alone."""

    def _on_silence(self, node: str, reason: str) -> None:
        self._silent.add(node)
        _log.info("another machine gave no list of hashes", node=node, reason=reason)

    def expect(self, number: int) -> None:
        """A piece is asked for: have its hash at hand when it comes."""
        if holder := self._holder():
            self._lists.begin(holder, number)

    async def check_in(self, request: Request, data: bytes) -> bool | None:
        """Store a piece; whether it was taken, and None where it was, and nobody vouches for it."""
        node, number = request
        voucher, wanted = await self._expected(number)
        found = await self._landing.put(number, data, wanted=wanted)
        if found is None:
            self._swarm.bar(node)
            self._on_liar(node, f"it sent {len(data)} bytes as a piece of a model")
            return False
        if wanted is not None and voucher is not None and found != wanted:
            await self._settle(request, found, voucher, wanted)
            return False
        if self._swarm.has(number):
            return False
        self._trust.accept(number, found, node, voucher)
        return voucher is not None or None

    async def doubt(self) -> bool:
        """Forget what somebody may have lied about; False where there is nothing left to doubt."""
        for node in self._swarm.all_holders():
            if node not in self._tested:
                self._tested.add(node)
                if await self._compare(node):
                    return True
        for sender, pieces in self._trust.senders.items():
            if pieces:
                self._swarm.bar(sender)
                self._forget(pieces.copy())
                return True
        if self._swarm.fetches and self._trust.vouchers:
            for node in self._swarm.peers:
                self._swarm.bar(node)
            self._forget(set(self._trust.vouchers))
            return True
        return False

    async def conclude(self) -> None:
        """The whole blob is right: tell of those who said something else of a piece."""
        truth = {number: await self._landing.sha256(number) for number in self._trust.disputed}
        for node, number in self._trust.liars(truth).items():
            self._on_liar(node, f"piece {number} of a model was not what it said")

    async def close(self) -> None:
        """End all questions."""
        await self._lists.close()

    def _holder(self) -> str | None:
        """The machine whose lists are believed for now."""
        holders = [node for node in self._swarm.holders() if node not in self._silent]
        if self._reference not in holders:
            for node in self._accused.pop(self._reference, ()):
                self._swarm.bar(node, barred=False)
            holders = [node for node in self._swarm.holders() if node not in self._silent]
            self._reference = holders[0] if holders else None
        return self._reference

    async def _expected(self, number: int) -> tuple[str | None, bytes | None]:
        """Whose list says what a piece has to be; None where no list is to be had."""
        while holder := self._holder():
            if wanted := await self._lists.of(holder, number):
                return holder, wanted
        return None, None

    async def _settle(self, request: Request, found: bytes, voucher: str, wanted: bytes) -> None:
        """A piece is not what the reference says: ask others, and leave who stands alone."""
        node, number = request
        self._trust.claim(node, number, found)
        self._trust.claim(voucher, number, wanted)
        witnesses = [one for one in self._swarm.holders() if one not in {node, voucher}]
        said = await asyncio.gather(
            *(self._lists.of(one, number) for one in witnesses[:MOST_WITNESSES])
        )
        if voucher != self._holder():
            return  # it is not believed any more: the piece comes again
        if node != voucher and not sides(wanted, found, filter(None, said)):
            self._swarm.bar(node)
            self._accused.setdefault(voucher, set()).add(node)
            return
        self._swarm.bar(voucher)
        self._holder()

    async def _compare(self, node: str) -> bool:
        """Forget the pieces that a machine's list denies; whether there were any."""
        self._silent.discard(node)
        wrong = set()
        for number in range(self._landing.count):
            wanted = await self._lists.of(node, number)
            if wanted is None:
                break
            if wanted != await self._landing.sha256(number):
                self._trust.claim(node, number, wanted)
                wrong.add(number)
        if wrong:
            if self._reference not in {None, node}:
                self._swarm.bar(str(self._reference))
            self._swarm.bar(node, barred=False)
            self._reference = node
            self._forget(wrong)
        return bool(wrong)

    def _forget(self, pieces: set[int]) -> None:
        for number in pieces:
            self._trust.forget(number)
            self._landing.forget(number)
