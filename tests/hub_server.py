"""A small Hugging Face Hub of our own: its file API and its registry's refusals, for tests.

Usage: hub_server.py FOLDER RECORD. FOLDER holds USER/REPO/files. Two ports are opened, the Hub's
and that of the store that it sends readers of large files to, as the real one does; both go to
stdout. RECORD gets a JSON object per request. A repository whose name begins with `private-` wants
the token `hf_right`. Files over 1 KB are large ones, whose digest the Hub knows.
Source: https://huggingface.co/docs/hub/api and what the Hub answers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from pathlib import Path

from aiohttp import web

FOLDER, RECORD = Path(sys.argv[1]), Path(sys.argv[2])
LARGE = 1024
PAGE = 3
REVISION = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_right"
SHARDED = (
    "The specified tag is a sharded GGUF. Ollama does not support this yet. Please use another tag "
    'or "latest".'
)


def record(request: web.Request, where: str) -> None:
    fact = {
        "where": where,
        "method": request.method,
        "path": request.path_qs,
        "range": request.headers.get("Range", ""),
        "authorization": request.headers.get("Authorization", ""),
    }
    with RECORD.open("a", encoding="utf-8") as file:
        file.write(json.dumps(fact) + "\n")


def repository(request: web.Request) -> Path:
    """The folder of the repository that is asked for."""
    record(request, "hub")
    user, name = request.match_info["user"], request.match_info["repo"]
    folder = FOLDER / user / name
    shown = request.headers.get("Authorization", "")
    if not folder.is_dir():
        raise web.HTTPUnauthorized(text='{"error":"Invalid username or password."}')
    if name.startswith("private-") and shown != f"Bearer {TOKEN}":
        raise web.HTTPUnauthorized(text='{"error":"Invalid username or password."}')
    return folder


async def manifest(request: web.Request) -> web.Response:
    folder = repository(request)
    whole = folder / "manifest.json"
    if whole.exists():
        return web.Response(body=whole.read_bytes())
    if any(folder.rglob("*.gguf")):
        return web.json_response({"error": SHARDED}, status=400)
    return web.json_response(
        {"error": "Repository is not GGUF or is not compatible with llama.cpp"}, status=400
    )


async def info(request: web.Request) -> web.Response:
    repository(request)
    return web.json_response({"id": request.match_info["repo"], "sha": REVISION})


async def tree(request: web.Request) -> web.Response:
    """The files, a few a page, as `GET /api/models/USER/REPO/tree/REVISION` tells them."""
    folder = repository(request)
    rows = [row(folder, path) for path in sorted(folder.rglob("*")) if path.is_file()]
    start = int(request.query.get("cursor", 0))
    response = web.json_response(rows[start : start + PAGE])
    if start + PAGE < len(rows):
        url = request.url.update_query(cursor=str(start + PAGE))
        response.headers["Link"] = f'<{url}>; rel="next"'
    return response


def row(folder: Path, path: Path) -> dict[str, object]:
    data = path.read_bytes()
    found: dict[str, object] = {
        "type": "file",
        "oid": hashlib.sha1(data, usedforsecurity=False).hexdigest(),
        "size": len(data),
        "path": path.relative_to(folder).as_posix(),
    }
    if len(data) > LARGE:
        digest = hashlib.sha256(data).hexdigest()
        found["lfs"] = {"oid": digest, "size": len(data), "pointerSize": 134}
    return found


async def resolve(request: web.Request) -> web.StreamResponse:
    """A file's bytes, or the way to the store that has them."""
    folder = repository(request)
    path = folder / request.match_info["path"]
    if not path.is_file() or request.match_info["revision"] != REVISION:
        raise web.HTTPNotFound(text="Entry not found")
    if path.stat().st_size <= LARGE:
        return web.FileResponse(path)
    place = path.relative_to(FOLDER).as_posix()
    raise web.HTTPFound(f"http://127.0.0.1:{request.app['store']}/store/{place}")


async def stored(request: web.Request) -> web.StreamResponse:
    record(request, "store")
    return web.FileResponse(FOLDER / request.match_info["path"])


async def listen(application: web.Application) -> int:
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return int(runner.addresses[0][1])


async def main() -> None:
    store = web.Application()
    store.router.add_get("/store/{path:.+}", stored)
    hub = web.Application()
    hub["store"] = await listen(store)
    hub.router.add_get("/v2/{user}/{repo}/manifests/{tag}", manifest)
    hub.router.add_get("/api/models/{user}/{repo}", info)
    hub.router.add_get("/api/models/{user}/{repo}/tree/{revision}", tree)
    hub.router.add_get("/{user}/{repo}/resolve/{revision}/{path:.+}", resolve)
    print(await listen(hub), hub["store"], flush=True)  # noqa: T201 - how tests learn of them
    await asyncio.Event().wait()


asyncio.run(main())
