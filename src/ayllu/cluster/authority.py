"""The ayllu's certificate authority (CA): it says which keys are members, for 30 days each.

The ayllu's id is the hash of the CA's public key, and a member's name is the hash of its own, so
that a certificate says nothing that could be made up. X.509 as in RFC 5280.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from ayllu.cluster.identity import Time, common_name, node_id
from ayllu.cluster.moments import moment
from ayllu.errors import ForbiddenError

DAYS = 30
_CA_DAYS = 3652
_CLOCKS_DIFFER = timedelta(hours=1)
_LARGEST_CERTIFICATE = 4096
_MOST_CACHED = 4096
_OUR_NAMES = re.compile(r"(ayllu )?[a-z2-7]{20}")
_UNREADABLE = (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm)

Flaw = Literal["damaged", "other", "expired", "early", "revoked"]


class CertificateError(ForbiddenError):
    """A certificate is not believed; `flaw` says why, `node` whose it claims to be (or empty)."""

    def __init__(self, flaw: Flaw, sentence: str, node: str = "") -> None:
        super().__init__(sentence)
        self.flaw = flaw
        self.node = node


class Certified(Struct, frozen=True):
    """What a certificate of this CA says. Times are in seconds since 1970."""

    node: str
    key: ec.EllipticCurvePublicKey
    begins: Time
    ends: Time


class Authority:
    """A CA: its certificate, and its key where this machine may sign (is an admin machine)."""

    def __init__(
        self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey | None = None
    ) -> None:
        public = _key(certificate)
        if key is not None and key.public_key() != public:
            raise CertificateError("other", "the CA's key belongs to another certificate")
        self.certificate = certificate
        self.key = key
        self.public_key = public
        self.cluster = node_id(public)
        """The ayllu's id."""
        self.der = certificate.public_bytes(serialization.Encoding.DER)
        self._known: OrderedDict[bytes, Certified] = OrderedDict()

    def certify(self, request: bytes, now: Time) -> bytes:
        """A certificate (DER) for whoever made a request (PKCS #10, DER).

        Raises ForbiddenError without the CA's key, CertificateError for what is no request.
        """
        if self.key is None:
            raise ForbiddenError(NOT_ADMIN)
        public = requester(request)
        begins = _date(now) - _CLOCKS_DIFFER
        builder = (
            _builder(node_id(public), self.certificate.subject, public, begins)
            .not_valid_after(_date(now) + timedelta(days=DAYS))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
                ),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(node_id(public))]), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.public_key), critical=False
            )
        )
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def sign(self, data: bytes) -> bytes:
        """A signature of the CA. Raises ForbiddenError without its key."""
        if self.key is None:
            raise ForbiddenError(NOT_ADMIN)
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))

    def check(self, certificate: bytes, now: Time) -> Certified:
        """Who a certificate (DER) of this CA is for, if it is in time. What was seen is kept.

        Raises CertificateError.
        """
        found = self.read(certificate)
        if now > found.ends:
            raise CertificateError(
                "expired",
                f"the certificate of {found.node} ran out at {moment(found.ends)}, and this "
                f"machine's clock says {moment(now)}: start that machine near an admin machine "
                "to renew it, or set the clock that is wrong",
                found.node,
            )
        if now < found.begins:
            raise CertificateError(
                "early",
                f"the certificate of {found.node} is valid from {moment(found.begins)}, and this "
                f"machine's clock says {moment(now)}: set the clock that is wrong",
                found.node,
            )
        return found

    def read(self, certificate: bytes) -> Certified:
        """The same without a look at the time."""
        known = self._known.get(certificate)
        if known is None:
            known = self._verify(certificate)
            self._known[certificate] = known
            if len(self._known) > _MOST_CACHED:
                self._known.popitem(last=False)
        return known

    def _verify(self, data: bytes) -> Certified:
        certificate = parse(data)
        try:
            public = _key(certificate)
            name, issuer = _name_of(certificate.subject), _name_of(certificate.issuer)
        except _UNREADABLE as error:
            raise CertificateError("damaged", "the certificate cannot be read") from error
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (*_UNREADABLE, InvalidSignature) as error:
            raise CertificateError(
                "other",
                f"the certificate of {name or 'that machine'} is of another ayllu "
                f"({issuer or 'unnamed'}), not of {self.cluster}",
                name,
            ) from error
        if name != node_id(public):
            raise CertificateError("damaged", "the certificate's name is not the hash of its key")
        return Certified(
            name,
            public,
            certificate.not_valid_before_utc.timestamp(),
            certificate.not_valid_after_utc.timestamp(),
        )


NOT_ADMIN = (
    "this machine does not hold the key of the ayllu's CA: do it on an admin machine "
    "(`ayllu nodes` shows which are)"
)


def new_authority(now: Time) -> Authority:
    """A CA of its own key, for ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    name = common_name(f"ayllu {node_id(public)}")
    begins = _date(now) - timedelta(days=1)
    builder = (
        _builder(name, name, public, begins)
        .not_valid_after(begins + timedelta(days=_CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return Authority(builder.sign(key, hashes.SHA256()), key)


def self_signed(key: ec.EllipticCurvePrivateKey, now: Time) -> bytes:
    """A certificate (PEM) for a machine that has none yet: it proves its key and no more."""
    public = key.public_key()
    name = common_name(node_id(public))
    builder = _builder(name, name, public, _date(now) - timedelta(days=1))
    certificate = builder.not_valid_after(_date(now) + timedelta(days=_CA_DAYS))
    return certificate.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def requester(request: bytes) -> ec.EllipticCurvePublicKey:
    """The key that a request for a certificate (DER) is for, whose owner made it.

    Raises CertificateError.
    """
    if len(request) > _LARGEST_CERTIFICATE:
        raise CertificateError("damaged", "the request for a certificate is too large")
    try:
        parsed = x509.load_der_x509_csr(request)
        public, valid = parsed.public_key(), parsed.is_signature_valid
    except _UNREADABLE as error:
        raise CertificateError("damaged", "this is no request for a certificate") from error
    if not valid or not isinstance(public, ec.EllipticCurvePublicKey):
        raise CertificateError("damaged", "the request for a certificate is not signed by its key")
    if public.curve.name != "secp256r1":
        raise CertificateError("damaged", "the request for a certificate is not of a P-256 key")
    return public


def parse(certificate: bytes) -> x509.Certificate:
    """A certificate from DER. Raises CertificateError."""
    if len(certificate) > _LARGEST_CERTIFICATE:
        raise CertificateError("damaged", "the certificate is too large")
    try:
        return x509.load_der_x509_certificate(certificate)
    except _UNREADABLE as error:
        raise CertificateError("damaged", "this is no certificate") from error


def key_of(certificate: bytes) -> ec.EllipticCurvePublicKey:
    """The key that a certificate (DER) names, whoever signed it. Raises CertificateError."""
    return _key(parse(certificate))


def _builder(
    subject: str | x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    begins: datetime,
) -> x509.CertificateBuilder:
    name = common_name(subject) if isinstance(subject, str) else subject
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _date(when: Time) -> datetime:
    return datetime.fromtimestamp(int(when), UTC)


def _key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    try:
        key = certificate.public_key()
    except _UNREADABLE as error:
        raise CertificateError("damaged", "the certificate's key cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise CertificateError("damaged", "the certificate's key is not an elliptic-curve key")
    return key


def _name_of(name: x509.Name) -> str:
    """The common name, if it is one that we give: others are not fit to be shown."""
    names = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    text = names[0].value if names else ""
    return text if isinstance(text, str) and _OUR_NAMES.fullmatch(text) else ""
