"""What a member holds: its certificate, the CA's, the list of the revoked, maybe the CA's key.

They lie beside the key in `<home>/cluster`: `node.crt`, `ca.crt`, `revoked.msgpack`, and `ca.key`
on admin machines. `node.crt` is written last and moved away first: who has one is a member.
"""

from __future__ import annotations

import ssl
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from msgspec import Struct

from ayllu.cluster.authority import Authority, CertificateError, Certified, parse
from ayllu.cluster.folder import CERTIFICATE, remove, write
from ayllu.cluster.identity import KEY, Identity, Time, private_pem, read_key, set_aside
from ayllu.cluster.revoked import FILE as REVOKED
from ayllu.cluster.revoked import Revoked
from ayllu.errors import StoreError

CA_CERTIFICATE = "ca.crt"
CA_KEY = "ca.key"


class Credentials(Struct, frozen=True, eq=False):
    """A member's part of an ayllu. `certificate` is DER, and may have run out."""

    identity: Identity
    certificate: bytes
    authority: Authority
    revoked: Revoked

    @property
    def node(self) -> str:
        """This machine's id."""
        return self.identity.node

    @property
    def cluster(self) -> str:
        """The ayllu's id."""
        return self.authority.cluster

    @property
    def is_admin(self) -> bool:
        """Whether this machine has the CA's key: it may sign, and revoke."""
        return self.authority.key is not None

    @property
    def key_file(self) -> Path:
        """This machine's key, PEM."""
        return self.identity.folder / KEY

    @property
    def certificate_file(self) -> Path:
        """Its certificate, PEM."""
        return self.identity.folder / CERTIFICATE

    @property
    def ca_file(self) -> Path:
        """The CA's certificate, PEM."""
        return self.identity.folder / CA_CERTIFICATE

    @property
    def ends(self) -> Time:
        """When the certificate runs out."""
        return self.authority.read(self.certificate).ends

    @property
    def renews(self) -> Time:
        """When it is to be renewed: a third of its life before it runs out."""
        own = self.authority.read(self.certificate)
        return own.ends - (own.ends - own.begins) / 3

    def check(self, certificate: bytes, now: Time | None = None) -> Certified:
        """Whose certificate (DER) it is, if it is a member's and in time.

        Raises CertificateError, whose `flaw` tells a stranger from one that is expired or revoked.
        """
        found = self.authority.check(certificate, time.time() if now is None else now)
        self.check_not_revoked(found.node)
        return found

    def check_not_revoked(self, node: str) -> None:
        """Raises CertificateError for a revoked member."""
        if node in self.revoked:
            reason = self.revoked.reason(node)
            raise CertificateError(
                "revoked", f"{node} was revoked{f' ({reason})' if reason else ''}", node
            )

    def server_context(self) -> ssl.SSLContext:
        """TLS 1.3 for a listener that asks for a member's certificate.

        OpenSSL knows nothing of the revoked: `check` what `getpeercert(binary_form=True)` gives.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        return self._mutual(context)

    def client_context(self) -> ssl.SSLContext:
        """TLS 1.3 to a member, whose id is to be given as `server_hostname`: it is checked."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return self._mutual(context)

    def _mutual(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(self.ca_file)
        context.load_cert_chain(self.certificate_file, self.key_file)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


def load(identity: Identity) -> Credentials | None:
    """The credentials in an identity's folder; None for a machine that is in no ayllu.

    Raises StoreError for files that are damaged or do not fit each other.
    """
    folder = identity.folder
    try:
        certificate = _pem(folder / CERTIFICATE)
        if certificate is None:
            return None
        ca = _pem(folder / CA_CERTIFICATE)
        key_data = _read(folder / CA_KEY)
        if ca is None:
            raise StoreError(
                f"{folder / CA_CERTIFICATE} is missing: move {CERTIFICATE} away too, and join again"
            )
        key = read_key(key_data, folder / CA_KEY) if key_data is not None else None
        authority = Authority(parse(ca), key)
        own = authority.read(certificate)
        if own.node != identity.node:
            raise StoreError(f"{folder / CERTIFICATE} is not of the key beside it")
        revoked = Revoked(authority, folder / REVOKED)
    except CertificateError as error:
        raise StoreError(f"the certificates in {folder} do not fit: {error}") from error
    except OSError as error:
        raise StoreError(f"{folder} cannot be read: {error.strerror or error}") from error
    return Credentials(identity, certificate, authority, revoked)


def save(credentials: Credentials) -> None:
    """Write what a machine without credentials was given; a crash leaves it without any."""
    folder, authority = credentials.identity.folder, credentials.authority
    for name in (CERTIFICATE, CA_KEY, REVOKED):  # of a save that was cut
        remove(folder / name)
    if authority.key is not None:
        write(folder / CA_KEY, private_pem(authority.key))
    write(folder / CA_CERTIFICATE, pem(authority.der))
    write(folder / REVOKED, credentials.revoked.encode())
    save_certificate(credentials)


def leave(credentials: Credentials) -> None:
    """Set the credentials aside; the identity stays."""
    names = (CERTIFICATE, CA_CERTIFICATE, CA_KEY, REVOKED)
    set_aside(credentials.identity.folder, credentials.node, names)


def save_certificate(credentials: Credentials) -> None:
    """Write the machine's own certificate, at once or not at all."""
    write(credentials.certificate_file, pem(credentials.certificate))


def pem(certificate: bytes) -> bytes:
    """A certificate as PEM, from DER."""
    return x509.load_der_x509_certificate(certificate).public_bytes(serialization.Encoding.PEM)


def _pem(path: Path) -> bytes | None:
    """A certificate as DER, from a PEM file; None where there is none."""
    data = _read(path)
    if data is None:
        return None
    try:
        parsed = x509.load_pem_x509_certificate(data)
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}") from error
    return parsed.public_bytes(serialization.Encoding.DER)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
