"""What machines say to each other about pieces of models, as msgpack.

A piece is a chunk of a partial file: 1 MiB, the last one shorter. Everything here came from another
machine until `decode` has looked at it. Digests are 64 hex digits of sha256.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from ayllu.cluster.messages import read
from ayllu.models.manifest import MAX_MANIFEST_BYTES
from ayllu.registry.partial import CHUNK

T = TypeVar("T")

MOST_PIECES = 1 << 22
"""Pieces of a blob, 4 TiB: no model is larger, and a map of them is half a mebibyte."""
MOST_CLAIMS = 32
LONGEST_CLAIM = 64
SEGMENT = 16
"""Pieces whose hashes are asked for at once: a machine reads 16 MiB for them."""

Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Size = Annotated[int, Meta(ge=0, le=MOST_PIECES * CHUNK)]
_Number = Annotated[int, Meta(ge=0, lt=MOST_PIECES)]


class Have(Struct, frozen=True, kw_only=True):
    """What a machine has of a blob of `size` bytes, and what it is about to have.

    `bits` tells its pieces, the first one in the lowest bit of the first byte; `complete` that it
    has all of them in its store. `claims` are the runs, from a piece to before another, that it
    fetches from the registry now; `fetches` that it may fetch more. One that `leaves` gives no
    more.
    """

    size: _Size
    bits: Annotated[bytes, Meta(max_length=MOST_PIECES // 8)] = b""
    complete: bool = False
    claims: Annotated[tuple[tuple[_Number, _Number], ...], Meta(max_length=MOST_CLAIMS)] = ()
    fetches: bool = False
    leaves: bool = False

    @property
    def pieces(self) -> int:
        """The pieces as bits of a number, none beyond the last."""
        everything = (1 << -(-self.size // CHUNK)) - 1
        return everything if self.complete else int.from_bytes(self.bits, "little") & everything


class BlobRequest(Struct, frozen=True):
    """Asks what a machine has of a blob: the answer is a Have."""

    digest: Digest


class PieceRequest(Struct, frozen=True):
    """Asks for a piece of a blob of `size` bytes: the answer is its bytes."""

    digest: Digest
    size: _Size
    number: _Number


class HashRequest(Struct, frozen=True):
    """Asks for the sha256 of SEGMENT pieces of a blob, the last ones fewer: 32 bytes each."""

    digest: Digest
    size: _Size
    segment: _Number


class ManifestRequest(Struct, frozen=True):
    """Asks for a model's manifest, by its full name."""

    name: Annotated[str, Meta(max_length=512)]


class ManifestReply(Struct, frozen=True):
    """A manifest's bytes, and what its registry speaks if the model was pulled from one."""

    data: Annotated[bytes, Meta(max_length=MAX_MANIFEST_BYTES)]
    scheme: Literal["", "http", "https"] = ""


def encode(message: Struct) -> bytes:
    """A message's bytes."""
    return msgspec.msgpack.encode(message)


def decode(data: bytes, kind: type[T]) -> T:
    """A message from another machine. Raises BadRequestError for what is none."""
    return read(msgspec.msgpack.Decoder(kind), data, f"this is no {kind.__name__}")
