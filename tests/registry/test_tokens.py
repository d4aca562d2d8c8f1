"""Tokens: who gets one of ours, S8, and what is signed for it."""

from __future__ import annotations

import asyncio
import base64
import os
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from yarl import URL

from ayllu.errors import ForbiddenError, RegistryError, StoreError
from ayllu.registry.addresses import PrivateHosts
from ayllu.registry.key import Key
from ayllu.registry.tokens import Challenge, Tokens, parse_challenge, token_url
from ayllu.registry.web import Web

ROOT = URL("https://registry.example/v2/me/x/")


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        (
            ['Bearer realm="https://a/token",service="a b",scope="repository:x/y:pull,push"'],
            Challenge("https://a/token", "a b", "repository:x/y:pull,push"),
        ),
        (["bearer REALM=https://a/t , Service=a"], Challenge("https://a/t", "a")),
        (
            ['Basic realm="no, Bearer realm=x", Bearer realm="https://a/t"'],
            Challenge("https://a/t"),
        ),
        (['Basic realm="x"', 'Bearer realm="https://a/t"'], Challenge("https://a/t")),
        (['Bearer realm="https://a/t", Basic realm="x"'], Challenge("https://a/t")),
        (['Negotiate, Bearer realm="https://a/t"'], Challenge("https://a/t")),
        ([r'Bearer realm="https://a/\"t\"",scope=""'], Challenge('https://a/"t"')),
        (['Basic realm="x"'], None),
        (["Bearer"], None),
        (['Bearer scope="x"'], None),
        (['Bearer realm="unclosed'], None),
        (["", ",,,", "=", '"', "Bearer realm="], None),
        ([], None),
    ],
)
def test_challenges_are_read_as_the_standard_has_them(
    headers: list[str], challenge: Challenge | None
) -> None:
    assert parse_challenge(headers) == challenge


@pytest.mark.parametrize(
    "realm",
    [
        "https://evil.example/token",
        "https://registry.example.evil.example/token",
        "https://registry.example:444/token",
        "http://registry.example/token",
        "https://registry.example@evil.example/token",
        "https://user@registry.example/token",
        "https://user:word@registry.example/token",
        "https://evil.example\\@registry.example/token",
        "https://evil.example#@registry.example/token",
        "https://evil.example?@registry.example/token",
        "//evil.example/token",
        "/token",
        "ftp://registry.example/token",
        "https://",
        "https://registry.example:port/token",
        "",
    ],
)
def test_s8_a_foreign_realm_gets_nothing(realm: str) -> None:
    with pytest.raises((ForbiddenError, RegistryError)) as caught:
        token_url(Challenge(realm), ROOT)
    assert "realm" in caught.value.sentence


@pytest.mark.parametrize(
    "realm", ["https://registry.example/t?a=b&c", "HTTPS://Registry.Example:443/t"]
)
def test_a_realm_of_the_same_origin_is_asked(realm: str) -> None:
    url = token_url(Challenge(realm, "the service", "one:pull two:push"), ROOT)
    query = parse_qsl(urlsplit(str(url)).query, keep_blank_values=True)
    names = [name for name, _ in query]
    assert names == sorted(names)
    assert [value for name, value in query if name == "scope"] == ["one:pull", "two:push"]
    assert len(base64.urlsafe_b64decode(dict(query)["nonce"] + "==")) == 16
    assert dict(query)["service"] == "the service"
    assert url.host == "registry.example"


def test_s17_no_token_is_asked_over_http_of_a_stranger(tmp_path: Path) -> None:
    challenge = Challenge("http://registry.example/token")
    tokens = Tokens(Web(PrivateHosts(["other.example"])), tmp_path)
    with pytest.raises(ForbiddenError, match="none is sent over plain http"):
        asyncio.run(tokens.get(challenge, URL("http://registry.example/v2/me/x/")))
    assert list(tmp_path.iterdir()) == [], "not even a key was made"


def check_signature(authorization: str, text: str) -> str:
    """Verify a header as a registry does; returns the public key."""
    public, signature = authorization.split(":")
    wire = base64.b64decode(public)
    name = b"ssh-ed25519"
    assert wire[:19] == len(name).to_bytes(4, "big") + name + (32).to_bytes(4, "big")
    key = Ed25519PublicKey.from_public_bytes(wire[19:])
    key.verify(base64.b64decode(signature), text.encode())
    return public


def test_the_key_is_made_once_and_is_the_users_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    public = check_signature(Key(home).sign("text"), "text")
    assert check_signature(Key(home).sign("other"), "other") == public
    with pytest.raises(InvalidSignature):
        check_signature(Key(home).sign("text"), "test")
    assert {path.name for path in home.iterdir()} == {"id_ed25519", "id_ed25519.pub"}
    assert stat.S_IMODE((home / "id_ed25519").stat().st_mode) == 0o600
    assert (home / "id_ed25519.pub").read_text("ascii") == f"ssh-ed25519 {public}\n"


def test_openssh_reads_the_key(tmp_path: Path) -> None:
    Key(tmp_path).sign("")
    try:
        done = subprocess.run(
            ["ssh-keygen", "-y", "-f", tmp_path / "id_ed25519"],  # noqa: S607 - the system's
            capture_output=True,
            text=True,
            check=True,
        )
    except FileNotFoundError:
        pytest.skip("ssh-keygen is not installed")
    assert done.stdout.split()[:2] == (tmp_path / "id_ed25519.pub").read_text().split()


def test_two_that_make_the_key_at_once_have_the_same(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom ayllu.registry.key import Key\n"
        "print(Key(Path(sys.argv[1])).sign('x').split(':')[0])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "home")],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    assert len({process.communicate()[0] for process in running}) == 1


@pytest.mark.parametrize("data", [b"", b"no key", b"-----BEGIN OPENSSH PRIVATE KEY-----\n"])
def test_a_key_that_is_none_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "id_ed25519").write_bytes(data)
    with pytest.raises(StoreError, match="id_ed25519 cannot be used"):
        Key(tmp_path).sign("x")
