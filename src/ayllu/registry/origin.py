"""A web server that models come from, as scheme, host and port: its redirects, tokens and errors.

A token goes to this origin and to nobody that it redirects to; every redirect is checked as the
first request was.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Container, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec
from aiohttp import ClientResponse
from yarl import URL

from ayllu.errors import AylluError, ForbiddenError, NotFoundError, RegistryError
from ayllu.registry.addresses import origin_of
from ayllu.registry.web import ANSWER_SECONDS, Body, TransientError, Web

MAX_REDIRECTS = 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OK = range(200, 300)
_BUSY = frozenset({408, 429, *range(500, 600)})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class AccessError(ForbiddenError):
    """A server does not let us do what we asked."""


class Origin:
    """A server and the place on it, `root`, that requests are about.

    `authorization` is what its header says from the beginning. Raises ForbiddenError where the host
    is a private address that nobody allowed, or a secret would go in the clear.
    """

    def __init__(self, web: Web, root: URL, authorization: str = "") -> None:
        web.private.check(root)
        if authorization:
            web.private.check_clear(root)
        self.root = root
        self.web = web
        self._authorization = authorization

    @asynccontextmanager
    async def follow(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = ANSWER_SECONDS,
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
        seconds: float | None = ANSWER_SECONDS,
        accept: Container[int] = _OK,
    ) -> AsyncIterator[ClientResponse]:
        """One request without redirects, with a token or login where the registry itself wants one.

        Raises what a status outside of `accept` stands for: NotFoundError, ForbiddenError or
        RegistryError, TransientError where it may pass; the same two as Web does.
        """
        own = origin_of(url) == origin_of(self.root)
        for attempt in range(3):  # without a token, with one that was kept, with a new one
            shown = self._authorization if own else ""
            sent = {**(headers or {}), **({"Authorization": shown} if shown else {})}
            async with self.web.request(
                method, url, headers=sent, body=body, seconds=seconds
            ) as response:
                if not (own and response.status == 401 and attempt < 2):
                    if response.status not in accept:
                        raise await self._error(response)
                    yield response
                    return
                self._authorization = await self.login(response, shown)

    async def login(self, response: ClientResponse, refused: str) -> str:
        """What to show where a 401 asks for it; `refused` was shown. For those that know how."""
        del refused
        raise await self._error(response)

    async def _error(self, response: ClientResponse) -> AylluError:
        """What a status stands for, with the registry's own words."""
        place, status = response.url.authority, response.status
        if status == 404:
            return NotFoundError(f"{place} has no {response.url.path}")
        words = _words_of(await self.web.read(response))
        if status in {401, 403}:
            return AccessError(f"{place} does not allow this: {words or status}")
        kind = TransientError if status in _BUSY else RegistryError
        return kind(f"{place} answered {status}: {words}")


def location(response: ClientResponse) -> URL | None:
    """The place that an answer names, made absolute. Raises RegistryError where it is no URL."""
    text = response.headers.get("Location")
    return join(response, text) if text else None


def join(response: ClientResponse, text: str) -> URL:
    """A place that an answer names, made absolute. Raises RegistryError where it is no URL."""
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
