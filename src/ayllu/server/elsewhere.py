"""Answers of other machines: a request for a model that only they have goes there as it came.

Nothing of it is parsed again, neither on its way there nor on the answer's way back. One hop is all
there is: a request that came from another machine is answered here or not at all.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response

from ayllu.cluster.peers import PeerAnswer, PeerGoneError
from ayllu.errors import AylluError
from ayllu.server.errors import error_body
from ayllu.server.state import ElsewhereError, state_of
from ayllu.server.stream import Framing, LineResponse, error_response, until_left

NODE_HEADER = "x-ayllu-node"
"""Says which machine answered, by its id, where it was not this one."""
LARGEST_ANSWER = 1 << 30
_SENT = (
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "content-encoding",
    "content-type",
    "openai-beta",
    "user-agent",
)
"""The request's headers that go along; keys and cookies are for this machine alone."""
_KEPT = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})
"""The answer's headers that do not: they are of one connection (RFC 9110, 7.6.1)."""
_OTHERS_MAY = frozenset({404, 503})
"""It has the model no more, or has too much to do."""


async def answer_elsewhere(request: Request, error: Exception) -> Response:
    """The answer of the first machine that gives one."""
    assert isinstance(error, ElsewhereError)  # noqa: S101 - registered for it alone
    peers = state_of(request).cluster.peers
    problem: AylluError = error
    if peers is None:  # this machine left the ayllu a moment ago
        return error_response(problem, request.url.path)
    for node in error.nodes:
        try:
            answer = await until_left(
                request,
                peers.ask(
                    node, request.method, _path(request), headers=_headers(request), body=error.body
                ),
            )
            if answer.status in _OTHERS_MAY and node != error.nodes[-1]:
                answer.close()
                continue
            return await _relayed(request, answer)
        except PeerGoneError as gone:
            problem = gone
        except AylluError as left:
            problem = left
            break
    return error_response(problem, request.url.path)


def _path(request: Request) -> str:
    query: bytes = request.scope["query_string"]
    path: bytes = request.scope["raw_path"]
    return (path + b"?" + query if query else path).decode("latin-1")


def _headers(request: Request) -> dict[str, str]:
    return {name: request.headers[name] for name in _SENT if name in request.headers}


async def _relayed(request: Request, answer: PeerAnswer) -> Response:
    """A stream as it comes; an answer in one piece when all of it is here.

    Raises PeerGoneError where the machine goes before the latter.
    """
    given = {name.lower(): value for name, value in answer.headers.items()}
    headers = {name: value for name, value in given.items() if name not in _KEPT}
    headers[NODE_HEADER] = answer.node
    framing = _framing(request, headers.get("content-type", ""))
    if framing is not None:
        lines = _lines(answer, framing, request.url.path)
        return LineResponse(lines, status=answer.status, headers=headers)
    try:
        body = await until_left(request, answer.read(LARGEST_ANSWER))
    finally:
        answer.close()
    return Response(body, answer.status, headers)


def _framing(request: Request, media_type: str) -> Framing | None:
    """How the answer's stream is framed; None where it is no stream."""
    streams: tuple[Framing, object] | None = request.scope["route"].streams
    framing = streams[0] if streams else None
    return framing if framing and media_type.startswith(framing.media_type) else None


async def _lines(answer: PeerAnswer, framing: Framing, path: str) -> AsyncGenerator[bytes]:
    """The bytes of a stream, and a last line that says so where the machine goes before its end."""
    last = b"\n"
    try:
        async with aclosing(answer.pieces()) as pieces:
            async for piece in pieces:
                last = piece
                yield piece
    except PeerGoneError as error:
        end = b"" if last.endswith(b"\n") else b"\n\n"
        yield end + framing.frame(error_body(error, path))
    finally:
        answer.close()
