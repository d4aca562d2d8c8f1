"""A registry as its clients see it: Docker's HTTP API V2 with Ollama's key exchange for tokens.

Owns the requests about one model's manifests and blobs. Tokens go to the registry's own origin
only, and every redirect is checked as the first request was.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Container, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
from yarl import URL

from ayllu.config import Settings
from ayllu.errors import AylluError, BadRequestError, ForbiddenError, NotFoundError, RegistryError
from ayllu.models.addresses import PrivateHosts
from ayllu.models.manifest import MANIFEST_TYPE, parse_digest
from ayllu.models.registry_auth import Tokens, parse_challenge
from ayllu.models.web import Body, Web
from ayllu.types import ModelName

if TYPE_CHECKING:
    from aiohttp import ClientResponse

MAX_REDIRECTS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OK = range(200, 300)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


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
    """All registries, with the connections and tokens that requests to them share."""

    def __init__(self, settings: Settings) -> None:
        self._web = Web(PrivateHosts(settings.registries))
        self._tokens = Tokens(self._web, settings.home)

    def open(self, name: ModelName, scheme: str) -> Registry:
        """A model's place in its registry; `scheme` is choose_scheme's. Nothing is asked yet.

        Raises ForbiddenError where the host is a private address that nobody allowed.
        """
        return Registry(self._web, self._tokens, name, scheme)

    async def close(self) -> None:
        """Close all connections."""
        await self._web.close()


class Registry:
    """One model's place in its registry, opened by Registries."""

    def __init__(self, web: Web, tokens: Tokens, name: ModelName, scheme: str) -> None:
        try:
            self.root = URL(f"{scheme}://{name.host}/v2/{name.namespace}/{name.model}/")
            self.root.origin()
        except ValueError as error:
            raise BadRequestError("invalid model name") from error
        web.private.check(self.root)
        self._name = name
        self._web = web
        self._tokens = tokens
        self._token = ""

    async def manifest(self) -> bytes:
        """The manifest's bytes as they are. Raises NotFoundError in Ollama's words."""
        url = self.root / "manifests" / self._name.tag
        try:
            async with self.follow("GET", url, headers={"Accept": MANIFEST_TYPE}) as response:
                return await self._web.read(response)
        except NotFoundError as error:
            raise NotFoundError("pull model manifest: file does not exist") from error

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

    @asynccontextmanager
    async def follow(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> AsyncIterator[ClientResponse]:
        """GET or HEAD, along redirects; `response.url` is where it ended.

        A 200 that names another place (`Location`), as Ollama's own registry may answer for a blob,
        is followed too.
        """
        async with AsyncExitStack() as stack:
            for _ in range(MAX_REDIRECTS + 1):
                asked = self.request(
                    method, url, headers=headers, seconds=seconds, accept={*_OK, *REDIRECTS}
                )
                response = await stack.enter_async_context(asked)
                target, must = location(response), response.status in REDIRECTS
                less_safe = target is not None and url.scheme == "https" != target.scheme
                if must and less_safe:
                    raise ForbiddenError(f"{url.authority} redirects from https to http")
                if must and target is None:
                    raise RegistryError(f"{url.authority} redirects to nowhere")
                if target is None or (not must and (less_safe or target == url)):
                    yield response
                    return
                await stack.aclose()
                url = target
            raise RegistryError(f"{self.root.authority} redirects more than {MAX_REDIRECTS} times")

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        seconds: float | None = None,
        accept: Container[int] = _OK,
    ) -> AsyncIterator[ClientResponse]:
        """One request without redirects, with a token where the registry itself wants one.

        Raises what a status outside of `accept` stands for: NotFoundError, ForbiddenError or
        RegistryError; UnreachableError and ForbiddenError as Web does.
        """
        own = url.origin() == self.root.origin()
        for attempt in range(2):
            token = self._token if own else ""
            sent = {**(headers or {}), **({"Authorization": f"Bearer {token}"} if token else {})}
            async with self._web.request(
                method, url, headers=sent, body=body, seconds=seconds
            ) as response:
                if not (own and response.status == 401 and attempt == 0):
                    if response.status not in accept:
                        raise await self._error(response)
                    yield response
                    return
                challenge = parse_challenge(response.headers.getall("WWW-Authenticate", []))
            if challenge is None:
                raise ForbiddenError(f"{url.authority} asks for a login that is not by token")
            self._token = await self._tokens.get(challenge, self.root, stale=token)

    async def _error(self, response: ClientResponse) -> AylluError:
        """What a status stands for, with the registry's own words."""
        place, status = response.url.authority, response.status
        if status == 404:
            return NotFoundError(f"{place} has no {response.url.path}")
        words = _words_of(await self._web.read(response))
        if status in {401, 403}:
            return ForbiddenError(f"{place} does not allow this: {words or status}")
        return RegistryError(f"{place} answered {status}: {words}")


def location(response: ClientResponse) -> URL | None:
    """The place that an answer names, made absolute. Raises RegistryError where it is no URL."""
    text = response.headers.get("Location")
    if not text:
        return None
    try:
        url = response.url.join(URL(text, encoded=True))
        if url.scheme not in {"http", "https"} or not url.host:
            raise ValueError(text)  # noqa: TRY301 - the same for all that cannot be asked
    except ValueError as error:
        raise RegistryError(f"{response.url.authority} redirects to what is no URL") from error
    return url


def _words_of(body: bytes) -> str:
    """The message in an error's body, of Docker's or Ollama's form, or its beginning as it is."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        value = None
    text = body.decode("utf-8", "replace")
    if isinstance(value, dict):
        errors = value.get("errors")
        if isinstance(errors, list) and errors and isinstance(errors[0], dict):
            text = str(errors[0].get("message") or errors[0].get("code") or text)
        elif value.get("error"):
            text = str(value["error"])
    return _CONTROL.sub(" ", text).strip()[:200]
