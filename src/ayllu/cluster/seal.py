"""Messages that say who wrote them: a body, its kind, and the signature of a member's key.

A kind is signed with the body, so that what was sealed as one thing is never taken for another.
Whoever holds an envelope may pass it on: a reader that must not see it twice looks at its time, or
at a counter in the body.
"""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from ayllu.cluster.credentials import Credentials
from ayllu.cluster.identity import Time, is_signed
from ayllu.cluster.messages import read
from ayllu.errors import BadRequestError, ForbiddenError

LARGEST_BODY = 4 << 20
LARGEST = LARGEST_BODY + 8192


class _Envelope(Struct, frozen=True, array_like=True):
    kind: Annotated[str, Meta(max_length=32)]
    time: Annotated[float, Meta(ge=0, le=1e12)]
    body: Annotated[bytes, Meta(max_length=LARGEST_BODY)]
    certificate: Annotated[bytes, Meta(max_length=4096)]
    signature: Annotated[bytes, Meta(max_length=80)]


class Sealed(Struct, frozen=True):
    """What was sealed: by whom, and when by that machine's clock (seconds since 1970)."""

    node: str
    time: Time
    body: bytes


_decoder = msgspec.msgpack.Decoder(_Envelope)


def seal(credentials: Credentials, kind: str, body: bytes, now: Time | None = None) -> bytes:
    """An envelope of this machine. `kind` has at most 32 characters, the body 4 MiB.

    Raises BadRequestError for a larger body.
    """
    if len(body) > LARGEST_BODY:
        raise BadRequestError(f"a message of {len(body)} bytes is too large to be sealed")
    when = time.time() if now is None else now
    signature = credentials.identity.sign(_signed(credentials, kind, when, body))
    envelope = _Envelope(kind, when, body, credentials.certificate, signature)
    return msgspec.msgpack.encode(envelope)


def unseal(credentials: Credentials, kind: str, data: bytes, now: Time | None = None) -> Sealed:
    """What a member sealed as this kind; about 0.1 ms when its certificate was seen before.

    Raises BadRequestError for what is no such envelope, ForbiddenError for a signature that is
    not its writer's, CertificateError for a writer who is no member (now).
    """
    if len(data) > LARGEST:
        raise BadRequestError(f"an envelope of {len(data)} bytes is too large")
    envelope = read(_decoder, data, "this is no sealed envelope")
    if envelope.kind != kind:
        raise BadRequestError(f"this envelope is not of the kind {kind}")
    writer = credentials.check(envelope.certificate, now)
    signed = _signed(credentials, kind, envelope.time, envelope.body)
    if not is_signed(writer.key, envelope.signature, signed):
        raise ForbiddenError(f"the envelope is not signed by {writer.node}, whom it names")
    return Sealed(writer.node, envelope.time, envelope.body)


def _signed(credentials: Credentials, kind: str, when: Time, body: bytes) -> bytes:
    head = msgspec.msgpack.encode((credentials.cluster, kind, when))
    return b"ayllu seal 1\0" + head + body
