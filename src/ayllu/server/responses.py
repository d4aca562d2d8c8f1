"""OpenAI's /v1/responses: answers, and those of them that are kept."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

import structlog
from msgspec import Struct, structs
from starlette.requests import Request
from starlette.responses import Response

from ayllu.chat.hop import note_failure
from ayllu.chat.request import ChatRequest
from ayllu.chat.session import answer, count_prompt
from ayllu.db import DatabaseError
from ayllu.errors import AylluError, BadRequestError
from ayllu.models.model import Model
from ayllu.server import wire_response_events as events
from ayllu.server import wire_responses as wire
from ayllu.server.response_fields import check, new_response, read_request
from ayllu.server.response_items import read_input, references, resolve, to_store
from ayllu.server.response_writer import Manner, ResponseWriter
from ayllu.server.state import drain, model_of, read_body, read_query, required, state_of
from ayllu.server.stored import StoredResponses
from ayllu.server.stream import Framing, collect, framed_response, json_response, until_left
from ayllu.server.wire import encode
from ayllu.server.wire_openai import ErrorResponse
from ayllu.types import Json

_log = structlog.get_logger(__name__)


class _Asked(Struct, frozen=True, kw_only=True):
    """A request that was read; `given` are the items that it brought itself."""

    body: wire.ResponsesRequest
    model: Model
    request: ChatRequest
    manner: Manner
    given: Sequence[Mapping[str, Json]]


async def create(request: Request) -> Response:
    """POST /v1/responses: answer a conversation, and keep the answer."""
    asked = await _read(request)
    writer = ResponseWriter(new_response(asked.body, asked.request, asked.model), asked.manner)
    written = _written(request, asked, writer)
    if asked.body.stream:
        return await framed_response(request, _failing(written, writer), framing())
    await until_left(request, collect(written))
    return json_response(writer.response)


async def count_tokens(request: Request) -> Response:
    """POST /v1/responses/input_tokens: count the tokens of the prompt that would be sent."""
    asked = await _read(request)
    work = count_prompt(state_of(request).pool, asked.model, asked.request)
    return json_response(wire.InputTokens(await until_left(request, work)))


async def retrieve(request: Request) -> Response:
    """GET /v1/responses/:response: give an answer that was kept."""
    if read_query(request, wire.RetrieveQuery).stream:
        raise BadRequestError("only background responses can be streamed again, and none is here")
    return json_response(await state_of(request).responses.find(_ident(request)))


async def delete(request: Request) -> Response:
    """DELETE /v1/responses/:response: forget an answer."""
    await state_of(request).responses.delete(_ident(request))
    return json_response(wire.Deleted(_ident(request)))


async def cancel(request: Request) -> Response:
    """POST /v1/responses/:response/cancel: refused, for nothing runs in the background."""
    await drain(request)
    await state_of(request).responses.find(_ident(request))
    raise BadRequestError(
        "only background responses can be cancelled: close the connection instead"
    )


async def input_items(request: Request) -> Response:
    """GET /v1/responses/:response/input_items: list the items of an answer's request."""
    query = read_query(request, wire.ItemsQuery)
    items = await state_of(request).responses.given(_ident(request))
    if query.order == "desc":
        items.reverse()
    idents = [item["id"] for item in items]
    if query.after is not None and query.after not in idents:
        raise BadRequestError(f"after names {query.after!r}, which is no item of this response")
    # Clients may give several items one id: pages must come to an end all the same.
    start = 0 if query.after is None else len(idents) - idents[::-1].index(query.after)
    page = items[start : start + query.limit]
    return json_response(
        wire.ItemList(
            data=page,
            first_id=page[0]["id"] if page else None,
            last_id=page[-1]["id"] if page else None,
            has_more=start + query.limit < len(items),
        )
    )


async def _read(request: Request) -> _Asked:
    body = await read_body(request, wire.ResponsesRequest)
    check(body)
    previous = body.previous_response_id
    # What is kept is kept on the machine that answers, and this one is asked for it later.
    given = read_input(body.input)
    stays = body.store or previous is not None or bool(references(given))
    model = await model_of(request, required(body.model), stays=stays)
    stored = state_of(request).responses
    earlier = [] if previous is None else await stored.conversation(previous)
    if named := references(given):
        given = resolve(given, await stored.find_items(named))
    given = [to_store(item) for item in given]
    asked, manner = read_request(body, [*earlier, *given], len(earlier), model)
    return _Asked(body=body, model=model, request=asked, manner=manner, given=given)


async def _written(
    request: Request, asked: _Asked, writer: ResponseWriter
) -> AsyncGenerator[events.StreamEvent]:
    """The stream events of an answer, which is stored before its last one."""
    state = state_of(request)
    async with aclosing(answer(state.pool, asked.model, asked.request)) as told:
        async for event in told:
            for written in writer.feed(event):
                yield written
    kept = asked.body.store and await _keep(state.responses, writer.response, asked.given)
    writer.response = structs.replace(writer.response, store=kept)
    yield writer.last()


async def _keep(
    stored: StoredResponses, response: wire.Response, given: Sequence[Mapping[str, Json]]
) -> bool:
    """Store an answer; where that fails the client still gets it, and is told so by `store`."""
    try:
        return await stored.keep(response, given)
    except DatabaseError as error:
        _log.warning("an answer was not stored", reason=error.sentence)
        return False


async def _failing(
    written: AsyncGenerator[events.StreamEvent], writer: ResponseWriter
) -> AsyncGenerator[events.StreamEvent]:
    """The same as a stream, whose errors after its first event are an event, too."""
    async with aclosing(written):
        try:
            async for event in written:
                yield event
        except AylluError as error:
            if not writer.started:
                raise
            note_failure(error.status)
            yield writer.failed(error)


def framing(start: int = 0) -> Framing:
    """Server-sent events with names and numbers from `start`; the pings are comments."""
    number = itertools.count(start)

    def frame(event: events.StreamEvent | ErrorResponse) -> bytes:
        if isinstance(event, ErrorResponse):
            event = events.ErrorEvent(code=event.error.code, message=event.error.message)
        event = structs.replace(event, sequence_number=next(number))
        kind = str(event.__struct_config__.tag).encode()
        return b"event: " + kind + b"\ndata: " + encode(event) + b"\n\n"

    return Framing(media_type="text/event-stream", frame=frame, ping=b": ping\n\n", after=framing)


def _ident(request: Request) -> str:
    ident = request.path_params["response"]
    assert isinstance(ident, str)  # noqa: S101 - a path's parts are
    return ident
