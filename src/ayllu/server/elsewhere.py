"""Answers of other machines: a request that they answer sooner, or alone, goes there as it came.

Nothing of it is parsed again, neither on its way there nor on the answer's way back. One hop is all
there is: a request that came from another machine is answered here or not at all. A machine that
goes, or says nothing for three seconds, is left for the next one, which goes on where it stopped.
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from msgspec import Raw
from starlette.requests import Request
from starlette.responses import Response

from ayllu.cluster.peers import PeerGoneError
from ayllu.deploy.route import Replica
from ayllu.errors import AylluError
from ayllu.server.errors import error_body
from ayllu.server.frames import END, FAILED, ITEM, SAID, Carried, Head, broken, read_number
from ayllu.server.leg import Leg
from ayllu.server.state import ElsewhereError, state_of
from ayllu.server.stream import Framing, LineResponse, error_response, until_left

NODE_HEADER = "x-ayllu-node"
"""Says which machine answered, by its id, where it was not this one."""
LARGEST_ANSWER = 1 << 30
MOST_SAID = 32 << 20
"""Bytes that are kept of what an engine said; a longer answer cannot go on elsewhere."""
MOST_REPLAYS = 2
"""How often an answer may go on at another machine."""
MOST_REFUSALS = 2
"""How many machines in a row may fail before they begin, and the next one is asked."""
_KEPT = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})
"""The answer's headers that do not: they are of one connection (RFC 9110, 7.6.1)."""
_OTHERS_MAY = frozenset({404, 503})
"""It has the model no more, or has too much to do."""


async def answer_elsewhere(request: Request, error: Exception) -> Response:
    """The answer of the machine that is expected to be done first, or of the next one."""
    assert isinstance(error, ElsewhereError)  # noqa: S101 - registered for it alone
    answer = _Answer(request, error)
    try:
        head = await until_left(request, answer.begin())
        headers = {name: text for name, text in head.headers if name not in _KEPT}
        if answer.node is not None:
            headers[NODE_HEADER] = answer.node
        framing = _framing(request, headers.get("content-type", ""))
        if framing is not None:
            return LineResponse(
                answer.lines(framing), ping=framing.ping, status=head.status, headers=headers
            )
        body = await until_left(request, answer.whole())
        return Response(body, head.status, headers)
    except AylluError as problem:
        answer.close()
        return error_response(problem, request.url.path)
    except BaseException:
        answer.close()
        raise


def _framing(request: Request, media_type: str) -> Framing | None:
    """How the answer's stream is framed; None where it is no stream."""
    streams: tuple[Framing, object] | None = request.scope["route"].streams
    framing = streams[0] if streams else None
    return framing if framing and media_type.startswith(framing.media_type) else None


class _FailedError(PeerGoneError):
    """A machine could not go on; `item` is how it tells its client."""

    def __init__(self, item: bytes) -> None:
        super().__init__("the machine that answered could not go on")
        self.item = item


class _Answer:
    """One answer, of as many machines as it takes. Whoever made it closes it, or reads it."""

    def __init__(self, request: Request, error: ElsewhereError) -> None:
        self._request = request
        self._wanted = error.wanted
        self._body = error.body
        self._passed_over: set[str] = set()
        self._refusals = 0
        self._lost: list[str] = []
        self._replays = 0
        self._problem: AylluError = error
        self._leg: Leg | None = None
        self._seed = secrets.token_bytes(16)
        self._started = int(time.time())
        self._said: defaultdict[int, list[bytes]] = defaultdict(list)
        self._said_size = 0
        self._delivered: defaultdict[int, int] = defaultdict(int)

    @property
    def node(self) -> str | None:
        """The id of the machine that answers now; None where that is this one."""
        assert self._leg is not None  # noqa: S101 - `begin` came before
        return None if self._leg.is_here else self._leg.node

    async def begin(self) -> Head:
        """The status and headers of the first machine that gives an answer. Raises AylluError."""
        while True:
            found = self._replicas()
            if not found or self._replays > MOST_REPLAYS:
                raise self._problem
            self._leg = Leg(self._request, found[0], self._can_go_on)
            try:
                head = await self._leg.open(self._carried(), self._body)
            except PeerGoneError as gone:
                self._lose(gone)
                continue
            if len(found) == 1 or not self._passes_over(head):
                return head
            self._passed_over.add(found[0].node)
            self.close()

    async def whole(self) -> bytes:
        """All of it. Raises AylluError."""
        body = bytearray()
        async with aclosing(self._items()) as items:
            async for item in items:
                body += item
                if len(body) > LARGEST_ANSWER:
                    raise broken()
        return bytes(body)

    async def lines(self, framing: Framing) -> AsyncGenerator[bytes]:
        """The bytes of a stream, and a last line that says so where it breaks off for good."""
        try:
            async with aclosing(self._items()) as items:
                async for item in items:
                    yield item
        except AylluError as error:
            if framing.after is not None:
                framing = framing.after(sum(self._delivered.values()))
            yield framing.frame(error_body(error, self._request.url.path))

    def close(self) -> None:
        """End what is under way."""
        leg, self._leg = self._leg, None
        if leg is not None:
            leg.close()

    async def _items(self) -> AsyncGenerator[bytes]:
        """What the client gets, of one machine after the other."""
        try:
            while True:
                try:
                    async with aclosing(self._of_one()) as items:
                        async for item in items:
                            yield item
                except _FailedError as failed:
                    if not await self._goes_on(failed):
                        yield failed.item
                        return
                except PeerGoneError as gone:
                    if not await self._goes_on(gone):
                        raise
                else:
                    return
        finally:
            self.close()

    async def _of_one(self) -> AsyncGenerator[bytes]:
        """What one machine gives. Raises PeerGoneError, also where it fails and another may not."""
        assert self._leg is not None  # noqa: S101 - there is one until this ends
        async for kind, payload in self._leg.frames():
            if kind == SAID:
                self._keep(payload)
            elif kind == ITEM:
                part, data = read_number(payload)
                self._delivered[part] += 1
                yield data
            elif kind == FAILED:
                status, data = read_number(payload)
                if status >= 500 and self._can_go_on():
                    raise _FailedError(data)
                yield data
            elif kind == END:
                return

    async def _goes_on(self, gone: PeerGoneError) -> bool:
        """Whether the next machine goes on where this one stopped."""
        can = self._can_go_on()
        self._lose(gone)
        if not can:
            return False
        try:
            head = await self.begin()
        except AylluError:
            return False
        return head.status == 200

    def _can_go_on(self) -> bool:
        """Whether another machine can, from here on."""
        return (
            self._said_size <= MOST_SAID
            and self._replays < MOST_REPLAYS
            and bool(self._replicas(self._leg))
        )

    def _replicas(self, now: Leg | None = None) -> tuple[Replica, ...]:
        """The machines that can be asked, but for the one that is: those that went last of all."""
        router = state_of(self._request).router
        passed_over = self._passed_over if now is None else set[str]()
        lost = [*self._lost, now.node] if now is not None else self._lost
        return router.replicas(self._wanted, passed_over.union(lost)) or router.replicas(
            self._wanted, passed_over.union(lost[-1:])
        )

    def _lose(self, gone: PeerGoneError) -> None:
        assert self._leg is not None  # noqa: S101 - it is lost now
        node = self.node
        self._lost.append(self._leg.node)
        self.close()
        self._problem = gone
        self._replays += 1
        self._passed_over.clear()  # what a machine did not have may be free by now
        self._refusals = 0
        if node is not None and not isinstance(gone, _FailedError):
            state_of(self._request).router.fail(node)

    def _passes_over(self, head: Head) -> bool:
        """Whether another machine may have a better answer than this one."""
        if head.status in _OTHERS_MAY or (head.status == 400 and self._names_another_answer):
            return True
        if head.status >= 500 and self._refusals < MOST_REFUSALS:
            self._refusals += 1
            return True
        return False

    @property
    def _names_another_answer(self) -> bool:
        """Whether it goes on from an answer that is kept on the machine that gave it."""
        path = self._request.url.path
        return path == "/v1/responses" and b'"previous_response_id"' in self._body

    def _keep(self, payload: bytes) -> None:
        number, data = read_number(payload)
        self._said_size += len(data)
        if self._said_size <= MOST_SAID:
            self._said[number].append(data)
        else:
            self._said.clear()

    def _carried(self) -> bytes:
        return msgspec.msgpack.encode(
            Carried(
                self._seed,
                self._started,
                {number: list(map(Raw, items)) for number, items in self._said.items()},
                dict(self._delivered),
            )
        )
