"""What every handler needs: the settings, the store, the loaded models."""

from __future__ import annotations

import asyncio

from msgspec import Struct, field
from starlette.requests import Request

from ayllu.chat.request import Think
from ayllu.config import Settings
from ayllu.errors import BadRequestError, NotFoundError, TooLargeError
from ayllu.gguf.cache import cached_header
from ayllu.models.describe import capabilities
from ayllu.models.model import Model, open_model
from ayllu.models.name import parse_name
from ayllu.models.store import Store
from ayllu.runner.engine import Engine
from ayllu.runner.pool import Pool
from ayllu.server.wire import T, decode


class State(Struct, frozen=True):
    """One server's state, reached as `request.app.state.ayllu`.

    `looked_at` holds the digests of the models whose files were read already.
    """

    settings: Settings
    engine: Engine
    store: Store
    pool: Pool
    looked_at: set[str] = field(default_factory=set)


def state_of(request: Request) -> State:
    """The state of the server that got this request."""
    state = request.app.state.ayllu
    assert isinstance(state, State)  # noqa: S101 - app.py put it there
    return state


async def model_of(request: Request, name: str) -> Model:
    """The named model. Raises NotFoundError with the name as the caller wrote it."""
    parsed = parse_name(name)
    state = state_of(request)
    try:
        model = open_model(state.store, parsed, wants_go=state.settings.go_template)
    except NotFoundError as error:
        raise NotFoundError(f"model '{name}' not found") from error
    if model.digest not in state.looked_at:
        await asyncio.to_thread(_look, model)
        state.looked_at.add(model.digest)
    return model


def _look(model: Model) -> None:
    """Read what is asked of the files later: big vocabularies take too long for the event loop."""
    for path in (model.path, *model.drafts):
        cached_header(path)
    capabilities(model)


async def read_body(request: Request, kind: type[T]) -> T:
    """The request's JSON body as a struct. Raises BadRequestError or TooLargeError."""
    limit = state_of(request).settings.max_body
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            raise TooLargeError(f"the request is larger than {limit} bytes")
    return decode(bytes(body), kind)


async def drain(request: Request) -> None:
    """Read the rest of a body that nobody wants.

    A client that is still sending would see a broken connection instead of the answer.
    """
    async for _ in request.stream():
        pass


def require(model: Model, capability: str, otherwise: str) -> None:
    """Raises BadRequestError with the sentence where a model lacks a capability."""
    if capability not in capabilities(model):
        raise BadRequestError(otherwise)


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
