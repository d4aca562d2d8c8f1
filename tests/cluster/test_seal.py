from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayllu.cluster.authority import CertificateError
from ayllu.cluster.credentials import Credentials
from ayllu.cluster.identity import opened
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.revoked import MOST, Revocation, Revoked
from ayllu.cluster.seal import LARGEST, LARGEST_BODY, Sealed, seal, unseal
from ayllu.errors import AylluError, BadRequestError, ForbiddenError, StoreError

NOW = 1.8e9


def keyring_at(folder: Path, stack: ExitStack) -> Keyring:
    return Keyring(stack.enter_context(opened(folder)), lambda: NOW)


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Credentials, Credentials]]:
    """An admin machine and one that is none."""
    root = tmp_path_factory.mktemp("members")
    with ExitStack() as stack:
        first, second = (keyring_at(root / name, stack) for name in "ab")
        admin = first.create()
        grant = first.grant(second.identity.request(), admin=False, admins=1)
        yield admin, second.join(grant)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Credentials]:
    """The admin machine of another ayllu."""
    with ExitStack() as stack:
        yield keyring_at(tmp_path_factory.mktemp("stranger"), stack).create()


Members = tuple[Credentials, Credentials]


@pytest.mark.parametrize("body", [b"", b"body", bytes(LARGEST_BODY)])
def test_a_member_reads_who_wrote_what_and_when(members: Members, body: bytes) -> None:
    reader, writer = members
    data = seal(writer, "record", body, NOW)
    assert len(data) <= LARGEST
    assert unseal(reader, "record", data, NOW + 5) == Sealed(writer.node, NOW, body)
    assert unseal(reader, "record", data, NOW + 5).node == writer.node  # from the cache


def test_an_envelope_of_one_kind_is_never_another(members: Members) -> None:
    reader, writer = members
    data = seal(writer, "record", b"body", NOW)
    with pytest.raises(BadRequestError, match="not of the kind have"):
        unseal(reader, "have", data, NOW)
    renamed = msgspec.msgpack.decode(data)
    renamed[0] = "have"
    with pytest.raises(ForbiddenError, match="not signed by"):
        unseal(reader, "have", msgspec.msgpack.encode(renamed), NOW)


@pytest.mark.parametrize(("place", "value"), [(1, NOW + 1), (2, b"other"), (4, b""), (4, b"x")])
def test_nothing_in_an_envelope_can_be_changed(members: Members, place: int, value: object) -> None:
    reader, writer = members
    parts = msgspec.msgpack.decode(seal(writer, "record", b"body", NOW))
    parts[place] = value
    with pytest.raises(ForbiddenError, match=f"not signed by {writer.node}"):
        unseal(reader, "record", msgspec.msgpack.encode(parts), NOW)


def test_nobody_speaks_for_another(members: Members) -> None:
    reader, writer = members
    parts = msgspec.msgpack.decode(seal(writer, "record", b"body", NOW))
    parts[3] = reader.certificate
    with pytest.raises(ForbiddenError, match=f"not signed by {reader.node}"):
        unseal(reader, "record", msgspec.msgpack.encode(parts), NOW)


def test_strangers_and_old_members_are_not_heard(members: Members, stranger: Credentials) -> None:
    reader, writer = members
    with pytest.raises(CertificateError, match="another ayllu"):
        unseal(reader, "record", seal(stranger, "record", b"body", NOW), NOW)
    data = seal(writer, "record", b"body", NOW)
    with pytest.raises(CertificateError, match="ran out"):
        unseal(reader, "record", data, NOW + 31 * 86400)


def test_a_revoked_member_is_not_heard_from_that_moment(tmp_path: Path) -> None:
    with ExitStack() as stack:
        first, second = (keyring_at(tmp_path / name, stack) for name in "ab")
        admin = first.create()
        writer = second.join(first.grant(second.identity.request(), admin=None, admins=1))
        data = seal(writer, "record", b"body", NOW)
        unseal(admin, "record", data, NOW)
        admin.revoked.revoke(writer.node, "stolen", NOW)
        with pytest.raises(CertificateError, match="was revoked"):
            unseal(admin, "record", data, NOW)


@given(st.binary(max_size=300))
def test_garbage_is_refused(members: Members, data: bytes) -> None:
    reader, _ = members
    with pytest.raises(BadRequestError):
        unseal(reader, "record", data, NOW)


@given(st.integers(0, 5000), st.integers(0, 255))
def test_damaged_envelopes_are_refused(members: Members, place: int, flip: int) -> None:
    reader, writer = members
    whole = seal(writer, "record", b"body", NOW)
    cut, rest = whole[: place % len(whole)], whole[place % len(whole) :]
    bad = cut + bytes([rest[0] ^ flip]) + rest[1:] if flip else cut
    with pytest.raises(AylluError):
        unseal(reader, "record", bad, NOW)


def test_envelopes_that_are_too_large_are_refused(members: Members) -> None:
    reader, writer = members
    with pytest.raises(BadRequestError, match="too large"):
        unseal(reader, "record", bytes(LARGEST + 1), NOW)
    with pytest.raises(BadRequestError, match="too large"):
        seal(writer, "record", bytes(LARGEST_BODY + 1), NOW)


def test_lists_of_the_revoked_grow_into_one(members: Members, tmp_path: Path) -> None:
    admin, member = members
    path = tmp_path / "revoked"
    one, two = Revoked(admin.authority, path), Revoked(admin.authority)
    one.revoke("a" * 20, "lost", NOW)
    two.revoke("b" * 20, "", NOW + 1)
    two.revoke("a" * 20, "another reason", NOW + 2)
    told: list[frozenset[str]] = []
    one.watch(told.append)
    assert one.merge(two.encode()) == {"b" * 20}
    assert one.merge(two.encode()) == frozenset()
    assert told == [{"b" * 20}]
    assert one.reason("a" * 20) == "lost"
    again = Revoked(member.authority, path)
    assert again.encode() == one.encode()
    assert [entry.node for entry in again.entries] == ["a" * 20, "b" * 20]
    path.write_bytes(b"x")
    with pytest.raises(StoreError, match="damaged"):
        Revoked(member.authority, path)


def test_nobody_but_the_ca_revokes(members: Members, stranger: Credentials) -> None:
    admin, member = members
    mine = Revoked(admin.authority)
    with pytest.raises(ForbiddenError, match="on an admin machine"):
        Revoked(member.authority).revoke("a" * 20, "", NOW)
    theirs = Revoked(stranger.authority)
    theirs.revoke("a" * 20, "", NOW)
    with pytest.raises(BadRequestError, match="not signed by the CA"):
        mine.merge(theirs.encode())
    good = Revoked(admin.authority)
    entry = good.revoke("a" * 20, "", NOW)
    for bad in (
        msgspec.structs.replace(entry, node="b" * 20),
        msgspec.structs.replace(entry, reason="other"),
        msgspec.structs.replace(entry, time=NOW + 1),
    ):
        with pytest.raises(BadRequestError, match="not signed by the CA"):
            mine.merge(msgspec.msgpack.encode([bad]))
    assert len(mine) == 0


@given(st.binary(max_size=200))
def test_garbage_revokes_nobody(members: Members, data: bytes) -> None:
    admin, _ = members
    revoked = Revoked(admin.authority)
    with suppress(BadRequestError):
        assert revoked.merge(data) == frozenset()
    assert len(revoked) == 0


def test_lists_of_the_revoked_have_an_end(members: Members) -> None:
    admin, _ = members
    many = [Revocation("a" * 20, NOW, "", b"")] * (MOST + 1)
    with pytest.raises(BadRequestError, match="no list of revoked"):
        Revoked(admin.authority).merge(msgspec.msgpack.encode(many))
