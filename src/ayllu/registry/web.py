"""HTTP to other machines: guarded addresses, proxies, capped bodies, and one sentence per failure.

Nothing is decompressed and no redirect is followed here: a caller that wants one asks again, and
passes the guard again. A proxy of the owner's (HTTPS_PROXY, NO_PROXY) connects in our place; it is
trusted with names, and private addresses are refused to it as they are to us.
"""

from __future__ import annotations

import asyncio
import platform
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from ayllu import __version__
from ayllu.errors import RegistryError
from ayllu.registry.addresses import GuardedResolver, PrivateHosts, is_loopback

if TYPE_CHECKING:
    from aiohttp import ClientResponse

MAX_BODY = 4 << 20
CONNECT_SECONDS = 30.0
ANSWER_SECONDS = 120.0
_READ_BUFFER = 1 << 18
_AGENT = f"ayllu/{__version__} ({platform.machine()} {platform.system().lower()})"

Body = bytes | Callable[[], AsyncIterator[bytes]] | None
"""What is sent: bytes, or what begins to yield them anew each time that they have to be sent."""


class TransientError(RegistryError):
    """A connection failed or broke, or a server is busy: it may be worth another try."""


class Web:
    """Connections to other machines, opened when first needed; `close` ends them.

    `private` says which hosts may be on private addresses.
    """

    def __init__(self, private: PrivateHosts) -> None:
        self.private = private
        self._direct: aiohttp.ClientSession | None = None
        self._proxied: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        for session in (self._direct, self._proxied):
            if session is not None:
                await session.close()
        self._direct = self._proxied = None

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        seconds: float | None = ANSWER_SECONDS,
    ) -> AsyncIterator[ClientResponse]:
        """One request, whatever its status; `seconds` is for all of it, None for no limit.

        Raises ForbiddenError for a private address, TransientError where the connection fails,
        also while the answer is read inside the block: a disk's OSError must not pass through it.
        """
        proxy = proxy_of(url)
        session = self._session(proxied=bool(proxy))
        try:
            self.private.check(url)
            async with session.request(
                method,
                url,
                headers=headers,
                data=body() if callable(body) else body,
                proxy=proxy,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(seconds, sock_connect=CONNECT_SECONDS),
            ) as response:
                if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise RegistryError(f"{url.authority} sent a compressed answer unasked")
                yield response
        except (aiohttp.ClientError, OSError) as error:
            raise TransientError(_sentence(url, error)) from error

    async def read(self, response: ClientResponse, limit: int = MAX_BODY) -> bytes:
        """A whole body. Raises RegistryError where it is longer than `limit` bytes."""
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > limit:
                raise RegistryError(
                    f"{response.url.authority} sent an answer of more than {limit} bytes"
                )
        return bytes(body)

    def _session(self, *, proxied: bool) -> aiohttp.ClientSession:
        if proxied:
            self._proxied = self._proxied or _open(None)
            return self._proxied
        self._direct = self._direct or _open(GuardedResolver(self.private))
        return self._direct


def proxy_of(url: URL) -> str | None:
    """The proxy that the environment wants for a URL; None for none, as for this machine."""
    host = url.host or ""
    found = getproxies().get(url.scheme)
    return None if not found or is_loopback(host) or proxy_bypass(host) else found


def _open(resolver: GuardedResolver | None) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, resolver=resolver),
        headers={"User-Agent": _AGENT, "Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        read_bufsize=_READ_BUFFER,
    )


def _sentence(url: URL, error: Exception) -> str:
    """What went wrong with a connection."""
    place = url.authority
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the address of {url.host} cannot be found: check the name and the network"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate of {place} is not trusted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return f"{place} does not speak https: a registry without it needs --insecure"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{place} cannot be reached: {error.os_error.strerror or error.os_error}"
    if isinstance(error, asyncio.TimeoutError):
        return f"{place} does not answer"
    return f"the connection to {place} broke: {error or type(error).__name__}"
