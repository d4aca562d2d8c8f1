"""Who this machine is among others: a P-256 key, and the id that is its hash.

All of it lies in `<home>/cluster`, which one server at a time may use. A folder that was copied to
another machine becomes another identity there: what was copied is set aside, never deleted.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec
import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct

from ayllu.cluster.folder import CERTIFICATE, FOLDER, write
from ayllu.cluster.machine import Machine, this_machine
from ayllu.errors import StoreError
from ayllu.models.files import TEMPORARY_PREFIX, locked, make_folder

KEY = "key.pem"
_MACHINE = "machine.json"
_EPOCH = "epoch"
_LOCK = "lock"
ASIDE = "aside-"
"""How folders begin that keep what is no longer in use."""

_log = structlog.get_logger()
_SIGNATURE = ec.ECDSA(hashes.SHA256())
Time = float
"""Seconds since 1970."""


class Identity(Struct, frozen=True):
    """A machine's key. `folder` is `<home>/cluster`; `epoch` grows with every start."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    node: str
    epoch: int

    def sign(self, data: bytes) -> bytes:
        """An ECDSA signature over SHA-256 (DER), about 30 us."""
        return self.key.sign(data, _SIGNATURE)

    def request(self) -> bytes:
        """A request for a certificate (PKCS #10, DER)."""
        builder = x509.CertificateSigningRequestBuilder().subject_name(common_name(self.node))
        request = builder.sign(self.key, hashes.SHA256())
        return request.public_bytes(serialization.Encoding.DER)


@contextmanager
def opened(home: Path, machine: Machine | None = None) -> Iterator[Identity]:
    """This machine's identity, made at the first start; nobody else uses it until the end.

    Raises StoreError where the folder cannot be used, or another server uses it.
    """
    folder = home / FOLDER
    with ExitStack() as stack:
        try:
            make_folder(folder)
            if not stack.enter_context(locked(folder / _LOCK, exclusive=True)):
                raise StoreError(
                    f"another Ayllu server uses the identity in {folder}: "
                    "end it, or set AYLLU_HOME to another folder"
                )
            folder.chmod(0o700)
            for left in folder.glob(f"{TEMPORARY_PREFIX}*"):
                left.unlink()
            _keep_to_machine(folder, machine or this_machine())
            identity = _load(folder, _next_epoch(folder))
        except OSError as error:
            raise StoreError(f"{folder} cannot be used: {error.strerror or error}") from error
        yield identity


def renewed(identity: Identity) -> Identity:
    """A new identity in the same folder; the old one and its certificates are set aside."""
    names = [name for name in _files(identity.folder) if name not in (_MACHINE, _EPOCH)]
    set_aside(identity.folder, identity.node, names)
    return _load(identity.folder, identity.epoch)


def node_id(key: ec.EllipticCurvePublicKey) -> str:
    """base32(sha256(public key))[:20] in lower case: 100 bits."""
    return base64.b32encode(hashlib.sha256(public_bytes(key)).digest()).decode()[:20].lower()


def public_bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    """A public key as DER (SubjectPublicKeyInfo)."""
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def common_name(text: str) -> x509.Name:
    """An X.509 name with a common name only."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def is_signed(key: ec.EllipticCurvePublicKey, signature: bytes, data: bytes) -> bool:
    """Whether a signature over data is of a key, about 80 us."""
    try:
        key.verify(signature, data, _SIGNATURE)
    except InvalidSignature:
        return False
    return True


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PEM (PKCS #8), not encrypted: its file is its owner's alone."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def read_key(data: bytes, origin: object) -> ec.EllipticCurvePrivateKey:
    """A P-256 key from PEM. Raises StoreError that names its origin."""
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError) as error:  # TypeError: it wants a password
        raise StoreError(f"the key {origin} cannot be used: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise StoreError(f"the key {origin} is not a P-256 key: move it away")
    return key


def set_aside(folder: Path, node: str, names: Iterable[str]) -> Path:
    """Move files, where they exist, into a folder `aside-<node>-<time>`; its path.

    The certificate goes first and the machine's mark last: after a crash the rest can be told.
    Raises StoreError.
    """
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    place = folder / f"{ASIDE}{node}-{stamp}"
    number = 1
    while place.exists():
        number += 1
        place = folder / f"{ASIDE}{node}-{stamp}-{number}"
    try:
        make_folder(place)
        for name in sorted(names, key=lambda name: (name == _MACHINE, name != CERTIFICATE, name)):
            with suppress(FileNotFoundError):
                (folder / name).replace(place / name)
    except OSError as error:
        raise StoreError(f"{folder} cannot be changed: {error.strerror or error}") from error
    return place


def _files(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir() if file.is_file() and file.name != _LOCK]


def _load(folder: Path, epoch: int) -> Identity:
    path = folder / KEY
    try:
        key = read_key(path.read_bytes(), path)
    except FileNotFoundError:
        key = ec.generate_private_key(ec.SECP256R1())
        write(path, private_pem(key))
    return Identity(folder, key, node_id(key.public_key()), epoch)


def _keep_to_machine(folder: Path, machine: Machine) -> None:
    """Set everything aside where it is another machine's; then note this machine."""
    path = folder / _MACHINE
    try:
        before = msgspec.json.decode(path.read_bytes(), type=Machine)
    except FileNotFoundError:
        before = machine
    except msgspec.MsgspecError as error:
        raise StoreError(f"{path} is damaged: move it away if this is the same machine") from error
    if not machine.is_same(before):
        place = set_aside(folder, _node_in(folder), _files(folder))
        _log.warning(
            "this data directory comes from another machine: this one gets an identity of its own",
            kept=str(place),
        )
        before = machine
    both = machine.with_addresses_of(before)
    if both != before or not path.exists():
        write(path, msgspec.json.encode(both))


def _node_in(folder: Path) -> str:
    path = folder / KEY
    try:
        return node_id(read_key(path.read_bytes(), path).public_key())
    except (FileNotFoundError, StoreError):
        return "unknown"


def _next_epoch(folder: Path) -> int:
    """One more than ever before, and at least the time, so that a lost file does no harm."""
    path = folder / _EPOCH
    try:
        last = int(path.read_text("ascii"))
    except (FileNotFoundError, ValueError):
        last = 0
    epoch = max(last + 1, int(time.time()))
    write(path, str(epoch).encode())
    return epoch
