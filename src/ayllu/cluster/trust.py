"""Which machine lied about a blob, by what each said of its pieces. Nothing here waits or sends.

A piece that one machine sent and another one's list denies is a claim of both. The sha256 of the
whole blob decides at the end, and not before, which of two claims was true: until then the machine
that fewer agree with is only not asked any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class Trust:
    """What is known for one download. Pieces' hashes are sha256, 32 bytes."""

    def __init__(self) -> None:
        self.vouchers: dict[int, tuple[str, bytes]] = {}
        """Who stands for a piece that is here, and its hash: the machine whose list it was checked
        by, or, without one, the machine that sent it."""
        self.senders: dict[str, set[int]] = {}
        """The pieces that are here on nothing but their sender's word."""
        self._claims: dict[str, dict[int, set[bytes]]] = {}

    def accept(self, number: int, sha256: bytes, sender: str, voucher: str | None) -> None:
        """Note a piece that was stored."""
        self.vouchers[number] = (voucher or sender, sha256)
        if voucher is None:
            self.senders.setdefault(sender, set()).add(number)

    def forget(self, number: int) -> None:
        """A piece is not here any more; who stood for it has claimed that it was right."""
        if found := self.vouchers.pop(number, None):
            self.claim(found[0], number, found[1])
        for pieces in self.senders.values():
            pieces.discard(number)

    def claim(self, node: str, number: int, sha256: bytes) -> None:
        """A machine said what a piece is, and something else was said as well."""
        self._claims.setdefault(node, {}).setdefault(number, set()).add(sha256)

    @property
    def disputed(self) -> frozenset[int]:
        """The pieces that the whole blob has to decide on."""
        return frozenset(number for claims in self._claims.values() for number in claims)

    def liars(self, truth: Mapping[int, bytes]) -> dict[str, int]:
        """The machines that claimed something wrong, and of which piece, by the right hashes."""
        return {
            node: wrong
            for node, claims in self._claims.items()
            if (wrong := next((n for n, said in claims.items() if said != {truth[n]}), None))
            is not None
        }


def sides(claim: bytes, denial: bytes, witnesses: Iterable[bytes]) -> bool:
    """Whether more machines deny a list's claim than say the same; each side has one to begin."""
    votes = [1 if said == denial else -1 for said in witnesses if said in {claim, denial}]
    return sum(votes) > 0
