"""Ollama's API for the models themselves: list, show, loaded, create, pull, copy, delete, blobs."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from ayllu.errors import BadRequestError, NotFoundError, StoreError
from ayllu.gotime import LONGEST, format_time
from ayllu.models import create as create_model
from ayllu.models import describe
from ayllu.models.model import read_config
from ayllu.models.name import parse_name, short_name, split_source
from ayllu.models.store import Store, StoredManifest
from ayllu.registry.pull import Order, Puller
from ayllu.registry.pull_hub import Workshop
from ayllu.registry.push import Push
from ayllu.registry.push import push as push_model
from ayllu.runner.place import LoadedModel
from ayllu.server import wire_ollama as wire
from ayllu.server.placements import placement
from ayllu.server.state import State, drain, model_of, read_body, required, state_of
from ayllu.server.stream import json_response, ndjson_response, until_left
from ayllu.types import ModelConfig, ModelName

_COPILOT = "GitHubCopilotChat/"


async def tags(request: Request) -> Response:
    """GET /api/tags: list the models."""
    listed = await asyncio.to_thread(rows, state_of(request).store)
    return json_response(wire.TagsResponse(listed))


async def loaded(request: Request) -> Response:
    """GET /api/ps: list the loaded models."""
    state = state_of(request)
    names = state.site.names()
    models = [_loaded_row(row, names) for row in state.pool.loaded()]
    return json_response(wire.LoadedResponse(models))


async def show(request: Request) -> Response:
    """POST /api/show: show a model."""
    body = await read_body(request, wire.ShowRequest)
    text = required(body.model or body.name)
    try:
        model = await model_of(request, text)
    except NotFoundError as error:
        name = parse_name(split_source(text)[0])
        raise NotFoundError(f"model '{short_name(name)}' not found") from error
    as_asked = structs.replace(
        model,
        system=body.system or model.system,
        template=body.template or model.template,
        params=model.params | {k: v for k, v in body.options.items() if v is not None},
    )
    shown = await asyncio.to_thread(describe.show, as_asked, verbose=body.verbose)
    if request.headers.get("user-agent", "").startswith(_COPILOT):
        shown.model_info["general.basename"] = text  # it shows that name, as with Ollama
    return json_response(shown)


async def create(request: Request) -> Response:
    """POST /api/create: make a model from its files or from another model."""
    body = await read_body(request, wire.CreateRequest)
    name, state = parse_name(body.model or body.name), state_of(request)
    work = _make(state, name, body, pull=lambda text: puller(state).pull(Order(text=text)))
    return await _progress(request, _noted(state, work), stream=body.stream)


def _make(
    state: State,
    name: ModelName,
    wanted: create_model.CreateRequest,
    *,
    pull: create_model.Pull | None = None,
) -> AsyncGenerator[create_model.Progress]:
    return create_model.create(
        state.store,
        name,
        wanted,
        tools=state.tools,
        torch_python=state.settings.torch_python,
        pull=pull,
    )


def puller(state: State) -> Puller:
    """What gets models for this machine."""
    workshop = Workshop(partial(_make, state), state.settings.torch_python)
    return Puller(state.store, state.registries, state.downloads, workshop)


async def pull(request: Request) -> Response:
    """POST /api/pull: get a model by its name."""
    body, state = await read_body(request, wire.PullRequest), state_of(request)
    order = Order(
        text=body.model or body.name,
        insecure=body.insecure,
        update=body.update,
        prunes=not state.settings.no_prune,
    )
    return await _progress(request, _noted(state, puller(state).pull(order)), stream=body.stream)


async def push(request: Request) -> Response:
    """POST /api/push: send a model to its registry."""
    body, state = await read_body(request, wire.TransferRequest), state_of(request)
    wanted = Push(required(body.model or body.name), insecure=body.insecure)
    work = push_model(state.store, state.registries, wanted)
    return await _progress(request, work, stream=body.stream)


async def copy(request: Request) -> Response:
    """POST /api/copy: give a model a second name."""
    body = await read_body(request, wire.CopyRequest)
    names = []
    for word, text in (("source", body.source), ("destination", body.destination)):
        try:
            names.append(parse_name(text))
        except BadRequestError as error:
            raise BadRequestError(f'{word} "{text}" is invalid') from error
    try:
        await asyncio.to_thread(state_of(request).store.copy, *names)
    except NotFoundError as error:
        raise NotFoundError(f'model "{body.source}" not found') from error
    state_of(request).cluster.note_models()
    return Response()


async def delete(request: Request) -> Response:
    """DELETE /api/delete: remove a model."""
    body = await read_body(request, wire.NameRequest)
    text = required(body.model or body.name)
    try:
        name = parse_name(text)
    except BadRequestError as error:
        raise BadRequestError(f'name "{text}" is invalid') from error
    state = state_of(request)
    stored = await asyncio.to_thread(state.store.find, name)
    try:
        await asyncio.to_thread(state.store.delete, name)
    except NotFoundError as error:
        raise NotFoundError(f"model '{text}' not found") from error
    if stored is not None:
        await state.pool.unload(stored.digest)
    state.cluster.note_models()
    return Response()


async def has_blob(request: Request) -> Response:
    """HEAD /api/blobs/:digest: ask whether a file is there."""
    there = state_of(request).store.has_blob(request.path_params["digest"])
    return Response(status_code=200 if there else 404)


async def receive_blob(request: Request) -> Response:
    """POST /api/blobs/:digest: upload a file."""
    store = state_of(request).store
    new = await store.receive_blob(request.path_params["digest"], request.stream())
    if not new:
        await drain(request)
    return Response(status_code=201 if new else 200)


def rows(store: Store) -> list[describe.TagsModel]:
    """All models, newest first; one whose config is damaged has no details."""
    return [describe.tags_model(stored, _config(store, stored)) for stored in store.models()]


def _config(store: Store, stored: StoredManifest) -> ModelConfig:
    try:
        return read_config(store, stored)
    except StoreError:
        return ModelConfig()


def _loaded_row(row: LoadedModel, names: Mapping[str, str]) -> wire.LoadedRow:
    name = short_name(row.model.name)
    expires = time.time() + LONGEST if math.isinf(row.expires_at) else row.expires_at
    return wire.LoadedRow(
        name=name,
        model=name,
        size=row.size,
        digest=row.model.digest,
        details=describe.details(row.model.config, row.model.parent),
        expires_at=format_time(round(expires * 1e9), utc=False),
        size_vram=row.size_vram,
        context_length=row.context_length,
        ayllu=placement(row, names),
    )


async def _progress(
    request: Request, work: AsyncGenerator[create_model.Progress], *, stream: bool
) -> Response:
    """A line per step, or the last one alone."""
    if stream:
        return await ndjson_response(request, work)
    return json_response(await until_left(request, _last(work)))


async def _noted(
    state: State, work: AsyncGenerator[create_model.Progress]
) -> AsyncGenerator[create_model.Progress]:
    """The same, after which the ayllu knows of new models."""
    try:
        async with aclosing(work):
            async for progress in work:
                yield progress
    finally:
        state.cluster.note_models()


async def _last(
    work: AsyncGenerator[create_model.Progress],
) -> create_model.Progress:
    async with aclosing(work):
        return deque([progress async for progress in work], maxlen=1)[0]
