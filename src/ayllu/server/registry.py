"""A registry that others pull this machine's models from: what `docker pull` needs, and no more.

It reads and never writes. A blob is given where a model of the repository that is asked has it, and
only if its digest is that of its bytes: models of folders of GGUF files are none of it until they
are copied into the store (`ayllu cp`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from urllib.parse import quote, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ayllu.errors import BadRequestError, NotFoundError, StoreError
from ayllu.models.manifest import MANIFEST_TYPE, digest_of, parse_digest
from ayllu.models.name import DEFAULT_HOST, is_valid, parse_name
from ayllu.models.store import Store, StoredManifest
from ayllu.server import wire_registry as wire
from ayllu.server.state import drain, read_query, state_of
from ayllu.server.stream import json_response
from ayllu.types import ModelName

CHUNK = 1 << 20
_RANGE = re.compile(r"bytes=(?:(\d{1,19})-(\d{0,19})|-(\d{1,19}))")
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+")


async def base(request: Request) -> Response:
    """GET /v2/: say that this is a registry."""
    _check_open(request)
    response = json_response(wire.Base())
    response.headers["docker-distribution-api-version"] = "registry/2.0"
    return response


async def catalog(request: Request) -> Response:
    """GET /v2/_catalog: list the repositories."""
    store = _check_open(request)
    models = await asyncio.to_thread(_offered, store)
    names = sorted({_repository(model.name) for model in models})
    return _page(request, names, wire.Catalog)


async def tags(request: Request) -> Response:
    """GET /v2/:repository/tags/list: list the tags of a repository."""
    store = _check_open(request)
    models = await _tagged(store, request)
    name, names = _repository(models[0].name), sorted(model.name.tag for model in models)
    return _page(request, names, lambda part: wire.Tags(name, part))


async def manifest(request: Request) -> Response:
    """GET /v2/:repository/manifests/:reference: give a manifest by its tag or digest."""
    store = _check_open(request)
    models = await _tagged(store, request)
    reference = request.path_params["reference"]
    wanted = _digest(reference) if ":" in reference else ""
    found = next((model for model in models if _is_meant(model, reference, wanted)), None)
    if found is None:
        raise wire.ManifestUnknownError(f"there is no manifest {reference} here")
    data = await asyncio.to_thread(store.manifest_bytes, found.name)
    digest = digest_of(data)
    said = found.manifest.media_type
    headers = {
        "docker-content-digest": digest,
        "etag": f'"{digest}"',
        "content-type": said if _MEDIA_TYPE.fullmatch(said) else MANIFEST_TYPE,
    }
    return Response(data, headers=headers)


async def blob(request: Request) -> Response:
    """GET /v2/:repository/blobs/:digest: give a blob, or a part of it (`Range`)."""
    store = _check_open(request)
    digest = _digest(request.path_params["digest"])
    models = await _tagged(store, request)
    if not any(digest in model.digests for model in models):
        raise wire.BlobUnknownError(f"no model of this repository has the blob {digest}")
    path = await asyncio.to_thread(store.blob_path, digest)
    return await asyncio.to_thread(_blob_response, request, path, digest)


async def refuse(request: Request) -> Response:
    """/v2/:rest: refused: there is nothing else, and this registry is only read."""
    if request.method in {"GET", "HEAD"}:
        raise NotFoundError(f"a registry has no {request.url.path}")
    await drain(request)
    raise HTTPException(405, "this registry is only read", {"allow": "GET, HEAD"})


def _check_open(request: Request) -> Store:
    """The store. Raises NotFoundError where the user did not open the registry."""
    state = state_of(request)
    if state.settings.serve_registry == "off":
        raise NotFoundError("this server is no registry: AYLLU_SERVE_REGISTRY=on makes it one")
    return state.store


def _digest(text: str) -> str:
    try:
        return parse_digest(text)
    except BadRequestError as error:
        raise wire.DigestInvalidError(error.sentence) from error


def _is_meant(model: StoredManifest, reference: str, digest: str) -> bool:
    if digest:
        return f"sha256:{model.digest}" == digest
    return model.name.tag.lower() == reference.lower()


def _offered(store: Store) -> tuple[StoredManifest, ...]:
    """The models all of whose digests are those of their bytes."""
    return tuple(model for model in store.models() if _is_hashed(store, model))


def _is_hashed(store: Store, model: StoredManifest) -> bool:
    return all(map(store.shelves.is_hashed, model.digests))


async def _tagged(store: Store, request: Request) -> Sequence[StoredManifest]:
    """The models of the repository that is asked. Raises NotFoundError where there are none."""
    repository = request.path_params["repository"]
    name = parse_name(repository)
    if ":" in repository.rpartition("/")[2] or "://" in repository:
        raise BadRequestError("invalid repository name")
    models = await asyncio.to_thread(_models_of, store, name)
    if not models:
        raise NotFoundError(f"there is no repository {repository} here")
    return models


def _models_of(store: Store, name: ModelName) -> Sequence[StoredManifest]:
    wanted = _repository(name).lower()
    names = [one for one in store.names() if _repository(one).lower() == wanted]
    found = (store.find(one) for one in names if is_valid(one))
    return [model for model in found if model and _is_hashed(store, model)]


def _repository(name: ModelName) -> str:
    """What a model's repository is called: with its host where that is not Ollama's."""
    path = f"{name.namespace}/{name.model}"
    return path if name.host.lower() == DEFAULT_HOST else f"{name.host}/{path}"


def _page(
    request: Request, names: Sequence[str], body: Callable[[tuple[str, ...]], object]
) -> Response:
    """The names after `last`, at most `n`; a Link leads to the rest."""
    page = read_query(request, wire.Page)
    count = min(page.n, wire.MOST_LISTED)
    rest = [name for name in names if name > page.last]
    shown = tuple(rest[:count])
    response = json_response(body(shown))
    if shown and len(rest) > count:
        query = urlencode({"last": shown[-1], "n": count})
        path = quote(request.url.path)
        response.headers["link"] = f'<{path}?{query}>; rel="next"'
    return response


def _blob_response(request: Request, path: Path, digest: str) -> Response:
    """A blob's answer. Raises BlobUnknownError, StoreError, and HTTPException for a bad range."""
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise wire.BlobUnknownError(f"the blob {digest} is missing here") from error
    except OSError as error:
        raise StoreError(f"the blob {digest} cannot be read: {error.strerror}") from error
    etag = f'"{digest}"'
    wants_part = request.headers.get("if-range", etag) == etag
    part = _part(request.headers.get("range", "") if wants_part else "", size)
    start, end = part or (0, size)
    headers = {
        "accept-ranges": "bytes",
        "content-length": str(end - start),
        "content-type": "application/octet-stream",
        "docker-content-digest": digest,
        "etag": etag,
        "location": quote(
            request.url.path, safe="/:"
        ),  # Ollama's client asks for one, redirected or not
    }
    if part:
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    status = 206 if part else 200
    if request.method == "HEAD":
        return Response(None, status, headers)
    return StreamingResponse(_pieces(path, start, end), status, headers)


def _part(header: str, size: int) -> tuple[int, int] | None:
    """The bytes that are wanted, the last one not among them; None for all.

    Several ranges and what is no range are passed over, as RFC 9110 (14.2) lets servers do. Raises
    HTTPException 416 where there are no such bytes.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        return None
    if match[3]:
        start, end = max(size - int(match[3]), 0), size
    else:
        start, end = int(match[1]), int(match[2]) + 1 if match[2] else size
        if match[2] and end <= start:
            return None
    if start >= size:
        headers = {"content-range": f"bytes */{size}"}
        raise HTTPException(416, f"the blob has {size} bytes", headers)
    return start, min(end, size)


async def _pieces(path: Path, start: int, end: int) -> AsyncGenerator[bytes]:
    """A file's bytes, read beside the event loop."""
    with await asyncio.to_thread(path.open, "rb", buffering=0) as file:
        await asyncio.to_thread(file.seek, start)
        while start < end:
            piece = await asyncio.to_thread(file.read, min(CHUNK, end - start))
            if not piece:
                raise StoreError(f"{path.name} became shorter while it was sent")
            start += len(piece)
            yield piece
