"""Answers that arrive piece by piece, and clients that leave before they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Any, TypeVar

import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Send

from ayllu.errors import AylluError
from ayllu.server.wire import encode
from ayllu.server.wire_ollama import ErrorResponse
from ayllu.watch import Watch

T = TypeVar("T")
_log = structlog.get_logger(__name__)


READER_SECONDS = 300.0
"""How long a client may leave an answer unread before its slot is given to others."""


class ClientLeftError(AylluError):
    """The client closed the connection before its answer was ready."""

    status = 499


class _LineResponse(StreamingResponse):
    """Closes its lines whatever happens, so that a client that leaves frees its slot at once."""

    def __init__(self, lines: AsyncGenerator[bytes], media_type: str) -> None:
        super().__init__(lines, media_type=media_type)
        self._lines = lines

    async def stream_response(self, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one

        def give_up() -> None:
            _log.warning("a client stopped reading and was dropped")
            task.cancel()

        with Watch(READER_SECONDS, give_up) as watch:
            watch.paused = True  # the model may take its time

            async def send_in_time(message: Message) -> None:
                watch.touch()
                watch.paused = False
                await send(message)
                watch.paused = True

            async with aclosing(self._lines):
                await super().stream_response(send_in_time)


def json_response(value: object, status: int = 200) -> Response:
    """A whole JSON answer."""
    return Response(encode(value), status, media_type="application/json; charset=utf-8")


def error_response(error: AylluError) -> Response:
    """An error before the first byte of an answer."""
    return json_response(ErrorResponse(error.sentence), error.status)


async def ndjson_response(request: Request, items: AsyncGenerator[Any]) -> Response:
    """One JSON object per line. An error before the first line gets its own status."""
    try:
        first = await until_left(request, anext(items, None))
    except BaseException:
        await items.aclose()
        raise
    return _LineResponse(_lines(first, items), "application/x-ndjson")


async def _lines(first: Any, items: AsyncGenerator[Any]) -> AsyncGenerator[bytes]:  # noqa: ANN401
    async with aclosing(items):
        try:
            if first is not None:
                yield encode(first) + b"\n"
            async for item in items:
                yield encode(item) + b"\n"
        except AylluError as error:
            yield encode(ErrorResponse(error.sentence)) + b"\n"
        except Exception:
            _log.exception("a stream broke")
            yield encode(ErrorResponse("internal error: see the server's log")) + b"\n"
            raise


async def until_left(request: Request, work: Awaitable[T]) -> T:
    """The work's result, or ClientLeftError as soon as the client closes the connection.

    The request's body must have been read.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientLeftError("request canceled")
        return task.result()
    finally:
        for unfinished in (task, gone):
            if not unfinished.done():
                unfinished.cancel()
                await asyncio.wait({unfinished})


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
