from __future__ import annotations

import json

import pytest
from cluster_machines import NOW, Machines, joined
from hypothesis import given
from hypothesis import strategies as st

from ayllu.cluster.invite import Invite, InviteError, Invites, decode, encode, reachable
from ayllu.errors import BadRequestError, ForbiddenError, StoreError

INVITE = Invite(
    bytes(range(16)), bytes(range(100, 116)), NOW, ("192.0.2.7:17449", "[2001:db8::1]:17449")
)
CODE = encode(INVITE)


def test_a_code_says_all_that_is_needed() -> None:
    assert CODE.startswith("ayllu-")
    assert len(CODE) < 120
    assert decode(CODE) == INVITE


@pytest.mark.parametrize(
    "written",
    [
        CODE.upper(),
        f"  {CODE}\n",
        CODE.replace("-", ""),
        f"{CODE[:20]} {CODE[20:40]}-\n{CODE[40:]}",
    ],
)
def test_codes_are_read_as_people_copy_them(written: str) -> None:
    assert decode(written) == INVITE


@pytest.mark.parametrize("text", ["", "hello", "ayllu", "ayllu-", "http://ayllu-abc", CODE[6:]])
def test_what_is_no_code_is_told_so(text: str) -> None:
    with pytest.raises(InviteError, match="an invite begins with `ayllu-`"):
        decode(text)


@given(st.integers(len("ayllu-") + 1, len(CODE) - 1))
def test_cut_codes_are_told_so(length: int) -> None:
    with pytest.raises(InviteError, match="is cut: copy all of it"):
        decode(CODE[:length])


@given(
    st.integers(len("ayllu-") + 4, len(CODE) - 1),
    st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"),
)
def test_mistyped_codes_are_told_so(place: int, letter: str) -> None:
    wrong = CODE[:place] + letter + CODE[place + 1 :]
    if wrong != CODE:
        with pytest.raises(InviteError, match="is mistyped: its check"):
            decode(wrong)
    with pytest.raises(InviteError, match=r"is mistyped: '!' is in no invite"):
        decode(CODE[:place] + "!" + CODE[place + 1 :])
    with pytest.raises(InviteError, match="is mistyped"):
        decode(CODE + letter * 8)


@given(st.text(max_size=200))
def test_any_text_ends_in_a_sentence(text: str) -> None:
    with pytest.raises(InviteError):
        decode(f"ayllu-{text}")


def test_addresses_that_nobody_could_reach_are_left_out() -> None:
    given_ = ("127.0.0.1:1", "0.0.0.0:1", "[fe80::1]:1", "192.0.2.7:1", "[::1]:1", "192.0.2.7:1")
    assert reachable(given_) == ("192.0.2.7:1",)
    assert reachable(given_[:3]) == ("127.0.0.1:1",)
    assert reachable(()) == ()
    assert len(reachable(f"192.0.2.{i}:1" for i in range(1, 30))) == 8


def test_an_invite_is_kept_without_its_secret_through_restarts(machines: Machines) -> None:
    keyring = machines.new("a")
    keyring.create()
    invite = Invites(keyring).issue(["192.0.2.7:17449"], admin=False)
    assert invite.cluster == keyring.member().cluster
    assert invite.expires == NOW + 900
    path = keyring.identity.folder / "invites.json"
    assert path.stat().st_mode & 0o777 == 0o600
    (kept,) = json.loads(path.read_bytes())
    assert kept.keys() == {"id", "key", "expires", "admin", "used_by"}
    again = Invites(keyring).find(invite.id)
    assert (again.key, again.admin) == (invite.key, False)
    assert invite.secret not in (again.id, again.key)


def test_expired_used_and_unknown_invites_are_told_apart(machines: Machines) -> None:
    keyring = machines.new("a")
    keyring.create()
    invites = Invites(keyring)
    first, second = (invites.issue(["192.0.2.7:1"]) for _ in range(2))
    invites.use(invites.find(first.id), "n" * 20)
    invites.check(invites.find(first.id), "n" * 20)  # its answer may have been lost
    with pytest.raises(InviteError, match="used already, by another machine"):
        invites.check(invites.find(first.id), "m" * 20)
    machines.clock.now += 901
    with pytest.raises(InviteError, match="expired at 2027-01-15 08:15:00 UTC"):
        invites.check(invites.find(second.id), "m" * 20)
    with pytest.raises(InviteError, match="knows no such invite"):
        invites.find(bytes(8))
    machines.clock.now += 2 * 86400
    invites.issue(["192.0.2.7:1"])
    with pytest.raises(InviteError, match="knows no such invite"):
        invites.find(second.id)  # a day later it is forgotten


def test_who_may_invite_and_how(machines: Machines) -> None:
    first, second = machines.new("a"), machines.new("b")
    with pytest.raises(BadRequestError, match="in no ayllu"):
        Invites(first).issue(["192.0.2.7:1"])
    first.create()
    joined(first, second, admin=False)
    with pytest.raises(ForbiddenError, match="on an admin machine"):
        Invites(second).issue(["192.0.2.7:1"])
    with pytest.raises(BadRequestError, match="no address"):
        Invites(first).issue(["[fe80::1]:1"])
    for seconds in (0, -1, 1e9, float("nan")):
        with pytest.raises(BadRequestError, match="at most 24 hours"):
            Invites(first).issue(["192.0.2.7:1"], seconds=seconds)
    for _ in range(256):
        Invites(first).issue(["192.0.2.7:1"])
    with pytest.raises(BadRequestError, match="256 invites already"):
        Invites(first).issue(["192.0.2.7:1"])
    (first.identity.folder / "invites.json").write_text("nonsense")
    with pytest.raises(StoreError, match=r"invites\.json"):
        Invites(first).find(bytes(8))
