"""One blob's way to a registry: in chunks, hashed on the way, going on after a broken connection.

Source: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-a-blob-in-chunks,
and Ollama's `X-Redirect-Uploads`, by which its registry has chunks put into a storage service.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable, Container, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientResponse
from msgspec import Struct
from yarl import URL

from ayllu.errors import AylluError, ForbiddenError, RegistryError, StoreError
from ayllu.registry.bandwidth import Bandwidth
from ayllu.registry.client import Registry
from ayllu.registry.origin import join, location
from ayllu.registry.web import TransientError
from ayllu.types import Layer
from ayllu.watch import Watch

PIECE = 1 << 20
COMMIT_SECONDS = 3600.0
"""How long a registry may take to check and keep a blob that it has."""

_UPLOAD_PLACE = "Docker-Upload-Location"
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,19})")
_LOST = frozenset({400, 404, 416})
_OK = range(200, 300)


class Limits(Struct, frozen=True):
    """How a blob is sent: bytes in a `chunk`, and when patience ends, in seconds.

    `stall` is the longest time in which nothing moves, `backoff` the wait before the second of
    `tries` without progress (it doubles).
    """

    chunk: int = 64 << 20
    stall: float = 120.0
    backoff: float = 1.0
    tries: int = 6


class Upload:
    """Sends a blob, the bytes of a file, unless the registry has it.

    `completed` is how many bytes the registry has taken by now.
    """

    def __init__(
        self,
        registry: Registry,
        layer: Layer,
        path: Path,
        *,
        bandwidth: Bandwidth,
        limits: Limits,
    ) -> None:
        self._registry = registry
        self._layer = layer
        self._path = path
        self._bandwidth = bandwidth
        self._limits = limits
        self._session: URL | None = None
        self._offset = self._moved = 0
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._md5s: list[bytes] = []
        self._error: AylluError | None = None

    @property
    def completed(self) -> int:
        """Bytes that were sent, less those that were lost."""
        return self._offset + self._moved

    async def run(self, mount: str = "") -> None:
        """Bring the blob there. `mount` names a repository of the registry that may have it.

        Raises RegistryError, ForbiddenError or NotFoundError as the registry refuses, StoreError
        where the file is not what its digest says.
        """
        if await self._registry.has_blob(self._layer.digest):  # who is not there is told at once
            self._offset = self._layer.size
            return
        failures = best = 0
        while True:
            try:
                await self._send(mount)
            except TransientError:
                if self._error:
                    raise self._error from None
                failures = 0 if self._offset > best else failures + 1
                best = max(best, self._offset)
                if failures >= self._limits.tries:
                    raise
                await asyncio.sleep(self._limits.backoff * 2 ** (failures - 1) if failures else 0)
            else:
                return
            finally:
                self._moved = 0

    async def _send(self, mount: str) -> None:
        """Go on with the session that there is, or begin one, and end it."""
        if (self._session is None or not await self._resume()) and await self._begin(mount):
            return
        while self._offset < self._layer.size:
            await self._send_chunk(min(self._offset + self._limits.chunk, self._layer.size))
        await self._commit()

    async def _begin(self, mount: str) -> bool:
        """Open a session; True where the registry took the blob from another repository."""
        self._session, self._offset, self._md5s = None, 0, []
        url = self._registry.root / "blobs/uploads" / ""
        if mount:
            url = url.with_query(mount=self._layer.digest, **{"from": mount})
        headers = {"Content-Length": "0"}
        async with self._registry.request("POST", url, headers=headers) as response:
            if response.status == 201:
                self._offset = self._layer.size
                return True
            self._session = self._next(response)
        return False

    async def _resume(self) -> bool:
        """Ask how far the session is; False where the registry has none that could go on."""
        assert self._session is not None  # noqa: S101 - its caller looked
        accept = {*_OK, *_LOST}
        async with self._registry.request("GET", self._session, accept=accept) as response:
            found = _RANGE.fullmatch(response.headers.get("Range", ""))
            if response.status in _LOST or found is None or self._md5s:
                return False
            # `0-0` is what Docker's registry says of an empty session.
            offset = int(found[1]) + 1 if int(found[1]) else 0
            if offset > self._layer.size:
                return False
            self._session, self._offset = self._next(response, self._session), offset
        return True

    async def _send_chunk(self, end: int) -> None:
        """The bytes from the offset to before `end`."""
        assert self._session is not None  # noqa: S101 - _begin saw to it
        headers = {"Content-Range": f"{self._offset}-{end - 1}", "X-Redirect-Uploads": "1"}
        accept = {*_OK, *_LOST, 307}
        patch = self._exchange("PATCH", self._session, end, headers, accept)
        async with patch as response:
            if response.status in _LOST:
                raise TransientError(f"{self._place} has lost the upload")
            session, target = self._next(response), location(response)
            is_elsewhere = response.status == 307
        if is_elsewhere:
            if target is None or target == session:
                raise RegistryError(f"{self._place} redirects to nowhere")
            self._check_safe(target)
            md5 = hashlib.md5(usedforsecurity=False)
            async with self._exchange("PUT", target, end, {}, _OK, md5.update):
                self._md5s.append(md5.digest())
        self._session, self._offset, self._moved = session, end, 0

    async def _commit(self) -> None:
        """Say that this is all. Raises StoreError where what was sent has another digest."""
        assert self._session is not None  # noqa: S101 - _begin saw to it
        digest = f"sha256:{self._hash.hexdigest()}"
        if digest != self._layer.digest:
            raise StoreError(
                f"the file of {self._layer.digest} is damaged: what was read of it is {digest}"
            )
        query = {"digest": digest}
        if self._md5s:
            md5 = hashlib.md5(b"".join(self._md5s), usedforsecurity=False).hexdigest()
            query["etag"] = f"{md5}-{len(self._md5s)}"
        url = self._session.update_query(query)
        headers = {"Content-Length": "0"}
        asked = self._registry.request(
            "PUT", url, headers=headers, seconds=COMMIT_SECONDS, accept={*_OK, 404}
        )
        async with asked as response:
            if response.status == 404:
                self._session = None
                raise TransientError(f"{self._place} did not keep {digest}")

    @asynccontextmanager
    async def _exchange(
        self,
        method: str,
        url: URL,
        end: int,
        headers: Mapping[str, str],
        accept: Container[int],
        also: Callable[[bytes], object] | None = None,
    ) -> AsyncIterator[ClientResponse]:
        """A request with the bytes from the offset to before `end`, which `also` sees too.

        Raises TransientError where nothing moves for a while.
        """
        sent = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(end - self._offset),
            **headers,
        }
        try:
            async with asyncio.timeout(None) as scope:
                with Watch(self._limits.stall, lambda: scope.reschedule(0)) as watch:
                    async with self._registry.request(
                        method,
                        url,
                        headers=sent,
                        body=lambda: self._pieces(end, watch, also),
                        seconds=None,
                        accept=accept,
                    ) as response:
                        yield response
        except TimeoutError:
            raise TransientError(f"{self._place} has stopped listening") from None

    async def _pieces(
        self, end: int, watch: Watch, also: Callable[[bytes], object] | None
    ) -> AsyncIterator[bytes]:
        """The bytes from the offset to before `end`; what was not hashed yet is."""
        position = self._offset
        while position < end:
            try:
                piece = await asyncio.to_thread(self._read, position, min(PIECE, end - position))
            except AylluError as error:
                self._error = error  # aiohttp takes it for a broken connection
                raise
            fresh = piece[max(self._hashed - position, 0) :]
            if fresh:
                await asyncio.to_thread(self._hash.update, fresh)
                self._hashed = position + len(piece)
            if also:
                await asyncio.to_thread(also, piece)
            watch.paused = True
            await self._bandwidth.take(len(piece))
            watch.paused = False
            watch.touch()
            yield piece
            position += len(piece)
            self._moved = position - self._offset

    def _read(self, position: int, size: int) -> bytes:
        """Some bytes of the blob. Raises StoreError."""
        try:
            with self._path.open("rb") as file:
                file.seek(position)
                piece = file.read(size)
        except OSError as error:
            raise StoreError(f"{self._path} cannot be read: {error.strerror}") from error
        if len(piece) < size:
            raise StoreError(f"{self._path} became shorter while it was sent")
        return piece

    def _next(self, response: ClientResponse, otherwise: URL | None = None) -> URL:
        """Where the upload goes on. Raises RegistryError where an answer does not say it."""
        place = response.headers.get(_UPLOAD_PLACE)
        target = join(response, place) if place else location(response) or otherwise
        if target is None:
            raise RegistryError(f"{self._place} does not say where the upload goes on")
        self._check_safe(target)
        return target

    def _check_safe(self, target: URL) -> None:
        """Raise ForbiddenError for a place that is less safe than the registry itself."""
        if self._registry.root.scheme == "https" != target.scheme:
            raise ForbiddenError(f"{self._place} redirects from https to http")

    @property
    def _place(self) -> str:
        return self._registry.root.authority
