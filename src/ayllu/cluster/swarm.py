"""Who is asked for which piece of a blob next. Nothing here waits, reads or sends.

Sets of pieces are numbers (`bits.py`). Times are seconds of any clock that does not go back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from ayllu.cluster.bits import bits, lowest, rarities, run, span, union
from ayllu.cluster.have import LONGEST_CLAIM, Have
from ayllu.registry.ranges import Part

SOURCES = 4
PIPE = 4
"""Pieces that are under way at once: from so many machines, so many from each."""
FIRST_PIPE = 2
QUICK, SLOW = 1.0, 3.0
"""Seconds for a piece that let a machine be asked for more, or less, at once."""
PIECE_SECONDS, FIRST_PIECE_SECONDS = (3.0, 15.0), 5.0
MOST_FAILURES = 3
REST_SECONDS = 30.0
CLAIM_SECONDS = 10.0
"""A claim without progress is void then, or after four times what our own pieces take."""
OLD_CLAIM_SECONDS = 30.0
THEFT_SECONDS = 0.1
"""How long others may object before a block is fetched that should be another machine's."""
LATE_SECONDS = 0.5
LEAST_BLOCK, MOST_BLOCK, BLOCKS = 2, 8, 64


class Request(NamedTuple):
    """A piece, and whom to ask for it."""

    node: str
    number: int


class _Claim:
    """Pieces `start` to before `end` that a machine says it fetches."""

    def __init__(self, start: int, now: float) -> None:
        self.start = start
        self.since = now
        self.moved = now


class Peer:
    """Another machine, as this download knows it."""

    def __init__(self) -> None:
        self.has = 0
        self.complete = False
        self.fetches = False
        self.barred = False
        self.claims: dict[int, _Claim] = {}
        self.asked: dict[int, float] = {}
        self.pipe = FIRST_PIPE
        self.pace = 0.0
        self.failures = 0
        self.rests_until = 0.0
        self.lost_until = 0.0

    def is_usable(self, now: float) -> bool:
        """Whether it may be asked now."""
        return self.counts(now) and now >= self.rests_until

    def counts(self, now: float) -> bool:
        """Whether what it has need not be had from elsewhere."""
        return not self.barred and now >= self.lost_until


class Swarm:
    """One blob's download: what is here, and what each other machine has."""

    def __init__(self, me: str, digest: str, count: int) -> None:
        self.peers: dict[str, Peer] = {}
        self.parts: list[Part] = []
        """What this machine fetches from the registry now."""
        self.fetches = False
        self.pace = 0.0
        self._me = me
        self._digest = digest
        self._count = count
        self._all = (1 << count) - 1
        self._have = 0
        self._block = min(max(count // BLOCKS, LEAST_BLOCK), MOST_BLOCK)
        self._own: tuple[tuple[str, ...], int] = ((), 0)
        self._theft: tuple[int, int, float] | None = None
        self._unchecked: set[int] = set()

    def begin(self, missing: Iterable[int]) -> None:
        """These pieces are missing, all others are here."""
        self._have = self._all
        for number in missing:
            self.miss(number)
        self.parts = []
        self._theft = None
        self._unchecked.clear()
        for peer in self.peers.values():
            peer.asked.clear()

    def landed(self, number: int) -> None:
        """A piece is here."""
        self._have |= 1 << number

    def miss(self, number: int) -> None:
        """A piece is not here."""
        self._have &= ~(1 << number)

    def has(self, number: int) -> bool:
        """Whether a piece is here."""
        return bool(self._have >> number & 1)

    @property
    def missing(self) -> int:
        """The pieces that are not here."""
        return self._all & ~self._have

    # what others say

    def heard(self, node: str, have: Have, now: float) -> list[Part]:
        """Note what a machine says; returns parts of ours that it fetches with more right."""
        peer = self.peers.setdefault(node, Peer())
        peer.has, peer.complete, peer.fetches = have.pieces, have.complete, have.fetches
        known, peer.claims = peer.claims, {}
        for start, end in have.claims:
            end = min(end, start + LONGEST_CLAIM, self._count)  # noqa: PLW2901 - a bound
            if start < end:
                claim = peer.claims[end] = known.get(end) or _Claim(start, now)
                if start != claim.start:
                    claim.start, claim.moved = start, now
        theirs = self._claimed(peer, now)
        return [part for part in self.parts if self._yields(part, node, theirs)]

    def left(self, node: str) -> None:
        """A machine is gone, with what it had."""
        self.peers.pop(node, None)

    def bar(self, node: str, *, barred: bool = True) -> None:
        """Ask a machine for nothing more, or again."""
        if peer := self.peers.get(node):
            peer.barred = barred

    def holders(self) -> list[str]:
        """The machines that have all of the blob and may be believed, the quickest first."""
        found = ((node, self.peers[node]) for node in self.all_holders())
        return [node for node, peer in found if not peer.barred and not peer.lost_until]

    def all_holders(self) -> list[str]:
        """The same with those that are not asked any more behind them."""
        found = [node for node, peer in self.peers.items() if peer.complete]
        return sorted(found, key=lambda node: (self.peers[node].barred, self.peers[node].pace))

    def patience(self, node: str) -> float:
        """How many seconds a machine may take for a piece, by those that it sent before."""
        pace = self.peers[node].pace if node in self.peers else 0
        least, most = PIECE_SECONDS
        return min(max(10 * pace, least), most) if pace else FIRST_PIECE_SECONDS

    def note_pace(self, seconds: float) -> None:
        """Note how long a stream of the registry takes for a piece."""
        self.pace = 0.8 * self.pace + 0.2 * seconds

    def is_shared(self) -> bool:
        """Whether another machine downloads the blob as well."""
        return any(not peer.complete and not peer.barred for peer in self.peers.values())

    def hopes(self, now: float) -> bool:
        """Whether others have a piece that is missing, or may fetch it."""
        peers = [peer for peer in self.peers.values() if peer.counts(now)]
        return any(peer.has & self.missing or peer.fetches for peer in peers)

    # pieces from others

    def next_request(self, now: float) -> Request | None:
        """The piece to ask for next, of the machine that has least to do; None for none now."""
        usable = {node: peer for node, peer in self.peers.items() if peer.is_usable(now)}
        active = {node for node, peer in usable.items() if peer.asked}
        free = sorted(
            (node for node, peer in usable.items() if len(peer.asked) < peer.pipe),
            key=lambda node: (len(usable[node].asked) / usable[node].pipe, usable[node].pace),
        )
        wanted = self.missing & ~self._asked() & ~bits(part.number for part in self.parts)
        levels: list[int] | None = None
        for node in free:
            peer = usable[node]
            if node not in active and len(active) >= SOURCES:
                continue
            if peer.has & wanted:
                levels = levels or rarities([one.has for one in usable.values()])
                number = self._rarest(peer.has & wanted, levels, now)
            elif not wanted and (late := self._late(node, now)):
                number = lowest(late)
            else:
                continue
            peer.asked[number] = now
            return Request(node, number)
        return None

    def arrived(self, request: Request, now: float) -> None:
        """A machine sent what it was asked for; until `checked` nobody else is asked."""
        self._unchecked.add(request.number)
        peer = self.peers.get(request.node)
        if peer is None or request.number not in peer.asked:
            return
        seconds = now - peer.asked.pop(request.number)
        peer.pace = seconds if not peer.pace else 0.8 * peer.pace + 0.2 * seconds
        peer.failures, peer.lost_until = 0, 0.0
        if seconds < QUICK:
            peer.pipe = min(peer.pipe + 1, PIPE)
        elif seconds > SLOW:
            peer.pipe = max(peer.pipe - 1, 1)

    def checked(self, number: int) -> None:
        """A piece that arrived was stored, or is still missing."""
        self._unchecked.discard(number)

    def failed(self, request: Request, now: float) -> None:
        """A machine sent nothing, or nothing in time: it is asked for less, and later."""
        peer = self.peers.get(request.node)
        if peer is None or peer.asked.pop(request.number, None) is None:
            return
        peer.pipe = max(peer.pipe // 2, 1)
        peer.failures += 1
        peer.rests_until = now + 0.1 * 2**peer.failures
        if peer.failures >= MOST_FAILURES or not peer.pace:
            peer.lost_until = now + REST_SECONDS
            peer.failures = 0

    def _asked(self) -> int:
        """What is on its way from other machines."""
        asked = (number for peer in self.peers.values() for number in peer.asked)
        return bits(asked) | bits(self._unchecked)

    def _rarest(self, found: int, levels: list[int], now: float) -> int:
        """The piece that fewest have; of several one of a block that is ours to spread."""
        found = next(found & level for level in levels if found & level)
        return lowest(found & self._own_blocks(now) or found)

    def _late(self, node: str, now: float) -> int:
        """The pieces that a machine has and that another one, asked for them, is late with."""
        paces = [peer.pace for peer in self.peers.values() if peer.pace]
        limit = max(LATE_SECONDS, 4 * min(paces, default=0))
        times: dict[int, list[float]] = {}
        for peer in self.peers.values():
            for number, since in peer.asked.items():
                times.setdefault(number, []).append(since)
        late = bits(n for n, found in times.items() if len(found) == 1 and now - found[0] > limit)
        own = bits(self.peers[node].asked) | bits(self._unchecked)
        return late & self.missing & self.peers[node].has & ~own

    # blocks from the registry

    def take(self, longest: int, now: float) -> Part | None:
        """The next pieces to fetch from the registry, of those that no other machine has.

        Where several machines fetch, each has blocks of its own, by rendezvous hashing; whoever is
        done with its own takes what nobody has claimed, once it has said so and nobody objects.
        """
        peers = [peer for peer in self.peers.values() if peer.counts(now)]
        held = union(peer.has for peer in peers)
        free = self.missing & ~held & ~self._asked() & ~self._taken()
        if not free:
            self._theft = None
            return None
        claimed = union(self._claimed(peer, now) for peer in peers)
        if len(self._fetchers(now)) == 1 and not claimed:
            return self._begin(free, longest)
        if own := free & ~claimed & self._own_blocks(now):
            return self._begin(own, self._rest_of_block(own))
        return self._steal(free, claimed, peers, now)

    def take_all(self, now: float) -> Part | None:
        """All that is missing as one part, once, unless other machines have all of it."""
        held = union(peer.has for peer in self.peers.values() if peer.counts(now))
        if self.parts or not self.missing & ~held:
            return None
        part = Part(lowest(self.missing), self.missing.bit_length())
        self.parts.append(part)
        return part

    def ended(self, part: Part) -> None:
        """A part is fetched no more."""
        if part in self.parts:
            self.parts.remove(part)

    @property
    def claims(self) -> tuple[tuple[int, int], ...]:
        """What to tell others that this machine fetches."""
        found = [(part.number, part.end) for part in self.parts if part.number < part.end]
        return (*found, *([self._theft[:2]] if self._theft else []))

    @property
    def is_stealing(self) -> bool:
        """Whether a block is about to be taken that should be another machine's."""
        return self._theft is not None

    def _begin(self, free: int, longest: int) -> Part:
        start = lowest(free)
        part = Part(start, start + run(free >> start, longest))
        self.parts.append(part)
        return part

    def _rest_of_block(self, pieces: int) -> int:
        return self._block - lowest(pieces) % self._block

    def _taken(self) -> int:
        return union(span(part.number, part.end) for part in self.parts)

    def _steal(self, free: int, claimed: int, peers: list[Peer], now: float) -> Part | None:
        if self._theft and now - self._theft[2] < THEFT_SECONDS:
            return None
        if self._theft:
            start, end, _ = self._theft
            self._theft = None
            mine = free & ~claimed & span(start, end)
            if mine:
                return self._begin(mine, self._rest_of_block(mine))
        pieces = free & ~claimed or free & self._old_claims(peers, now)
        if pieces:
            start = self._favourite(pieces)
            self._theft = (
                start,
                start + run(pieces >> start, self._block - start % self._block),
                now,
            )
        return None

    def _favourite(self, pieces: int) -> int:
        """A block to take: another one on each machine, as far as there are several."""
        starts: list[int] = []
        while pieces and len(starts) < BLOCKS:
            start = lowest(pieces)
            starts.append(start)
            end = start - start % self._block + self._block
            pieces = pieces >> end << end
        return max(starts, key=lambda start: self._score(start // self._block, self._me))

    def _old_claims(self, peers: list[Peer], now: float) -> int:
        return union(
            span(claim.start, end)
            for peer in peers
            for end, claim in peer.claims.items()
            if now - claim.since > OLD_CLAIM_SECONDS
        )

    def _claimed(self, peer: Peer, now: float) -> int:
        """What a machine claims and goes on with."""
        if not peer.fetches or peer.barred:
            return 0
        patience = max(CLAIM_SECONDS, 4 * self.pace)
        return union(
            span(claim.start, end)
            for end, claim in peer.claims.items()
            if now - claim.moved < patience
        )

    def _yields(self, part: Part, node: str, theirs: int) -> bool:
        block = part.number // self._block
        return bool(
            theirs & span(part.number, part.end)
            and self._score(block, node) > self._score(block, self._me)
        )

    def _fetchers(self, now: float) -> tuple[str, ...]:
        """The machines that may fetch from the registry, this one among them."""
        others = (n for n, peer in self.peers.items() if peer.fetches and peer.counts(now))
        return (*sorted(others), self._me)

    def _own_blocks(self, now: float) -> int:
        """The pieces of the blocks that this machine is to fetch, and to spread."""
        nodes = self._fetchers(now)
        if nodes != self._own[0]:
            mask = 0
            for block in range(-(-self._count // self._block)):
                if max(nodes, key=lambda node: self._score(block, node)) == self._me:
                    mask |= span(block * self._block, (block + 1) * self._block)
            self._own = nodes, mask
        return self._own[1]

    def _score(self, block: int, node: str) -> bytes:
        text = f"{self._digest} {block} {node}".encode()
        return hashlib.blake2b(text, digest_size=8).digest()
