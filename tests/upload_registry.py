"""A registry that takes uploads and can be told to misbehave, in a thread of the test's own.

Unlike Debian's docker-registry it keeps what came of a chunk that broke, as others do, and can have
chunks put into a storage service, as Ollama's does.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web


class UploadRegistry:
    """What it has, what it was asked, and how it behaves.

    `elsewhere` are the blobs of the repository `me/source`, to be mounted. `cut` holds numbers of
    bytes: a chunk that goes beyond so many bytes of its upload ends the connection, once each.
    `lose` is at how many chunks the upload is forgotten. `redirects` sends chunks to `storage`,
    its own where that is empty. `refuse` is the status of every upload.
    """

    def __init__(self) -> None:
        self.host = ""
        self.cut: list[int] = []
        self.lose = 0
        self.redirects = False
        self.storage = ""
        self.refuse = 0
        self.blobs: dict[str, bytes] = {}
        self.elsewhere: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.received = 0
        self._uploads: dict[str, bytearray] = {}

    def count(self, method: str) -> int:
        """How often it was asked so."""
        return [asked for asked, _, _ in self.asked].count(method)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        self.asked.append((request.method, request.path_qs, dict(request.headers)))
        folder, last = request.path.rsplit("/", 1)
        if folder == "/storage":
            await self._receive(request, last)
            return web.Response(status=200)
        if folder.endswith("/manifests"):
            self.manifests[request.path] = await request.read()
            return web.Response(status=201)
        if folder.endswith("/blobs"):
            return web.Response(status=200 if last in self.blobs else 404)
        if self.refuse:
            body = {"errors": [{"code": "DENIED", "message": "not yours"}]}
            return web.json_response(body, status=self.refuse)
        if request.method == "POST":
            return self._begin(request)
        return await self._go_on(request, last)

    def _begin(self, request: web.Request) -> web.Response:
        digest = request.query.get("mount", "")
        if digest in self.elsewhere and request.query["from"] == "me/source":
            self.blobs[digest] = self.elsewhere[digest]
            return web.Response(status=201)
        upload = str(len(self.asked))
        self._uploads[upload] = bytearray()
        return self._told(202, upload)

    async def _go_on(self, request: web.Request, upload: str) -> web.Response:
        if request.method == "PATCH" and self.lose:
            self.lose -= 1
            self._uploads.pop(upload, None)
        if upload not in self._uploads:
            return web.Response(status=404)
        if request.method == "PATCH":
            return await self._patch(request, upload)
        return self._told(204, upload) if request.method == "GET" else self._commit(request, upload)

    async def _patch(self, request: web.Request, upload: str) -> web.Response:
        if self.redirects:
            place = self.storage or f"http://{self.host}/storage"
            headers = {"Location": f"{place}/{upload}", "Docker-Upload-Location": _path(upload)}
            return web.Response(status=307, headers=headers)
        start = int(request.headers["Content-Range"].partition("-")[0])
        if start != len(self._uploads[upload]):
            return web.Response(status=416)
        await self._receive(request, upload)
        return self._told(202, upload)

    def _commit(self, request: web.Request, upload: str) -> web.Response:
        data = bytes(self._uploads.pop(upload))
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if digest != request.query["digest"]:
            return web.Response(status=400)
        self.blobs[digest] = data
        return web.Response(status=201)

    async def _receive(self, request: web.Request, upload: str) -> None:
        data = self._uploads[upload]
        async for piece in request.content.iter_any():
            data += piece
            self.received += len(piece)
            if self.cut and len(data) > self.cut[0]:
                self.cut.pop(0)
                assert request.transport is not None
                request.transport.abort()
                raise asyncio.CancelledError

    def _told(self, status: int, upload: str) -> web.Response:
        last = max(len(self._uploads[upload]) - 1, 0)
        headers = {"Location": _path(upload), "Range": f"0-{last}"}
        return web.Response(status=status, headers=headers)


def _path(upload: str) -> str:
    return f"/v2/me/model/blobs/uploads/{upload}"


@contextmanager
def upload_registry() -> Iterator[UploadRegistry]:
    """A registry for the time of a block."""
    registry = UploadRegistry()
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", registry.answer)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        address: Any = runner.addresses[0]
        registry.host = f"127.0.0.1:{address[1]}"
        return runner

    def serve() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait()
    try:
        yield registry
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
