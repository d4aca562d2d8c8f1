"""A client of the server's HTTP API.

Every failure leaves here as an AylluError with one sentence. Lines are split here, because
aiohttp's own iteration over lines fails on long ones (aio-libs/aiohttp#4453).
"""

from __future__ import annotations

import asyncio
import ipaddress
import platform
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Self, TypeVar

import aiohttp
import msgspec

from ayllu import __version__
from ayllu.cli.print import clean_line
from ayllu.cli.wire import VersionReply
from ayllu.config import Address, Settings, load_settings
from ayllu.errors import (
    AylluError,
    BadRequestError,
    BusyError,
    ForbiddenError,
    NotFoundError,
    TooLargeError,
)
from ayllu.types import Json

T = TypeVar("T")

LONGEST_LINE = 64 << 20
LONGEST_ERROR = 64 << 10
CONNECT_SECONDS = 10.0

_ERRORS: dict[int, type[AylluError]] = {
    400: BadRequestError,
    403: ForbiddenError,
    404: NotFoundError,
    413: TooLargeError,
    503: BusyError,
}


class RefusedError(AylluError):
    """Nothing listens at the server's address."""


class UnreachableError(AylluError):
    """The server's address cannot be reached for another reason."""


class ProtocolError(AylluError):
    """What came back is not what this API says, or it broke off."""


async def split_lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The lines in a stream of bytes cut anywhere, without their ends and without empty ones.

    Raises ProtocolError for a line over LONGEST_LINE bytes.
    """
    rest = bytearray()
    async for piece in pieces:
        searched = len(rest)
        rest += piece
        start = 0
        while (end := rest.find(b"\n", max(start, searched))) >= 0:
            line = bytes(rest[start:end]).strip()
            start = end + 1
            if line:
                yield line
        del rest[:start]
        if len(rest) > LONGEST_LINE:
            raise ProtocolError("the server sent a line without an end")
    if last := bytes(rest).strip():
        yield last


def is_this_machine(address: Address) -> bool:
    """Whether a server at this address would run here: loopback or a wildcard address."""
    if address.host in {"", "localhost"}:
        return True
    try:
        ip = ipaddress.ip_address(address.host)
    except ValueError:
        return False
    return ip.is_loopback or ip.is_unspecified


class Client:
    """Requests to the configured server; `async with` opens and closes it."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.host.client_url
        self.answered_by = ""
        """The id of the machine of the ayllu that gave the last answer, if it was another one."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            headers=_headers(settings),
            trust_env=not is_this_machine(settings.host),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def version(self) -> str:
        """The server's own version; Ollama's where the server is Ollama."""
        reply = await self.get("/api/version", VersionReply)
        return clean_line(reply.ayllu or reply.version)

    async def is_up(self) -> bool:
        """Whether a server answers; False when the connection is refused."""
        try:
            await self.head("/")
        except RefusedError:
            return False
        return True

    async def head(self, path: str) -> int:
        """The status that HEAD gets."""
        async with self._request("HEAD", path) as response:
            return response.status

    async def get(self, path: str, kind: type[T]) -> T:
        """GET a JSON answer."""
        async with self._ask("GET", path) as response:
            return self._read(await response.read(), kind)

    async def post(self, path: str, body: Json, kind: type[T]) -> T:
        """POST a JSON body and read a JSON answer."""
        async with self._ask("POST", path, body) as response:
            return self._read(await response.read(), kind)

    async def delete(self, path: str, kind: type[T]) -> T:
        """DELETE what a path names, and read a JSON answer."""
        async with self._ask("DELETE", path) as response:
            return self._read(await response.read(), kind)

    async def send(self, method: str, path: str, body: Json) -> None:
        """Send a JSON body where only success matters."""
        async with self._ask(method, path, body) as response:
            await response.read()

    async def upload(self, path: str, pieces: AsyncIterator[bytes], size: int) -> None:
        """POST raw bytes, `size` of them in all."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        async with self._request("POST", path, data=pieces, headers=headers) as response:
            await self._check(response)

    async def download(self, path: str, target: Path) -> None:
        """GET raw bytes into a file, which is there whole or not at all. Raises OSError."""
        part = target.with_name(f".{target.name}.part")
        try:
            with part.open("wb") as file:
                async with self._ask("GET", path) as response:
                    async for piece in response.content.iter_any():
                        await asyncio.to_thread(file.write, piece)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)

    async def stream(self, path: str, body: Json, kind: type[T]) -> AsyncGenerator[T, None]:
        """POST a JSON body and yield the lines of the answer. Closing it cancels the request.

        An `{"error": ...}` line is raised as an AylluError.
        """
        async with self._ask("POST", path, body) as response:
            lines = split_lines(response.content.iter_any())
            async with aclosing(lines):
                async for line in lines:
                    yield self._read(line, kind)

    async def events(self, path: str, kind: type[T]) -> AsyncGenerator[T, None]:
        """GET server-sent events of JSON and yield them. Closing it cancels the request.

        An event that is an error is raised as an AylluError.
        """
        async with self._ask("GET", path) as response:
            lines = split_lines(response.content.iter_any())
            async with aclosing(lines):
                async for line in lines:
                    if line.startswith(b"data:"):
                        yield self._read(line.removeprefix(b"data:"), kind)

    @asynccontextmanager
    async def _ask(
        self, method: str, path: str, body: Json = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        data = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"} if data else {}
        async with self._request(method, path, data=data, headers=headers) as response:
            await self._check(response)
            yield response

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        path: str,
        *,
        data: bytes | AsyncIterator[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One exchange, with aiohttp's errors told in our words."""
        try:
            async with self._session.request(
                method, self.url + path, data=data, headers=headers
            ) as response:
                self.answered_by = response.headers.get("x-ayllu-node", "")
                yield response
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, ConnectionRefusedError):
                raise RefusedError(
                    f"could not connect to the server at {self.url}: run 'ayllu serve' to start it"
                ) from error
            raise UnreachableError(
                f"could not connect to the server at {self.url}: {clean_line(str(error.os_error))}"
            ) from error
        except (aiohttp.ServerTimeoutError, TimeoutError) as error:
            raise UnreachableError(f"the server at {self.url} does not answer") from error
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, OSError) as error:
            raise ProtocolError(
                f"the server at {self.url} broke off its answer; it may have stopped"
            ) from error
        except aiohttp.ClientError as error:
            raise ProtocolError(
                f"{self.url} does not answer as an Ayllu server does: {clean_line(str(error))}"
            ) from error

    async def _check(self, response: aiohttp.ClientResponse) -> None:
        """Raise the error that a status of 400 or more stands for."""
        if response.status < 400:
            return
        body = await response.content.read(LONGEST_ERROR)
        sentence = _error_sentence(body)
        if not sentence and response.status in {404, 405}:
            raise NotFoundError(f"the server at {self.url} has no {response.url.path}")
        sentence = sentence or (
            f"the server at {self.url} answered {response.status} {_reason(response.status)}"
        )
        raise _ERRORS.get(response.status, AylluError)(sentence)

    def _read(self, data: bytes, kind: type[T]) -> T:
        """Decode one JSON answer, raising the error it carries."""
        try:
            value = msgspec.json.decode(data)
            if isinstance(value, dict) and value.get("error"):
                raise AylluError(clean_line(_error_text(value["error"])))
            return msgspec.convert(value, kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            start = clean_line(data[:60].decode("utf-8", "replace"))
            raise ProtocolError(
                f"{self.url} does not answer as an Ayllu server does: it sent {start!r}"
            ) from error


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _error_sentence(body: bytes) -> str:
    """The sentence in a JSON error's body; empty when the body is something else."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    found = value.get("error") if isinstance(value, dict) else None
    return clean_line(_error_text(found)) if found else ""


def _error_text(error: Json) -> str:
    """The text of Ollama's `"error": "..."` or OpenAI's `"error": {"message": "..."}`."""
    message = error.get("message", error) if isinstance(error, dict) else error
    return str(message)


def _headers(settings: Settings) -> dict[str, str]:
    """What every request says: who asks, and a key where one is configured."""
    system = f"{platform.machine()} {platform.system().lower()}"
    headers = {"User-Agent": f"ayllu/{__version__} ({system})"}
    if settings.api_keys:
        headers["Authorization"] = f"Bearer {settings.api_keys[0]}"
    return headers


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[Client]:
    """A client of a server that answers, started in the background if it has to be."""
    async with Client(settings) as client:
        if not await client.is_up():
            from ayllu.cli.background import start_server

            await start_server(client, settings)
        yield client


def call(work: Callable[[Client], Awaitable[T]]) -> T:
    """Do a command's work with a client of the configured server.

    Ctrl-C cancels the work, which closes its requests, and leaves as KeyboardInterrupt.
    """

    async def session() -> T:
        async with connected(load_settings()) as client:
            return await work(client)

    return asyncio.run(session())
