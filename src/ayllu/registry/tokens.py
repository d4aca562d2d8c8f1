"""Who we are to a registry: an Ed25519 key, and the tokens that it is exchanged for.

A registry's `WWW-Authenticate` names where tokens are given (RFC 7235, Docker's token
authentication). Only the registry's own origin is believed: a token or a signature for one host
must not go to another (GO-2025-3824).
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlencode

import msgspec
from msgspec import Struct
from yarl import URL

from ayllu.errors import ForbiddenError, RegistryError
from ayllu.registry.addresses import origin_of
from ayllu.registry.web import Web

_PARAMETER = re.compile(r"""[\s,]*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))""")
_SCHEME = re.compile(r"[\s,]*([\w-]+)(?=[\s,]|$)")
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")
_MOST_KEPT = 256


class Challenge(Struct, frozen=True):
    """What a registry wants: a token of `realm` (a URL) for a service and some scopes."""

    realm: str
    service: str = ""
    scope: str = ""


def parse_challenge(headers: Iterable[str]) -> Challenge | None:
    """The first Bearer challenge in `WWW-Authenticate` headers; None where there is none."""
    for header in headers:
        place, scheme, found = 0, "", {}
        while True:
            if match := _PARAMETER.match(header, place):
                key, quoted, plain = match.groups()
                found[key.lower()] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            elif scheme == "bearer" and found.get("realm"):
                break
            elif match := _SCHEME.match(header, place):
                scheme, found = match[1].lower(), {}
            else:
                break
            place = match.end()
        if scheme == "bearer" and found.get("realm"):
            return Challenge(found["realm"], found.get("service", ""), found.get("scope", ""))
    return None


def token_url(challenge: Challenge, root: URL) -> URL:
    """Where to ask for a token, with a time and a nonce, as Ollama signs it.

    Raises ForbiddenError where the realm is not of the registry at `root`, to the last character of
    its origin.
    """
    try:
        realm = URL(challenge.realm)
        same = origin_of(realm) == origin_of(root) and realm.user is realm.password is None
    except ValueError as error:
        raise RegistryError(f"{root.host} names a realm that is no URL") from error
    if not same:
        raise ForbiddenError(
            f'realm host "{origin_of(realm)}" does not match original host "{origin_of(root)}"'
        )
    query = [*realm.query.items(), ("service", challenge.service)]
    query += [("scope", scope) for scope in challenge.scope.split(" ")]
    query += [("ts", str(int(time.time()))), ("nonce", _nonce())]
    text = urlencode(sorted(query, key=lambda item: item[0]))  # as Go's url.Values encodes
    return URL(f"{realm.with_query(None).with_fragment(None)}?{text}", encoded=True)


def _nonce() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()


class _Token(Struct, frozen=True):
    token: str = ""
    access_token: str = ""


class Tokens:
    """Tokens of all registries, each kept for its realm, service and scope."""

    def __init__(self, web: Web, folder: Path) -> None:
        self._web = web
        self._folder = folder
        self._kept: dict[Challenge, str] = {}

    async def get(self, challenge: Challenge, root: URL, *, refused: str = "") -> str:
        """A token for what a registry asks; the one that was `refused` is not it.

        Raises ForbiddenError rather than sending anything to a foreign realm, or in the clear to
        another machine that nobody vouches for.
        """
        url = token_url(challenge, root)
        self._web.private.check_clear(root)
        kept = self._kept.get(challenge)
        if kept and kept != refused:
            return kept
        token = await self._fetch(url)
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[challenge] = token
        return token

    async def _fetch(self, url: URL) -> str:
        from ayllu.registry.key import Key  # noqa: PLC0415 - it takes 8 MB, and few registries ask

        nothing = base64.b64encode(hashlib.sha256(b"").hexdigest().encode()).decode()
        headers = {"Authorization": Key(self._folder).sign(f"GET,{url},{nothing}")}
        async with self._web.request("GET", url, headers=headers) as response:
            if response.status in {401, 403}:
                raise ForbiddenError(
                    f"{url.authority} gives this machine no token: register its public key, "
                    "id_ed25519.pub in the home folder, there"
                )
            if response.status != 200:
                raise RegistryError(f"{url.authority} answered {response.status} for a token")
            body = await self._web.read(response)
        try:
            found = msgspec.json.decode(body, type=_Token)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise RegistryError(f"{url.authority} gave a token that cannot be read") from error
        token = found.token or found.access_token
        if not _TOKEN.fullmatch(token):
            raise RegistryError(f"{url.authority} gave a token that cannot be used")
        return token
