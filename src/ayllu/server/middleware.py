"""Who may speak to the server: Host and Origin are checked on every bind, keys off loopback.

Pure ASGI. A web page that a user happens to visit must not reach the models, by its own origin or
by a name that it lets point here (DNS rebinding), and neither may the network without a key.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import socket
from collections.abc import Mapping
from hmac import compare_digest
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ayllu.cluster.peer_server import peer_of
from ayllu.config import Settings
from ayllu.errors import AylluError, ForbiddenError
from ayllu.server.stream import error_response

BUILT_IN_ORIGINS = (
    *(
        f"{scheme}://{host}{port}"
        for scheme in ("http", "https")
        for host in ("localhost", "127.0.0.1", "0.0.0.0", "[::1]")  # noqa: S104 - an origin
        for port in ("", ":*")
    ),
    "app://*",
    "tauri://*",
    "vscode-webview://*",
    "vscode-file://*",
)
ALLOWED_HEADERS = (
    "Authorization, Content-Type, User-Agent, Accept, X-Requested-With, X-Api-Key, OpenAI-Beta, "
    "x-stainless-arch, x-stainless-async, x-stainless-custom-poll-interval, "
    "x-stainless-helper-method, x-stainless-lang, x-stainless-os, x-stainless-package-version, "
    "x-stainless-poll-helper, x-stainless-retry-count, x-stainless-runtime, "
    "x-stainless-runtime-version, x-stainless-timeout, Anthropic-Version, Anthropic-Beta, "
    "Anthropic-Dangerous-Direct-Browser-Access"
)
_REGISTRY = "/v2/"
_LOCAL_ENDINGS = (".localhost", ".local", ".internal")


class UnauthorizedError(AylluError):
    """The request came from another machine without a key that we know."""

    status = 401


class Guard:
    """Refuses what must not get in, and answers browsers' preflight requests."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._hosts = allowed_hosts(settings)
        self._origins = origin_pattern((*BUILT_IN_ORIGINS, *settings.origins))
        self._registry_is_open = settings.serve_registry == "open"
        self._keys = [hashlib.sha256(key.encode()).digest() for key in settings.api_keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it here."""
        if scope["type"] != "http" or peer_of(scope) is not None:
            # A certificate says who asks; what a machine may ask is said by each Endpoint.
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        try:
            self._check_host(headers.get("host", ""))
            self._check_origin(origin, headers.get("host", ""))
            if scope["method"] == "OPTIONS":
                await _preflight(origin)(scope, receive, send)
                return
            self._check_key(scope, headers)
        except AylluError as error:
            response = error_response(error, scope["path"])
            if isinstance(error, UnauthorizedError) and scope["path"].startswith(_REGISTRY):
                response.headers["www-authenticate"] = 'Basic realm="Ayllu", charset="UTF-8"'
            await response(scope, receive, send)
            return
        await self._app(scope, receive, _with_origin(send, origin))

    def _check_host(self, header: str) -> None:
        host = host_name(header)
        if host and not is_local_name(host) and host not in self._hosts:
            raise ForbiddenError(
                f"the host {host!r} is not one of this server's: use its address, or add "
                "its origin to AYLLU_ORIGINS"
            )

    def _check_origin(self, origin: str | None, host: str) -> None:
        if origin is None or self._origins.fullmatch(origin.lower()):
            return
        if origin.lower().partition("://")[2] == host.lower():
            return  # our own page, whatever address it was opened by
        raise ForbiddenError(f"the origin {origin!r} is not allowed: add it to AYLLU_ORIGINS")

    def _check_key(self, scope: Scope, headers: Mapping[str, str]) -> None:
        """Other machines need one of the keys, where there are any."""
        if not self._keys or _is_this_machine(scope.get("client")) or self._is_open(scope):
            return
        # Anthropic's clients may send both, one of them with a placeholder.
        given = [_shown_key(headers.get("authorization", "")), headers.get("x-api-key", "")]
        digests = [hashlib.sha256(key.encode()).digest() for key in given]
        if not any(compare_digest(d, key) for d in digests for key in self._keys):
            raise UnauthorizedError("this server wants an API key: Authorization: Bearer <key>")

    def _is_open(self, scope: Scope) -> bool:
        """Whether it only reads models, and the user lets everybody do so."""
        reads = scope["method"] in {"GET", "HEAD"} and scope["path"].startswith(_REGISTRY)
        return reads and self._registry_is_open


def allowed_hosts(settings: Settings) -> frozenset[str]:
    """The names this server goes by besides local ones and addresses."""
    origins = {host_name(urlsplit(origin).netloc) for origin in settings.origins}
    return frozenset({socket.gethostname().lower(), settings.host.host.lower()} | origins)


def is_local_name(host: str) -> bool:
    """Whether a name cannot be one that a stranger let point here.

    An address is none: a page that was loaded from an address has that address as its origin.
    """
    if host == "localhost" or host.endswith(_LOCAL_ENDINGS):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def host_name(header: str) -> str:
    """The name in a Host header, lower-case and without its port and brackets."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if re.search(r":\d*$", name) else name


def origin_pattern(origins: tuple[str, ...]) -> re.Pattern[str]:
    """A pattern that matches the origins, where `*` stands for anything but a slash."""
    parts = [re.escape(origin.lower()).replace(r"\*", r"[^/]*") for origin in origins]
    parts = [r".*" if origin == "*" else part for origin, part in zip(origins, parts, strict=True)]
    return re.compile("|".join(f"(?:{part})" for part in parts))


def _shown_key(header: str) -> str:
    """The key in an Authorization header: a bearer's, or the password of a registry's client."""
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic":
        return header.removeprefix("Bearer ").strip()
    try:
        return base64.b64decode(text.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def _is_this_machine(client: tuple[str, int] | None) -> bool:
    return client is None or ipaddress.ip_address(client[0]).is_loopback


def _preflight(origin: str | None) -> Response:
    headers = {
        "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS",
        "access-control-allow-headers": ALLOWED_HEADERS,
        "access-control-max-age": "43200",
    }
    if origin is not None:
        headers |= {"access-control-allow-origin": origin, "vary": "Origin"}
    return Response(status_code=204, headers=headers)


def _with_origin(send: Send, origin: str | None) -> Send:
    """Tell a browser that its page may read the answer."""
    if origin is None:
        return send

    async def send_with_origin(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["access-control-allow-origin"] = origin
            headers.add_vary_header("Origin")
        await send(message)

    return send_with_origin
