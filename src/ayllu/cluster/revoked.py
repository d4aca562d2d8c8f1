"""Which members are members no more: a set that only grows, each entry signed by the CA's key.

Sets are merged by union, so that any member may pass them on and none can take an entry away.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from ayllu.cluster.authority import Authority
from ayllu.cluster.folder import write
from ayllu.cluster.identity import Time, is_signed
from ayllu.cluster.messages import read
from ayllu.cluster.record import NodeId
from ayllu.errors import BadRequestError, StoreError

FILE = "revoked.msgpack"
MOST = 4096
LARGEST = 2 << 20
_LONGEST_REASON = 200


class Revocation(Struct, frozen=True, array_like=True):
    """One entry: whom, when (seconds since 1970), why, and the CA's signature over all of it."""

    node: NodeId
    time: Annotated[float, Meta(ge=0, le=1e12)]
    reason: Annotated[str, Meta(max_length=_LONGEST_REASON)]
    signature: Annotated[bytes, Meta(max_length=80)]


_decoder = msgspec.msgpack.Decoder(Annotated[list[Revocation], Meta(max_length=MOST)])


class Revoked:
    """The revoked members of an ayllu, kept in a file where one is given."""

    def __init__(self, authority: Authority, path: Path | None = None) -> None:
        self._authority = authority
        self._path = path
        self._entries: dict[str, Revocation] = {}
        self._watchers: list[Callable[[frozenset[str]], object]] = []
        if path is not None and path.exists():
            try:
                self._add(path.read_bytes())
            except BadRequestError as error:
                raise StoreError(f"{path} is damaged ({error}): move it away") from error

    def __contains__(self, node: str) -> bool:
        return node in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def entries(self) -> tuple[Revocation, ...]:
        """All of them, the oldest first."""
        return tuple(sorted(self._entries.values(), key=lambda entry: (entry.time, entry.node)))

    def reason(self, node: str) -> str:
        """Why a member was revoked; empty where it was not, or nobody said."""
        entry = self._entries.get(node)
        return entry.reason if entry else ""

    def watch(self, on_new: Callable[[frozenset[str]], object]) -> None:
        """Be told the ids of those that are new, after they were written down."""
        self._watchers.append(on_new)

    def revoke(self, node: str, reason: str, now: Time) -> Revocation:
        """Revoke a member for good. Raises ForbiddenError on a machine without the CA's key.

        A machine that held the CA's key itself can still certify others with it.
        """
        if node in self._entries:
            return self._entries[node]
        unsigned = Revocation(node, now, reason[:_LONGEST_REASON], b"")
        signature = self._authority.sign(self._signed(unsigned))
        entry = msgspec.structs.replace(unsigned, signature=signature)
        self.merge(msgspec.msgpack.encode([entry]))
        return entry

    def encode(self) -> bytes:
        """All entries as msgpack, the same bytes on all machines that have the same."""
        return msgspec.msgpack.encode(self.entries)

    def merge(self, data: bytes) -> frozenset[str]:
        """Take in what another machine encoded; the ids that were new.

        Raises BadRequestError for what is none, is too much, or is not all signed by the CA.
        """
        new = self._add(data)
        if new:
            if self._path is not None:
                write(self._path, self.encode())
            for on_new in self._watchers:
                on_new(new)
        return new

    def _add(self, data: bytes) -> frozenset[str]:
        if len(data) > LARGEST:
            raise BadRequestError(f"a list of revoked machines of {len(data)} bytes is too large")
        entries = read(_decoder, data, "this is no list of revoked machines")
        new = {entry.node: entry for entry in entries if entry.node not in self._entries}
        if len(self._entries) + len(new) > MOST:
            raise BadRequestError(f"more than {MOST} machines are revoked")
        for entry in new.values():
            if not is_signed(self._authority.public_key, entry.signature, self._signed(entry)):
                raise BadRequestError(f"the revocation of {entry.node} is not signed by the CA")
        self._entries.update(new)
        return frozenset(new)

    def _signed(self, entry: Revocation) -> bytes:
        """What the CA signs."""
        said = (self._authority.cluster, entry.node, entry.time, entry.reason)
        return b"ayllu revoked 1\0" + msgspec.msgpack.encode(said)
