"""Answers that arrive piece by piece, and clients that leave before they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

import structlog
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Send

from ayllu.chat.hop import is_hop, note_failure, note_part
from ayllu.errors import AylluError
from ayllu.server.errors import error_body
from ayllu.server.pings import pinging
from ayllu.server.wire import encode
from ayllu.watch import Watch

T = TypeVar("T")
_log = structlog.get_logger(__name__)


READER_SECONDS = 300.0
"""How long a client may leave an answer unread before its slot is given to others."""


class ClientLeftError(AylluError):
    """The client closed the connection before its answer was ready."""

    status = 499


class Framing(Struct, frozen=True, kw_only=True):
    """How a dialect writes a stream: an item, what comes after the last, and a sign of life.

    `part` tells of an item which of several answers at once it is of, `after` gives the framing of
    a stream that has so many items already, where these are counted.
    """

    media_type: str
    frame: Callable[[Any], bytes]
    end: bytes = b""
    ping: bytes = b""
    part: Callable[[Any], int] = lambda _: 0
    after: Callable[[int], Framing] | None = None


NDJSON = Framing(media_type="application/x-ndjson", frame=lambda item: encode(item) + b"\n")
SSE = Framing(
    media_type="text/event-stream",
    frame=lambda item: b"data: " + encode(item) + b"\n\n",
    end=b"data: [DONE]\n\n",
    part=lambda item: item.choices[0].index if item.choices else 0,
)


class LineResponse(StreamingResponse):
    """Closes its lines whatever happens, so that a client that leaves frees its slot at once."""

    def __init__(
        self,
        lines: AsyncGenerator[bytes],
        media_type: str | None = None,
        ping: bytes = b"",
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(lines, status, headers, media_type)
        self._lines = lines
        self._ping = ping

    async def stream_response(self, send: Send) -> None:
        """Send the lines; a client that reads none for too long is dropped."""
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

            async with aclosing(self._lines), pinging(send_in_time, self._ping) as send_pinging:
                await super().stream_response(send_pinging)


def json_response(value: object, status: int = 200) -> Response:
    """A whole JSON answer."""
    return Response(encode(value), status, media_type="application/json; charset=utf-8")


def error_response(error: AylluError, path: str) -> Response:
    """An error before the first byte of an answer, in the shape of the path's dialect."""
    return json_response(error_body(error, path), error.status)


async def ndjson_response(request: Request, items: AsyncGenerator[Any]) -> Response:
    """One JSON object per line. An error before the first line gets its own status."""
    return await framed_response(request, items, NDJSON)


async def framed_response(
    request: Request, items: AsyncGenerator[Any], framing: Framing
) -> Response:
    """A stream of items. An error before the first one gets its own status."""
    try:
        first = await until_left(request, anext(items, None))
    except BaseException:
        await items.aclose()
        raise
    frames = _frames(first, items, framing, request.url.path)
    # Another machine has its own signs of life, and gives its client these.
    return LineResponse(frames, framing.media_type, b"" if is_hop() else framing.ping)


async def _frames(
    first: Any,  # noqa: ANN401 - what the dialect yields
    items: AsyncGenerator[Any],
    framing: Framing,
    path: str,
) -> AsyncGenerator[bytes]:
    async with aclosing(items):
        try:
            if first is not None:
                note_part(framing.part(first))
                yield framing.frame(first)
            async for item in items:
                note_part(framing.part(item))
                yield framing.frame(item)
            if framing.end:
                note_part(0)
                yield framing.end
        except AylluError as error:
            note_failure(error.status)
            yield framing.frame(error_body(error, path))
        except Exception:
            _log.exception("a stream broke")
            bug = AylluError("internal error: see the server's log")
            note_failure(bug.status)
            yield framing.frame(error_body(bug, path))
            raise


async def collect(items: AsyncGenerator[T]) -> list[T]:
    """All items of a stream that is to be one answer."""
    async with aclosing(items):
        return [item async for item in items]


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
