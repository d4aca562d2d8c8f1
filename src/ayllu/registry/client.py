"""Registries as their clients see them: Docker's HTTP API V2, with Ollama's keys for tokens."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientResponse
from yarl import URL

from ayllu.config import Settings
from ayllu.errors import BadRequestError, ForbiddenError, NotFoundError
from ayllu.models.manifest import MANIFEST_TYPE, parse_digest
from ayllu.models.name import HUB_HOSTS
from ayllu.registry.addresses import PrivateHosts, origin_of
from ayllu.registry.bandwidth import Bandwidth
from ayllu.registry.origin import Origin
from ayllu.registry.tokens import Tokens, parse_challenge
from ayllu.registry.web import TransientError, Web
from ayllu.types import ModelName


def choose_scheme(text: str, *, insecure: bool) -> str:
    """`http` or `https` for a model's name as the user wrote it.

    `insecure` means plain http, as in Ollama, unless the name says https. Raises BadRequestError
    for a name in http without it.
    """
    scheme = text.rpartition("://")[0].lower()
    if scheme == "http" and not insecure:
        raise BadRequestError("insecure protocol http")
    return scheme or ("http" if insecure else "https")


class Registries:
    """All registries, with the connections, tokens and bandwidth that they share."""

    def __init__(self, settings: Settings) -> None:
        self.web = Web(PrivateHosts(settings.registries))
        self.bandwidth = Bandwidth(settings.max_bandwidth)
        self._tokens = Tokens(self.web, settings.home)
        self._logins = dict(map(_login, settings.registry_logins))
        self.hub = URL(settings.hf_endpoint)
        self.hub_authorization = f"Bearer {settings.hf_token}" if settings.hf_token else ""

    def open(self, name: ModelName, scheme: str) -> Registry:
        """A model's place in its registry; `scheme` is choose_scheme's. Nothing is asked yet.

        Raises ForbiddenError where the host is a private address that nobody allowed.
        """
        if name.host in HUB_HOSTS:
            return Registry(self.web, self._tokens, name, self.hub, shown=self.hub_authorization)
        try:
            root = URL(f"{scheme}://{name.host}")
            root.origin()
        except ValueError as error:
            raise BadRequestError("invalid model name") from error
        login = self._logins.get(name.host.lower(), "")
        return Registry(self.web, self._tokens, name, root, login=login)

    async def close(self) -> None:
        """Close all connections."""
        await self.web.close()


class Registry(Origin):
    """One model's place in its registry, opened by Registries."""

    def __init__(
        self,
        web: Web,
        tokens: Tokens,
        name: ModelName,
        host: URL,
        *,
        shown: str = "",
        login: str = "",
    ) -> None:
        super().__init__(web, host / "v2" / name.namespace / name.model / "", shown)
        self._tag = name.tag
        self._login = login
        self._tokens = tokens

    async def manifest(self) -> bytes:
        """The manifest's bytes as they are. Raises NotFoundError in Ollama's words."""
        url = self.root / "manifests" / self._tag
        try:
            async with self.follow("GET", url, headers={"Accept": MANIFEST_TYPE}) as response:
                return await self.web.read(response)
        except NotFoundError as error:
            raise NotFoundError("pull model manifest: file does not exist") from error

    async def put_manifest(self, data: bytes, media_type: str) -> None:
        """Give the model a manifest, once the registry has what it names."""
        url, headers = self.root / "manifests" / self._tag, {"Content-Type": media_type}
        async with self.request("PUT", url, headers=headers, body=data):
            pass

    def blob(self, digest: str) -> URL:
        """Where a blob is. Raises BadRequestError `invalid digest format`."""
        return self.root / "blobs" / parse_digest(digest)

    async def has_blob(self, digest: str) -> bool:
        """Whether the registry has a blob of this model."""
        try:
            async with self.follow("HEAD", self.blob(digest)):
                return True
        except NotFoundError:
            return False

    async def login(self, response: ClientResponse, refused: str) -> str:
        """A token, or the owner's login; `refused` was shown and is not good any more."""
        asked = response.headers.getall("WWW-Authenticate", [])
        if challenge := parse_challenge(asked):
            token = await self._tokens.get(
                challenge, self.root, refused=refused.removeprefix("Bearer ")
            )
            return f"Bearer {token}"
        place = self.root.authority
        if not any(text.lower().startswith("basic") for text in asked):
            raise ForbiddenError(f"{place} asks for a login of a kind that is not known here")
        if not self._login or self._login == refused:
            why = "does not take the login that you gave" if refused else "asks for a login"
            raise ForbiddenError(f"{place} {why}: set AYLLU_REGISTRY_LOGINS=user:password@{place}")
        self.web.private.check_clear(self.root)
        return self._login


def _login(entry: str) -> tuple[str, str]:
    """A host and what to show it, of an entry `user:password@host` (RFC 7617)."""
    login, _, host = entry.rpartition("@")
    return host.lower(), f"Basic {base64.b64encode(login.encode()).decode()}"


class Source:
    """A file somewhere on an origin, read in ranges.

    Where the origin redirects to, usually a signed URL of a storage service, is kept until it is
    refused there.
    """

    def __init__(self, origin: Origin, url: URL) -> None:
        self.origin = origin
        self._url = url
        self._direct: URL | None = None

    @asynccontextmanager
    async def open(self, start: int = 0, end: int | None = None) -> AsyncIterator[ClientResponse]:
        """The bytes from `start` to before `end`; all of them, asked for without a range, if None.

        Nothing limits how long it takes. Raises TransientError, ForbiddenError, NotFoundError or
        RegistryError.
        """
        direct = self._direct
        headers = {} if end is None else {"Range": f"bytes={start}-{end - 1}"}
        try:
            url = direct or self._url
            async with self.origin.follow("GET", url, headers=headers, seconds=None) as response:
                if origin_of(response.url) != origin_of(self.origin.root):
                    self._direct = response.url
                yield response
        except (ForbiddenError, NotFoundError) as error:
            if direct is None:
                raise
            self._direct = None
            raise TransientError(error.sentence) from error
