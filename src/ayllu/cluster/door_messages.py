"""What is said at the join door: one request and one reply per connection, over TLS 1.3.

Each is msgpack after its length (4 bytes, big-endian). The door shows its machine's certificate and
asks for none. Whatever proves something is bound to that certificate, so that nobody in between can
pass it on: `statement` is what proofs are made of.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from ayllu.cluster.keyring import Grant
from ayllu.cluster.messages import read
from ayllu.cluster.record import NodeId
from ayllu.errors import BadRequestError

LARGEST_REQUEST = 64 << 10
LARGEST_REPLY = 4 << 20
"""A reply may hold the list of the revoked."""
_Der = Annotated[bytes, Meta(max_length=4096)]
_Name = Annotated[str, Meta(max_length=256)]
_Nonce = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Proof = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Signature = Annotated[bytes, Meta(max_length=80)]
_Id = Annotated[bytes, Meta(min_length=16, max_length=16)]
_Time = Annotated[float, Meta(ge=0, le=1e12)]
_Cluster = Annotated[str, Meta(pattern=r"\A([a-z2-7]{20})?\Z")]


class Hello(Struct, frozen=True, tag="hello"):
    """Who are you? Anybody may ask."""


class About(Struct, frozen=True, tag="about"):
    """What anybody may know. `cluster` and `ca` are empty outside of any ayllu.

    `time` is the machine's clock, `ends` when its certificate runs out (seconds since 1970).
    """

    node: NodeId
    name: _Name
    version: _Name
    time: _Time
    cluster: _Cluster = ""
    ca: _Der = b""
    ends: _Time = 0.0
    admin: bool = False


class Join(Struct, frozen=True, tag="join"):
    """Let me in by an invite. `proof` is an HMAC by its key over the door, the request, the name.

    `request` is PKCS #10, DER, here and below.
    """

    invite: Annotated[bytes, Meta(min_length=8, max_length=8)]
    request: _Der
    name: _Name
    proof: _Proof


class Trusted(Struct, frozen=True, tag="trusted"):
    """Let me in, for I know the secret of this LAN. `port` is of the asker's own door.

    `alone` says that the asker has an ayllu, of itself alone, that it would give up.
    """

    request: _Der
    name: _Name
    nonce: _Nonce
    alone: bool
    port: Annotated[int, Meta(ge=0, lt=1 << 16)]
    proof: _Proof


class Granted(Struct, frozen=True, tag="granted"):
    """Come in."""

    grant: Grant


class Admitted(Struct, frozen=True, tag="admitted"):
    """I know the secret too: `proof` is over the grant.

    Without a grant it is the asker whose ayllu both shall be in; it makes one where it has none,
    and I shall knock there.
    """

    proof: _Proof
    grant: Grant | None = None


class Renew(Struct, frozen=True, tag="renew"):
    """Renew my certificate, which may have run out. `signature` is by its key."""

    certificate: _Der
    request: _Der
    signature: _Signature


class Renewed(Struct, frozen=True, tag="renewed"):
    """The new certificate, and who was revoked meanwhile."""

    certificate: _Der
    revoked: Annotated[bytes, Meta(max_length=LARGEST_REPLY)]


class PairStart(Struct, frozen=True, tag="pair"):
    """Shall we pair? `cluster` is the asker's ayllu, if it has one and may sign for it."""

    request: _Der
    name: _Name
    cluster: _Cluster = ""


class PairOffer(Struct, frozen=True, tag="offer"):
    """Yes: here is a promise of my nonce. `gives` says that the door's machine will sign."""

    pairing: _Id
    commitment: _Proof
    request: _Der
    name: _Name
    gives: bool


class PairReveal(Struct, frozen=True, tag="reveal"):
    """The asker's nonce, which it names before it sees the door's."""

    pairing: _Id
    nonce: _Nonce


class PairNonce(Struct, frozen=True, tag="nonce"):
    """The nonce that was promised; both sides can show the code now."""

    nonce: _Nonce


class PairAnswer(Struct, frozen=True, tag="answer"):
    """What the asker's user says of the code: nothing yet, yes or no. Sent again and again.

    `grant` is there when the asker is the one who signs, and both users said yes.
    """

    pairing: _Id
    yes: bool | None
    signature: _Signature
    grant: Grant | None = None


class PairState(Struct, frozen=True, tag="state"):
    """What the door's user says, and the grant when both said yes and the door's machine signs."""

    yes: bool | None
    grant: Grant | None = None


class Refused(Struct, frozen=True, tag="refused"):
    """No, in a sentence."""

    sentence: Annotated[str, Meta(max_length=1000)]


Request = Hello | Join | Trusted | Renew | PairStart | PairReveal | PairAnswer
Reply = About | Granted | Admitted | Renewed | PairOffer | PairNonce | PairState | Refused

_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)
_REFUSAL = "this is not what is said at a join door"


def read_request(data: bytes) -> Request:
    """A request. Raises BadRequestError for what is none."""
    return read(_requests, data, _REFUSAL)


def read_reply(data: bytes) -> Reply:
    """A reply. Raises BadRequestError for what is none."""
    return read(_replies, data, _REFUSAL)


def frame(message: Request | Reply) -> bytes:
    """A message after its length."""
    data = msgspec.msgpack.encode(message)
    return len(data).to_bytes(4, "big") + data


async def read_frame(reader: asyncio.StreamReader, largest: int) -> bytes:
    """What follows a length.

    Raises BadRequestError where it is too long, EOFError (IncompleteReadError) where it is cut.
    """
    size = int.from_bytes(await reader.readexactly(4), "big")
    if size > largest:
        raise BadRequestError(f"a message of {size} bytes is too large")
    return await reader.readexactly(size)


def statement(purpose: str, *parts: object) -> bytes:
    """What is proved or signed: a purpose and its parts, in bytes that mean nothing else."""
    return b"ayllu door 1\0" + msgspec.msgpack.encode((purpose, *parts))


def shown(text: str, longest: int = 64) -> str:
    """A text of a stranger, fit to be shown in a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text[:longest])
