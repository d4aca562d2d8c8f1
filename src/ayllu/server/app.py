"""The application: its errors, and life and death of what the handlers share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from http import HTTPStatus

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from ayllu.cluster.node import LocalNode
from ayllu.cluster.own import Parts
from ayllu.cluster.surroundings import Surroundings
from ayllu.config import Settings
from ayllu.db import Database
from ayllu.deploy.deployments import Deployments
from ayllu.deploy.leases import Leases
from ayllu.deploy.pins import Pins
from ayllu.deploy.router import Router
from ayllu.deploy.rpc import RpcBackend
from ayllu.deploy.site import Site
from ayllu.deploy.weights import Weights
from ayllu.errors import AylluError, StoreError
from ayllu.gguf.cache import keep_in
from ayllu.models.create import Progress
from ayllu.models.extra import OllamaShelf, extra_shelves
from ayllu.models.gguf_shelf import GgufShelf
from ayllu.models.shelf import PackagedShelf
from ayllu.models.siblings import sibling_adapters
from ayllu.models.store import Store
from ayllu.models.tools import Tools
from ayllu.registry.client import Registries
from ayllu.registry.downloads import Downloads
from ayllu.registry.pull import Order
from ayllu.runner.engine import Engine, list_devices, tool_path
from ayllu.runner.pool import Pool
from ayllu.runner.process import sweep_runtime_folders
from ayllu.server import stored
from ayllu.server.elsewhere import answer_elsewhere
from ayllu.server.errors import has_plain_errors, status_body
from ayllu.server.middleware import Guard
from ayllu.server.models import puller, rows
from ayllu.server.routes import ROUTES
from ayllu.server.state import ElsewhereError, State
from ayllu.server.stream import ClientLeftError, error_response, json_response
from ayllu.tune.away import Away
from ayllu.tune.helping import Helping
from ayllu.tune.jobs import Jobs
from ayllu.tune.lending import Lending
from ayllu.tune.steps import Steps
from ayllu.types import Layer

_log = structlog.get_logger(__name__)


def create_app(settings: Settings, engine: Engine) -> Starlette:
    """The ASGI application. Models are loaded when first asked for, and ended with it."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        extra = extra_shelves(settings)
        store = Store(settings.models, [*extra, PackagedShelf()])
        sweep_runtime_folders()
        keep_in(settings.home / "headers")
        if not settings.no_prune:
            _prune(store)
        gpus = len(devices := list_devices(engine))
        pool = Pool(settings, engine, gpus=gpus)
        kept = _stored(settings)
        registries = Registries(settings)
        downloads = Downloads(store, registries.bandwidth)
        quantize, imatrix, export_lora = (
            tool_path(engine.folder, f"llama-{name}")
            for name in ("quantize", "imatrix", "export-lora")
        )
        tools = Tools(quantize=quantize, imatrix=imatrix, export_lora=export_lora, gpus=gpus)
        parts = Parts(settings, engine, devices, store, pool)

        def copy(name: str, layer: Layer) -> AsyncGenerator[Progress]:
            return puller(app.state.ayllu).copy(name, layer)

        weights = Weights(store, copy if settings.copy_models else None, settings.home)
        leases = Leases(
            engine,
            settings.home,
            weights,
            limit=lambda: max(pool.most - pool.held, 0) if pool.most else None,
            objection=lambda _: _objection(node),
            has_gpus=bool(gpus),
        )
        node = LocalNode(Surroundings(parts, downloads, registries.bandwidth, app, leases))
        router = Router(node, pool)
        site = Site(node, pool, router.troubles, settings.kv_cache_type)
        deployments = Deployments(
            site,
            lambda job: RpcBackend(node, engine, job, site.names()),
            router.troubles,
            on_change=lambda: node.own.change(deployments=deployments.running()),
        )
        pool.splitter = deployments
        pool.siblings = partial(sibling_adapters, store)
        pins = Pins(node, pool, store, deployments, settings.home)
        jobs = Jobs(
            settings.home,
            Steps(settings, store, pool, tools),
            Helping(node),
            on_model=node.note_models,
            on_count=lambda count: node.own.change(training=count),
        )
        away = Away(
            settings, node, store, lambda name: puller(app.state.ayllu).pull(Order(text=name))
        )
        app.state.ayllu = State(
            settings=settings,
            engine=engine,
            store=store,
            pool=pool,
            responses=kept,
            registries=registries,
            downloads=downloads,
            tools=tools,
            cluster=node,
            router=router,
            site=site,
            deployments=deployments,
            pins=pins,
            leases=leases,
            lending=Lending(settings, store, leases),
            jobs=jobs,
            away=away,
            stopping=asyncio.Event(),
        )
        pool.subscribe(node.note_models)
        node.start()
        pins.start()
        jobs.start()
        away.start()
        looking = asyncio.create_task(_look(store, extra))
        try:
            yield
        finally:
            await away.close()
            await jobs.close()
            await pins.close()
            await leases.close()
            await weights.close()
            await node.close()
            await pool.close()
            await downloads.close()
            await registries.close()
            await looking
            await kept.close()

    return Starlette(
        routes=ROUTES,
        middleware=[Middleware(Guard, settings=settings)],
        exception_handlers={
            AylluError: _on_error,
            ElsewhereError: answer_elsewhere,
            HTTPException: _on_http_error,
            ClientDisconnect: _on_disconnect,
            Exception: _on_bug,
        },
        lifespan=lifespan,
    )


def _objection(node: LocalNode) -> str:
    """Why others get no worker here, or nothing."""
    if not node.own.record.contribute.enabled:
        return node.own.terms.refusal
    return ""


def end_watching(app: Starlette) -> None:
    """End the streams that have no end of their own."""
    app.state.ayllu.stopping.set()


def end_answers(app: Starlette) -> None:
    """End the answers and downloads under way; their clients get a last line that says why."""
    app.state.ayllu.pool.abort()
    app.state.ayllu.downloads.abort()


def _stored(settings: Settings) -> stored.StoredResponses:
    """Where answers of /v1/responses are kept; there is no file before the first."""
    return stored.StoredResponses(
        Database(settings.home / "responses.db", stored.SCHEMA, stored.VERSION),
        space=settings.response_space,
        age=settings.response_age,
        largest=settings.max_body,
    )


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AylluError)  # noqa: S101 - registered for it alone
    return error_response(error, request.url.path)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    words = {404: "404 page not found", 405: "405 method not allowed"}
    is_said = error.detail != HTTPStatus(error.status_code).phrase
    text = error.detail if is_said else words.get(error.status_code, error.detail)
    if not has_plain_errors(request.url.path):
        body = status_body(text, error.status_code, request.url.path)
        response = json_response(body, error.status_code)
        response.headers.update(error.headers or {})
        return response
    return PlainTextResponse(text, error.status_code, error.headers)


async def _on_disconnect(request: Request, _error: Exception) -> Response:
    """The client left in the middle of its own request: nobody reads this."""
    return error_response(ClientLeftError("request canceled"), request.url.path)


async def _on_bug(request: Request, _error: Exception) -> Response:
    """A bug: uvicorn logs the traceback, the client learns where to look."""
    return error_response(AylluError("internal error: see the server's log"), request.url.path)


async def _look(store: Store, extra: Sequence[OllamaShelf | GgufShelf]) -> None:
    """Read what a list of all models needs, and say which of the user's folders cannot be read.

    Nobody waits for it: disks may be slow.
    """
    with suppress(StoreError):  # whoever asks for the list is told
        await asyncio.to_thread(rows, store)
    for shelf in extra:
        await asyncio.to_thread(shelf.names)
        for problem in shelf.problems:
            _log.warning("not all models are to be had", reason=problem)


def _prune(store: Store) -> None:
    """Unused blobs go at start; a store that cannot be written is no reason not to serve it."""
    try:
        removed = store.prune()
    except AylluError as error:
        _log.warning("the store was not pruned", reason=error.sentence)
    else:
        if removed:
            _log.info("unused blobs removed", count=len(removed))
