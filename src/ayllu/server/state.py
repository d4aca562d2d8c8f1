"""What every handler needs: the settings, the store, the loaded models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from starlette.requests import Request

from ayllu.chat.media import media_kind
from ayllu.chat.request import Think
from ayllu.cluster.node import LocalNode
from ayllu.cluster.peer_server import peer_of
from ayllu.config import Settings
from ayllu.deploy.deployments import Deployments
from ayllu.deploy.leases import Leases
from ayllu.deploy.pins import Pins
from ayllu.deploy.router import Router, Wanted
from ayllu.deploy.site import Site
from ayllu.errors import AylluError, BadRequestError, ForbiddenError, NotFoundError, TooLargeError
from ayllu.gguf.cache import cached_header, is_at_hand
from ayllu.models.corrected import find_correction, has_projector
from ayllu.models.describe import capabilities
from ayllu.models.model import Model, open_model
from ayllu.models.name import full_name, parse_name, split_source
from ayllu.models.store import Store
from ayllu.models.tools import Tools
from ayllu.registry.client import Registries
from ayllu.registry.downloads import Downloads
from ayllu.runner.engine import Engine
from ayllu.runner.options import merge_options, parse_options
from ayllu.runner.pool import Pool
from ayllu.server.encoding import decoded
from ayllu.server.stored import StoredResponses
from ayllu.server.wire import T, decode
from ayllu.tune.away import Away
from ayllu.tune.jobs import Jobs
from ayllu.tune.lending import Lending
from ayllu.types import Json, Message, Options

LONG_BODY = 64 << 20
LEAVES = "leaves"
"""Where a request's state has what is to be called when it ends."""
MAX_VALUES = 4_000_000
"""A longer body may be long in its texts, as images are: small values take twenty times the memory
that they take in JSON."""


class ElsewhereError(AylluError):
    """Other machines of the ayllu have the model, and this one has not, or they answer sooner.

    `body` is the request's as it came. `elsewhere.py` asks them.
    """

    status = 404

    def __init__(self, wanted: Wanted, body: bytes | bytearray) -> None:
        super().__init__(f"the machines of the ayllu that have model '{wanted.name}' are gone")
        self.wanted = wanted
        self.body = body


class State(Struct, frozen=True):
    """One server's state, reached as `request.app.state.ayllu`.

    `stopping` ends the streams that have no end of their own.
    """

    settings: Settings
    engine: Engine
    store: Store
    pool: Pool
    responses: StoredResponses
    registries: Registries
    downloads: Downloads
    tools: Tools
    cluster: LocalNode
    router: Router
    site: Site
    deployments: Deployments
    pins: Pins
    leases: Leases
    lending: Lending
    jobs: Jobs
    away: Away
    stopping: asyncio.Event


def state_of(request: Request) -> State:
    """The state of the server that got this request."""
    state = request.app.state.ayllu
    assert isinstance(state, State)  # noqa: S101 - app.py put it there
    return state


async def model_of(request: Request, name: str, *, stays: bool = True) -> Model:
    """The named model. Raises NotFoundError with the name as the caller wrote it.

    Where other machines of the ayllu have it, ElsewhereError is raised in its place, and so it is
    where the model is here but busy, unless the request `stays`: then another would answer sooner.
    Where no model has just this name, its end may say that the model is local, or in a cloud: that
    raises ForbiddenError.
    """
    state = state_of(request)
    may_leave = peer_of(request.scope) is None
    try:
        model = await asyncio.to_thread(_open, state, name)
    except NotFoundError as error:
        body = getattr(request.state, "body", b"")
        if may_leave and (wanted := await state.router.elsewhere(name, body)):
            raise ElsewhereError(wanted, body) from None
        raise NotFoundError(f"model '{name}' not found") from error
    if not stays:
        body = request.state.body
        if may_leave and (wanted := state.router.better_elsewhere(model, body)) is not None:
            raise ElsewhereError(wanted, body)
        setattr(request.state, LEAVES, state.router.stay(model.digest))
    request.state.body = b""
    if not all(map(is_at_hand, _files(model))):
        await asyncio.to_thread(_look, model)
    return model


def _open(state: State, name: str) -> Model:
    bare, source = split_source(name)
    wants_go = state.settings.go_template
    try:
        return open_model(state.store, parse_name(name), wants_go=wants_go)
    except (NotFoundError, BadRequestError):
        if source == "cloud":
            raise ForbiddenError(
                f"'{name}' is a model in a cloud, and nothing leaves your machines: "
                "choose one that runs here"
            ) from None
        if source == "local":
            return open_model(state.store, parse_name(bare), wants_go=wants_go)
        raise


def _look(model: Model) -> None:
    """Read what is asked of the files later: big vocabularies take too long for the event loop."""
    for path in _files(model):
        cached_header(path)
    find_correction(model.path)
    capabilities(model)


def _files(model: Model) -> tuple[Path, ...]:
    return (model.path, *model.projectors, *model.adapters, *model.drafts)


async def read_body(request: Request, kind: type[T]) -> T:
    """The request's JSON body as a struct; it may come compressed.

    Raises BadRequestError, TooLargeError or EncodingError.
    """
    limit = state_of(request).settings.max_body
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise TooLargeError(f"the request is larger than {limit} bytes")
    request.state.body = body
    encoding = request.headers.get("content-encoding", "")
    plain = await decoded(body, encoding, limit)
    if len(plain) > LONG_BODY and plain.count(b",") > MAX_VALUES:
        raise TooLargeError(f"the request has more than {MAX_VALUES:,} values")
    return decode(plain, kind)


def read_query(request: Request, kind: type[T]) -> T:
    """The query as a struct. Raises BadRequestError."""
    try:
        return msgspec.convert(dict(request.query_params), kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequestError(f"the query does not fit: {error}") from error


async def drain(request: Request) -> None:
    """Read the rest of a body that nobody wants.

    A client that is still sending would see a broken connection instead of the answer.
    """
    async for _ in request.stream():
        pass


def options_of(model: Model, options: Mapping[str, Json]) -> Options:
    """A request's options over the model's own, for what needs no others."""
    return merge_options(parse_options(model.params), parse_options(options))


def require(model: Model, capability: str, otherwise: str) -> None:
    """Raises BadRequestError with the sentence where a model lacks a capability."""
    if capability not in capabilities(model):
        raise BadRequestError(otherwise)


def check_abilities(model: Model, messages: Sequence[Message], *, tools: bool) -> None:
    """Raises BadRequestError where a model cannot see, hear or call tools, and would have to."""
    if tools:
        require(model, "tools", f"{full_name(model.name)} does not support tools")
    for message in messages:
        for data in message.images:
            sense = "audio" if media_kind(data) == "audio" else "vision"
            require(model, sense, f"{full_name(model.name)} does not support {sense}")
            if not has_projector(model):
                raise BadRequestError(
                    f"{full_name(model.name)} has its {sense} within its own GGUF, where the "
                    "engine does not find it: create it again with a projector file beside it"
                )


def thinking_of(model: Model, name: str, think: Think | None) -> Think | None:
    """Whether to think: a model that can does unless told otherwise.

    Raises BadRequestError where thinking is asked of one that cannot; `name` is the caller's.
    """
    can = "thinking" in capabilities(model)
    if think and not can:
        raise BadRequestError(f'"{name}" does not support thinking')
    return True if think is None and can else think


def required(name: str) -> str:
    """A model's name that must be there."""
    if not name:
        raise BadRequestError("model is required")
    return name
