"""The machine's identity and, once it is in an ayllu, its credentials; who changes them.

Everything that needs them holds the keyring and asks for `credentials` each time: they change when
the machine joins, renews its certificate or leaves. All of it happens on the event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Meta, Struct

from ayllu.cluster import credentials as files
from ayllu.cluster.authority import (
    NOT_ADMIN,
    Authority,
    CertificateError,
    new_authority,
    parse,
    requester,
)
from ayllu.cluster.credentials import Credentials
from ayllu.cluster.folder import remove, write
from ayllu.cluster.identity import Identity, Time, node_id, private_pem, read_key, renewed
from ayllu.cluster.revoked import LARGEST as LARGEST_REVOKED
from ayllu.cluster.revoked import Revoked
from ayllu.errors import BadRequestError, ForbiddenError, StoreError

_ALONE = "alone"
ADMINS = 3
"""A machine that joins becomes an admin machine while there are fewer."""
_MOST_PEERS = 256
_Der = Annotated[bytes, Meta(max_length=4096)]


class Grant(Struct, frozen=True):
    """What a machine is given that joins: certificates (DER), maybe the CA's key (PEM).

    `peers` are addresses of members' control buses, `host:port`.
    """

    certificate: _Der
    ca: _Der
    ca_key: Annotated[bytes, Meta(max_length=4096)] = b""
    revoked: Annotated[bytes, Meta(max_length=LARGEST_REVOKED)] = b""
    peers: Annotated[
        tuple[Annotated[str, Meta(max_length=256)], ...], Meta(max_length=_MOST_PEERS)
    ] = ()


class Keyring:
    """The identity, and the credentials or None. `clock` tells seconds since 1970."""

    def __init__(self, identity: Identity, clock: Callable[[], Time] = time.time) -> None:
        self.identity = identity
        self.clock = clock
        self.credentials = files.load(identity)
        self.met: tuple[str, ...] = ()
        """The `peers` of the grant by which this machine joined, since it started."""
        self._watchers: list[Callable[[], object]] = []

    def watch(self, on_change: Callable[[], object]) -> None:
        """Be told when the identity or the credentials were changed, after it is on the disk."""
        self._watchers.append(on_change)

    @property
    def is_alone(self) -> bool:
        """Whether this machine made its ayllu and never certified another: nobody would miss it."""
        return self.credentials is not None and self._alone_file.exists()

    @property
    def is_free(self) -> bool:
        """Whether it may join an ayllu: it is in none, or alone in one."""
        return self.credentials is None or self.is_alone

    def check_free(self) -> None:
        """Raises BadRequestError for a machine that shares an ayllu with others."""
        if self.credentials is not None and not self.is_alone:
            raise BadRequestError(
                f"this machine is in the ayllu {self.credentials.cluster} already: "
                "run `ayllu leave` first"
            )

    def member(self) -> Credentials:
        """The credentials. Raises BadRequestError outside of any ayllu."""
        if self.credentials is None:
            raise BadRequestError(
                "this machine is in no ayllu: `ayllu up` makes one, `ayllu join CODE` joins one"
            )
        return self.credentials

    def admin(self) -> Credentials:
        """The credentials of an admin machine. Raises ForbiddenError elsewhere."""
        if not self.member().is_admin:
            raise ForbiddenError(NOT_ADMIN)
        return self.member()

    def create(self) -> Credentials:
        """Make an ayllu of this machine alone. Raises BadRequestError where it is in one."""
        if self.credentials is not None:
            raise BadRequestError(
                f"this machine is in the ayllu {self.credentials.cluster} already"
            )
        authority = new_authority(self.clock())
        certificate = authority.certify(self.identity.request(), self.clock())
        write(self._alone_file, b"")
        return self._enter(authority, certificate, b"")

    def grant(
        self, request: bytes, *, admin: bool | None, admins: int, peers: tuple[str, ...] = ()
    ) -> Grant:
        """What a machine gets that made a request for a certificate.

        `admin` says whether the CA's key is among it; None: while the ayllu has fewer than ADMINS
        (`admins` are those known, this machine included). Raises ForbiddenError on a machine
        that may not sign, CertificateError for a bad request or a revoked machine.
        """
        own = self.admin()
        certificate = self.certify(request)
        shares = admins < ADMINS if admin is None else admin
        key = own.authority.key if shares else None
        return Grant(
            certificate,
            own.authority.der,
            private_pem(key) if key is not None else b"",
            own.revoked.encode(),
            peers[:_MOST_PEERS],
        )

    def certify(self, request: bytes) -> bytes:
        """A certificate (DER) for a request, unless its maker is revoked; errors as `grant`."""
        own = self.admin()
        node = node_id(requester(request))
        own.check_not_revoked(node)
        if node != own.node:
            remove(self._alone_file)
        return own.authority.certify(request, self.clock())

    def join(self, grant: Grant) -> Credentials:
        """Take what was granted and keep it. The caller has made sure whose CA it is.

        An ayllu of this machine alone is set aside for it, so that the credentials may change from
        one ayllu to another. Raises BadRequestError in an ayllu with others, or for a grant that
        does not fit this machine.
        """
        self.check_free()
        key: ec.EllipticCurvePrivateKey | None = None
        try:
            if grant.ca_key:
                key = read_key(grant.ca_key, "of the CA")
            authority = Authority(parse(grant.ca), key)
            self._must_be_ours(authority, grant.certificate)
        except (CertificateError, StoreError) as error:
            raise BadRequestError(f"that machine gave what cannot be used: {error}") from error
        if self.credentials is not None:
            files.leave(self.credentials)
            self.credentials = None
        remove(self._alone_file)
        self.met = grant.peers
        return self._enter(authority, grant.certificate, grant.revoked)

    def renew(self, certificate: bytes | None = None) -> Credentials:
        """Take a new certificate (DER) for the same key; an admin machine makes its own.

        Raises ForbiddenError, or CertificateError for one that is not ours.
        """
        own = self.member()
        if certificate is None:
            certificate = self.certify(self.identity.request())
        self._must_be_ours(own.authority, certificate)
        changed = msgspec.structs.replace(own, certificate=certificate)
        files.save_certificate(changed)
        self.credentials = changed
        self._tell()
        return changed

    def leave(self) -> None:
        """Be in no ayllu. The key and all else is set aside; this machine is a new one then.

        Others believe the old certificate until it runs out or is revoked.
        """
        self.identity = renewed(self.identity)
        self.credentials = None
        self._tell()

    @property
    def _alone_file(self) -> Path:
        return self.identity.folder / _ALONE

    def _must_be_ours(self, authority: Authority, certificate: bytes) -> None:
        found = authority.check(certificate, self.clock())
        if found.node != self.identity.node:
            raise CertificateError("other", f"the certificate is of {found.node}", found.node)

    def _enter(self, authority: Authority, certificate: bytes, revoked: bytes) -> Credentials:
        kept = Revoked(authority, None)
        if revoked:
            kept.merge(revoked)
        entered = Credentials(self.identity, certificate, authority, kept)
        try:
            files.save(entered)
            self.credentials = files.load(self.identity)
        finally:
            self._tell()
        return self.member()

    def _tell(self) -> None:
        for on_change in self._watchers:
            on_change()
