"""One-time codes by which a machine joins: whose CA, where its door is, and a secret.

A code is `ayllu-` and base32 of: version (1 byte), length of all (1), the first 16 bytes of the
SHA-256 of the CA's public key, a secret (16), when it runs out (4, seconds since 1970), addresses
(family 4 or 6, IP, port), and the first 4 bytes of the SHA-256 of all that.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Meta, Struct

from ayllu.cluster.authority import Authority
from ayllu.cluster.endpoints import join_endpoint, split_endpoint
from ayllu.cluster.folder import read, write
from ayllu.cluster.identity import Time, public_bytes
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.moments import moment
from ayllu.errors import BadRequestError, ForbiddenError

SECONDS = 15 * 60.0
LONGEST_SECONDS = 24 * 3600.0
FILE = "invites.json"
PREFIX = "ayllu-"
_VERSION = 1
_FIXED = 2 + 16 + 16 + 4
_CHECKSUM = 4
_MOST_ADDRESSES = 8
_MOST_KEPT = 256
_REMEMBERED = 24 * 3600.0
"""For so long an invite that is no more is told from one that never was."""
_LOOKS_LIKE = str.maketrans("018", "olb")


class InviteError(BadRequestError):
    """A code cannot be used; the sentence says why."""


class Invite(Struct, frozen=True):
    """What a code says. `addresses` are join doors, `host:port`; `expires` in seconds since 1970.

    `fingerprint` is of the CA's public key.
    """

    fingerprint: bytes
    secret: bytes
    expires: Time
    addresses: tuple[str, ...]

    @property
    def cluster(self) -> str:
        """The ayllu's id."""
        return base64.b32encode(self.fingerprint).decode()[:20].lower()

    @property
    def id(self) -> bytes:
        """8 bytes by which the machine that issued it finds it; they say nothing of the key."""
        return _derived(self.secret, b"id", 8)

    @property
    def key(self) -> bytes:
        """The key of proofs, 32 bytes."""
        return _derived(self.secret, b"key", 32)


class Kept(Struct, frozen=True):
    """What the machine that issued an invite keeps of it: never the secret itself."""

    id: Annotated[bytes, Meta(min_length=8, max_length=8)]
    key: Annotated[bytes, Meta(min_length=32, max_length=32)]
    expires: float
    admin: bool | None = None
    used_by: str = ""


class Invites:
    """The invites of this machine, in a file of the keyring's folder: a restart voids none."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def issue(
        self, addresses: Iterable[str], *, admin: bool | None = None, seconds: float = SECONDS
    ) -> Invite:
        """A new invite that one machine can use, once.

        `addresses` are this machine's join doors, `host:port`; those that nobody else could reach
        are left out. `admin` says whether the machine gets the CA's key (`Keyring.grant`).
        Raises ForbiddenError on a machine that may not sign, BadRequestError without an address.
        """
        own = self._keyring.admin()
        if not 0 < seconds <= LONGEST_SECONDS:
            raise BadRequestError("an invite lasts more than 0 seconds and at most 24 hours")
        usable = reachable(addresses)
        if not usable:
            raise BadRequestError("no other machine could reach this one: it has no address")
        now = self._keyring.clock()
        mark = fingerprint(own.authority)
        invite = Invite(mark, secrets.token_bytes(16), float(int(now + seconds)), usable)
        kept = [one for one in self._load() if now < one.expires + _REMEMBERED]
        if len(kept) >= _MOST_KEPT:
            raise BadRequestError(f"there are {_MOST_KEPT} invites already: wait until some expire")
        self._save([*kept, Kept(invite.id, invite.key, invite.expires, admin)])
        return invite

    def find(self, id_: bytes) -> Kept:
        """An invite that was issued here, used or not, in time or not. Raises InviteError."""
        for one in self._load():
            if hmac.compare_digest(one.id, id_):
                return one
        raise InviteError(
            "this machine knows no such invite: it was issued by another machine or another "
            "ayllu, or long ago; run `ayllu invite` again"
        )

    def check(self, invite: Kept, node: str) -> None:
        """Raises InviteError where an invite is used by another machine already, or expired."""
        if invite.used_by and invite.used_by != node:  # the same one may not have got the answer
            raise InviteError(
                "this invite was used already, by another machine: run `ayllu invite` again"
            )
        if self._keyring.clock() > invite.expires:
            raise InviteError(
                f"this invite expired at {moment(invite.expires)}: run `ayllu invite` again"
            )

    def use(self, invite: Kept, node: str) -> None:
        """Note who used an invite."""
        kept = [one for one in self._load() if one.id != invite.id]
        self._save([*kept, msgspec.structs.replace(invite, used_by=node)])

    @property
    def _path(self) -> Path:
        return self._keyring.identity.folder / FILE

    def _load(self) -> list[Kept]:
        return read(self._path, list[Kept]) or []

    def _save(self, kept: list[Kept]) -> None:
        write(self._path, msgspec.json.encode(kept))


def fingerprint(authority: Authority) -> bytes:
    """16 bytes of the SHA-256 of a CA's public key; the ayllu's id is its beginning."""
    return hashlib.sha256(public_bytes(authority.public_key)).digest()[:16]


def check_authority(invite: Invite, authority: Authority) -> None:
    """Raises ForbiddenError where a CA is not the one that the invite is of."""
    if not hmac.compare_digest(fingerprint(authority), invite.fingerprint):
        raise ForbiddenError(
            f"the machine that answers is of the ayllu {authority.cluster}, and the invite of "
            f"{invite.cluster}: its address is taken, or somebody is in between"
        )


def reachable(addresses: Iterable[str]) -> tuple[str, ...]:
    """Of `host:port` texts those that others can use; loopback ones only where there is no other.

    Link-local ones are left out, for they mean something else on each machine.
    """
    usable, local = [], []
    for text in dict.fromkeys(addresses):
        ip = ipaddress.ip_address(split_endpoint(text)[0])
        if ip.is_loopback:
            local.append(text)
        elif not (ip.is_unspecified or ip.is_link_local or ip.is_multicast):
            usable.append(text)
    return tuple((usable or local)[:_MOST_ADDRESSES])


def encode(invite: Invite) -> str:
    """The code, in one word to be copied."""
    body = invite.fingerprint + invite.secret + int(invite.expires).to_bytes(4, "big")
    for text in invite.addresses:
        host, port = split_endpoint(text)
        ip = ipaddress.ip_address(host)
        body += bytes([ip.version]) + ip.packed + port.to_bytes(2, "big")
    data = bytes([_VERSION, 2 + len(body) + _CHECKSUM]) + body
    return PREFIX + base64.b32encode(data + _checksum(data)).decode().rstrip("=").lower()


def decode(code: str) -> Invite:
    """What a code says, in capitals or not, with blanks and hyphens anywhere.

    Raises InviteError that tells a mistyped code from one that is cut or of another version.
    """
    text = re.sub(r"[\s-]", "", code).lower()
    letters = text.removeprefix("ayllu").translate(_LOOKS_LIKE)
    if not text.startswith("ayllu") or not letters:
        raise InviteError("an invite begins with `ayllu-`: copy all that `ayllu invite` printed")
    strange = re.search(r"[^a-z2-7]", letters)
    if strange:
        raise InviteError(f"the invite is mistyped: {strange[0]!r} is in no invite")
    data = _bytes(letters)
    if len(data) < 2 or (data[0] == _VERSION and len(data) < data[1]):
        raise InviteError("the invite is cut: copy all of it, to its end")
    if not hmac.compare_digest(_checksum(data[:-_CHECKSUM]), data[-_CHECKSUM:]):
        raise InviteError("the invite is mistyped: its check does not come out, copy it again")
    if data[0] != _VERSION:
        raise InviteError("the invite is of another version of Ayllu: update the older machine")
    return _parse(data[:-_CHECKSUM])


def _parse(data: bytes) -> Invite:
    addresses = []
    place = _FIXED
    try:
        while place < len(data):
            size = {4: 4, 6: 16}[data[place]]
            packed, port = data[place + 1 : place + 1 + size], data[place + 1 + size :][:2]
            host = str(ipaddress.ip_address(packed))
            addresses.append(join_endpoint(host, int.from_bytes(port, "big")))
            split_endpoint(addresses[-1])
            place += 3 + size
    except (KeyError, ValueError) as error:
        raise InviteError("the invite is damaged: run `ayllu invite` again") from error
    if place != len(data) or not 0 < len(addresses) <= _MOST_ADDRESSES:
        raise InviteError("the invite is damaged: run `ayllu invite` again")
    return Invite(
        data[2:18], data[18:34], float(int.from_bytes(data[34:38], "big")), tuple(addresses)
    )


def _bytes(letters: str) -> bytes:
    """Base32 without its padding; what is left over at a cut end is dropped."""
    whole = letters[: len(letters) - {1: 1, 3: 1, 6: 1}.get(len(letters) % 8, 0)]
    try:
        return base64.b32decode(whole.upper() + "=" * (-len(whole) % 8))
    except binascii.Error as error:
        raise InviteError("the invite is cut: copy all of it, to its end") from error


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(b"ayllu invite" + data).digest()[:_CHECKSUM]


def _derived(secret: bytes, purpose: bytes, size: int) -> bytes:
    """HKDF (RFC 5869) of a secret for one purpose."""
    info = b"ayllu invite 1 " + purpose
    return HKDF(hashes.SHA256(), size, salt=None, info=info).derive(secret)
