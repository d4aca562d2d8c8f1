from __future__ import annotations

import socket
import ssl
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import msgspec
import pytest
from cluster_machines import DAY, NOW, Machines, joined
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from ayllu.cluster import credentials as files
from ayllu.cluster.authority import (
    DAYS,
    Authority,
    CertificateError,
    new_authority,
    parse,
    requester,
    self_signed,
)
from ayllu.cluster.credentials import Credentials
from ayllu.cluster.identity import common_name
from ayllu.cluster.keyring import Grant, Keyring
from ayllu.errors import BadRequestError, ForbiddenError, StoreError


def test_whoever_makes_an_ayllu_is_its_admin_and_is_one_after_a_restart(machines: Machines) -> None:
    keyring = machines.new("a")
    made = keyring.create()
    assert made.is_admin
    again = Keyring(keyring.identity, machines.clock).member()
    assert again.is_admin
    assert (again.cluster, again.node) == (made.cluster, keyring.identity.node)
    assert again.check(again.certificate, NOW).node == keyring.identity.node
    with pytest.raises(BadRequestError, match=r"in the ayllu .* already"):
        keyring.create()


@pytest.mark.parametrize(
    ("admin", "admins", "gets_key"),
    [
        (None, 1, True),
        (None, 2, True),
        (None, 3, False),
        (True, 9, True),
        (False, 1, False),
    ],
)
def test_the_first_three_machines_hold_the_cas_key_unless_told_otherwise(
    machines: Machines, admin: bool | None, admins: int, gets_key: bool
) -> None:
    first, second = machines.new("a"), machines.new("b")
    first.create()
    grant = first.grant(second.identity.request(), admin=admin, admins=admins, peers=("1.2.3.4:5",))
    member = second.join(grant)
    assert member.is_admin == gets_key
    assert (member.identity.folder / "ca.key").exists() == gets_key
    assert member.check(first.member().certificate, NOW).node == first.identity.node
    assert first.member().check(member.certificate, NOW).node == second.identity.node
    if not gets_key:
        with pytest.raises(ForbiddenError, match="on an admin machine"):
            second.grant(first.identity.request(), admin=None, admins=1)
        with pytest.raises(ForbiddenError, match="on an admin machine"):
            member.revoked.revoke(first.identity.node, "", NOW)


def test_a_certificate_lasts_a_month_and_says_what_is_wrong_with_it(machines: Machines) -> None:
    own = machines.new("a").create()
    stranger = machines.new("b").create()
    assert own.ends == NOW + DAYS * DAY
    assert NOW + 19.9 * DAY < own.renews < NOW + 20 * DAY
    own.check(own.certificate, NOW - 3500)  # clocks may differ by an hour
    for now, flaw, words in (
        (NOW - 7200, "early", f"the certificate of {own.node} is valid from 2027-01-15 07:00:00"),
        (NOW + 31 * DAY, "expired", "ran out at 2027-02-14 08:00:00 UTC, and this machine's clock"),
    ):
        with pytest.raises(CertificateError, match=words) as caught:
            own.check(own.certificate, now)
        assert (caught.value.flaw, caught.value.node) == (flaw, own.node)
    with pytest.raises(CertificateError, match=f"another ayllu .ayllu {stranger.cluster}") as other:
        own.check(stranger.certificate, NOW)
    assert other.value.flaw == "other"
    for data in (b"", b"nonsense", own.certificate[:-9], own.certificate + b"x", bytes(5000)):
        with pytest.raises(CertificateError):
            own.check(data, NOW)
    itself = x509.load_pem_x509_certificate(self_signed(own.identity.key, NOW))
    with pytest.raises(CertificateError, match="of another ayllu"):
        own.check(itself.public_bytes(serialization.Encoding.DER), NOW)


def test_a_member_cannot_certify_others_or_take_another_name(machines: Machines) -> None:
    own = machines.new("a").create()
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.load_der_x509_certificate(own.certificate)
    for signer, issued_by, flaw in (
        (own.identity.key, issuer.subject, "other"),  # by a member
        (own.authority.key, issuer.issuer, "damaged"),  # by the CA, but with another's name
    ):
        assert signer is not None
        forged = (
            x509.CertificateBuilder()
            .subject_name(common_name(own.node))
            .issuer_name(issued_by)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(issuer.not_valid_before_utc)
            .not_valid_after(issuer.not_valid_after_utc)
            .sign(signer, hashes.SHA256())
        )
        with pytest.raises(CertificateError) as caught:
            own.check(forged.public_bytes(serialization.Encoding.DER), NOW)
        assert caught.value.flaw == flaw


def test_requests_that_prove_no_key_are_refused(machines: Machines) -> None:
    keyring = machines.new("a")
    keyring.create()
    good = machines.new("b").identity.request()
    other_curve = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(common_name("x"))
        .sign(ec.generate_private_key(ec.SECP384R1()), hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    for data in (b"", b"x" * 100, bytes(5000), good[:-1] + bytes([good[-1] ^ 1]), other_curve):
        with pytest.raises(CertificateError, match="request for a certificate"):
            keyring.certify(data)


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@given(place=st.integers(0, 2000), flip=st.integers(0, 255))
def test_damaged_certificates_and_requests_end_in_a_sentence(
    member: Credentials, place: int, flip: int
) -> None:
    def damaged(whole: bytes) -> bytes:
        cut, rest = whole[: place % len(whole)], whole[place % len(whole) :]
        return cut + bytes([rest[0] ^ flip]) + rest[1:] if flip else cut

    with pytest.raises(CertificateError):
        member.authority.read(damaged(member.certificate))
    with pytest.raises(CertificateError):
        requester(damaged(member.identity.request()))
    with suppress(CertificateError):  # of a CA only the key counts
        Authority(parse(damaged(member.authority.der)))


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Credentials]:
    with ExitStack() as stack:
        yield Machines(tmp_path_factory.mktemp("member"), stack).new("a").create()


def test_a_grant_names_as_many_machines_as_can_be_read(machines: Machines) -> None:
    first, second = machines.new("a"), machines.new("b")
    first.create()
    many = tuple(f"192.0.2.1:{port}" for port in range(1, 1000))
    grant = first.grant(second.identity.request(), admin=None, admins=1, peers=many)
    second.join(msgspec.msgpack.decode(msgspec.msgpack.encode(grant), type=Grant))
    assert second.met == many[:256]


def test_an_admin_renews_itself_and_the_new_certificate_is_kept(machines: Machines) -> None:
    keyring = machines.new("a")
    old = keyring.create()
    told = []
    keyring.watch(lambda: told.append(keyring.member().ends))
    machines.clock.now += 40 * DAY  # it has run out
    assert keyring.renew().ends == old.ends + 40 * DAY
    assert told == [old.ends + 40 * DAY]
    assert Keyring(keyring.identity).member().ends == old.ends + 40 * DAY


def test_nobody_takes_a_certificate_that_is_not_its_own(machines: Machines) -> None:
    first, second, other = machines.new("a"), machines.new("b"), machines.new("c")
    first.create()
    other.create()
    joined(first, second, admin=False)
    before = second.member().certificate
    with pytest.raises(CertificateError, match="the certificate is of"):
        second.renew(first.member().certificate)
    with pytest.raises(CertificateError, match="another ayllu"):
        second.renew(other.certify(second.identity.request()))
    assert second.member().certificate == before


def test_grants_that_do_not_fit_leave_the_machine_free(machines: Machines) -> None:
    first, second, other = machines.new("a"), machines.new("b"), machines.new("c")
    first.create()
    other.create()
    good = first.grant(second.identity.request(), admin=True, admins=1)
    revoked = other.member().revoked
    revoked.revoke(first.identity.node, "lost", NOW)
    for bad in (
        msgspec.structs.replace(good, certificate=first.member().certificate),
        msgspec.structs.replace(good, ca=other.member().authority.der),
        msgspec.structs.replace(good, ca_key=(other.identity.folder / "ca.key").read_bytes()),
        msgspec.structs.replace(good, ca_key=b"nonsense"),
        msgspec.structs.replace(good, revoked=revoked.encode()),
        msgspec.structs.replace(good, revoked=b"nonsense"),
        Grant(b"", b""),
    ):
        with pytest.raises(BadRequestError):
            second.join(bad)
        assert second.credentials is None
        assert Keyring(second.identity).credentials is None
    assert second.join(good).is_admin


def test_leaving_keeps_everything_aside_and_makes_a_new_machine(machines: Machines) -> None:
    first, second = machines.new("a"), machines.new("b")
    first.create()
    old = joined(first, second)
    first.member().revoked.revoke(old.node, "it left", NOW)
    second.leave()
    assert second.credentials is None
    assert second.identity.node != old.node
    (aside,) = second.identity.folder.glob(f"aside-{old.node}-*")
    assert {path.name for path in aside.iterdir()} >= {"key.pem", "node.crt", "ca.crt", "ca.key"}
    assert Keyring(second.identity).credentials is None
    assert joined(first, second).node == second.identity.node  # as nobody whom anyone revoked


def test_a_revoked_machine_gets_no_certificate(machines: Machines) -> None:
    first, second = machines.new("a"), machines.new("b")
    first.create()
    old = joined(first, second, admin=False)
    first.member().revoked.revoke(old.node, "stolen", NOW)
    with pytest.raises(CertificateError, match=rf"{old.node} was revoked \(stolen\)"):
        first.certify(second.identity.request())
    with pytest.raises(CertificateError, match="was revoked") as caught:
        first.member().check(old.certificate, NOW)
    assert caught.value.flaw == "revoked"


@pytest.mark.parametrize("lost", ["ca.crt", "node.crt"])
def test_files_that_were_not_all_written_are_no_membership(machines: Machines, lost: str) -> None:
    keyring = machines.new("a")
    folder = keyring.create().identity.folder
    (folder / lost).unlink()
    if lost == "node.crt":  # it is written last: the join was cut
        again = Keyring(keyring.identity, machines.clock)
        assert again.credentials is None
        assert again.create().is_admin
    else:
        with pytest.raises(StoreError, match=r"ca\.crt is missing"):
            Keyring(keyring.identity)


@pytest.mark.parametrize("name", ["ca.crt", "node.crt", "ca.key", "revoked.msgpack"])
def test_damaged_files_are_named(machines: Machines, name: str) -> None:
    keyring = machines.new("a")
    path = keyring.create().identity.folder / name
    path.write_bytes(b"nonsense")
    with pytest.raises(StoreError, match=name.replace(".", r"\.")):
        Keyring(keyring.identity)


def test_files_of_two_ayllus_do_not_mix(machines: Machines) -> None:
    first, second = machines.new("a"), machines.new("b")
    first.create()
    second.create()
    for name in ("ca.crt", "ca.key", "node.crt"):
        path = first.identity.folder / name
        good = path.read_bytes()
        path.write_bytes((second.identity.folder / name).read_bytes())
        with pytest.raises(StoreError, match=r"fit|not of the key"):
            files.load(first.identity)
        path.write_bytes(good)
    assert files.load(first.identity) is not None


def test_a_disk_that_refuses_leaves_the_old_certificate(machines: Machines) -> None:
    keyring = machines.new("a")
    old = keyring.create()
    folder = keyring.identity.folder
    machines.clock.now += 25 * DAY
    path = folder / "node.crt"
    kept = path.read_bytes()
    path.unlink()
    path.mkdir()  # what a rename cannot replace
    with pytest.raises(StoreError, match=r"node\.crt cannot be written"):
        keyring.renew()
    assert keyring.member().certificate == old.certificate
    assert not list(folder.glob(".tmp-*"))
    path.rmdir()
    path.write_bytes(kept)
    assert keyring.renew().ends > old.ends


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> tuple[bytes, bytes]:
    """The certificates that a server and a client saw of each other, over a real socket."""
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            try:
                with server.wrap_socket(plain, server_side=True) as secure:
                    seen.append(secure.getpeercert(binary_form=True) or b"")
                    secure.sendall(b"hello")
            except OSError:
                plain.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with (
                socket.create_connection(listener.getsockname(), timeout=5) as plain,
                client.wrap_socket(plain, server_hostname=name) as secure,
            ):
                if secure.recv(5) != b"hello":
                    raise ConnectionError("no answer")
                return seen[0], secure.getpeercert(binary_form=True) or b""
        finally:
            thread.join()


def test_members_meet_over_mutual_tls_by_their_ids(machines: Machines) -> None:
    machines.clock.now = time.time()  # OpenSSL has a clock of its own
    first, second, other = machines.new("a"), machines.new("b"), machines.new("c")
    a = first.create()
    b = joined(first, second)
    c = other.create()
    strict = a.server_context()
    strict.verify_flags |= ssl.VERIFY_X509_STRICT  # Python's default from 3.13 on
    client = b.client_context()
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    assert handshake(strict, client, a.node) == (b.certificate, a.certificate)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(a.server_context(), b.client_context(), b.node)
    with pytest.raises(ssl.SSLCertVerificationError, match="CERTIFICATE_VERIFY_FAILED"):
        handshake(a.server_context(), c.client_context(), a.node)
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.load_verify_locations(a.ca_file)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(a.server_context(), bare, a.node)


def test_what_is_written_is_the_owners_alone(machines: Machines) -> None:
    folder = machines.new("a").create().identity.folder
    for name in ("node.crt", "ca.crt", "ca.key", "revoked.msgpack", "key.pem"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_a_new_ca_names_itself_by_its_key() -> None:
    authority = new_authority(NOW)
    subject = authority.certificate.subject.rfc4514_string()
    assert subject == f"CN=ayllu {authority.cluster}"
