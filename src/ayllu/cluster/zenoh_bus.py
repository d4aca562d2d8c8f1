"""The bus over Zenoh: discovery, liveliness, publications and questions, with mutual TLS.

Zenoh calls back from threads of its own; everything but answers of `serve` is passed on to the
event loop. What blocks runs in a few threads of the bus. Importing this module costs 12 MB, so only
a server that is in an ayllu does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import msgspec
import structlog
import zenoh
from msgspec import Struct

from ayllu.cluster.bus import BusError, Close
from ayllu.cluster.bus_config import BusConfig, free_port, is_free, usable, zenoh_words
from ayllu.cluster.endpoints import host_of, join_endpoint
from ayllu.cluster.quiet import Quiet
from ayllu.cluster.sessions import close_session, open_session
from ayllu.errors import AylluError

_log = structlog.get_logger()
_T = TypeVar("_T")
_NODE: Final = re.compile(r"[a-z2-7]{20}")
_ASKING_THREADS: Final = 8
_ANSWERING_THREADS: Final = 16
_GRACE: Final = 1.0
"""Seconds that Zenoh keeps a question longer than we do."""
_CLOSE_SECONDS: Final = 2.0
"""How long it is waited for links to close, and for the port."""
_MOST_QUESTIONS: Final = 512
"""Questions that may wait for a thread; more are refused."""

# Closing a link whose other end is out of reach holds up a thread for 10 s (SO_LINGER, fixed when
# Zenoh is built), and what else it had to notice waits. Zenoh reads this at the first session.
os.environ.setdefault("ZENOH_RUNTIME", "(rx: (worker_threads: 16))")


class LinkTo(Struct, frozen=True):
    """A connection to another machine: its node id and the address at either end."""

    node: str
    here: str
    there: str


class _Declared(Protocol):
    def undeclare(self) -> object: ...


async def open_bus(config: BusConfig, on_stranger: Callable[[str], None]) -> ZenohBus:
    """Join the bus of an ayllu; it is the caller's to close.

    A port that is taken is replaced by a free one, and where multicast cannot be had, the bus opens
    without it. Raises BusError with a sentence when it cannot be opened at all.

    Zenoh 1.10 connects to machines whose certificate any public authority has signed (its
    zenoh-link-tls/src/utils.rs adds those to our CA). Certificates of ours name a node id, which
    none of theirs can: at the first other name the bus closes, and `on_stranger` is told the
    address, so that the owner opens it anew without multicast.
    """
    loop = asyncio.get_running_loop()
    listen = usable(config.listen)
    port = free_port(listen, config.port)
    config = msgspec.structs.replace(config, listen=listen, port=port)
    return ZenohBus(await asyncio.to_thread(_session, config), loop, config, on_stranger)


def _session(config: BusConfig) -> zenoh.Session:
    """An open session, with multicast where that works (dora-rs #2850: it can fail as a whole)."""
    if config.scout:
        try:
            return _opened(config)
        except zenoh.ZError as error:
            _log.warning(
                "multicast cannot be used, so machines are found by known addresses only",
                port=config.scout,
                reason=_reason(error),
            )
            config = msgspec.structs.replace(config, scout=0)
    try:
        return _opened(config)
    except zenoh.ZError as error:
        where = ", ".join(join_endpoint(host, config.port) for host in config.listen)
        raise BusError(f"cannot open the ayllu's bus on {where}: {_reason(error)}") from error


def _opened(config: BusConfig) -> zenoh.Session:
    words = zenoh.Config()
    for word, value in zenoh_words(config).items():
        words.insert_json5(word, json.dumps(value))
    return open_session(words)


def _reason(error: Exception) -> str:
    """Zenoh's sentence without the places in its source."""
    return str(error).partition(" at /")[0]


class ZenohBus:
    """An open bus: `Bus` of `bus.py`, and who is connected."""

    def __init__(
        self,
        session: zenoh.Session,
        loop: asyncio.AbstractEventLoop,
        config: BusConfig,
        on_stranger: Callable[[str], None],
    ) -> None:
        self._session = session
        self._loop = loop
        self._prefix = f"ayllu/{config.credentials.cluster}/"
        self._listen, self._port = config.listen, config.port
        self._announced: dict[str, int] = {}
        self._declared: list[_Declared] = []
        """Zenoh ends what nobody holds."""
        self._quiet = Quiet()
        self._room = threading.BoundedSemaphore(_MOST_QUESTIONS)
        self._leaving: asyncio.Task[None] | None = None
        self._closed = False
        self._asking = ThreadPoolExecutor(_ASKING_THREADS, "bus-asks")
        self._answering = ThreadPoolExecutor(_ANSWERING_THREADS, "bus-answers")
        self.endpoints = tuple(join_endpoint(host, config.port) for host in config.listen)
        """Where it listens, as `host:port`."""
        self._on_stranger = on_stranger
        self._listener = session.info.declare_link_events_listener(
            _direct(self._look_at), history=True
        )

    def _look_at(self, event: zenoh.LinkEvent) -> None:
        """Leave, if it is no member who is connected."""
        if event.kind == zenoh.SampleKind.PUT and not _is_node(event.link.auth_identifier):
            self._pass_on(self._leave, event.link.dst)

    def _leave(self, stranger: str) -> None:
        if self._leaving is None:
            self._leaving = asyncio.create_task(self.close())
            _log.warning(
                "a machine that is no member was met, so the bus closed", stranger=stranger
            )
            self._on_stranger(_host(stranger))

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, by its owner or because it met a stranger."""
        return self._closed or self._session.is_closed()

    def links(self) -> tuple[LinkTo, ...]:
        """The machines connected now, by their certificates; a machine may have two links."""
        if self.is_closed:
            return ()
        return tuple(
            LinkTo(link.auth_identifier, _host(link.src), _host(link.dst))
            for link in self._session.info.links()
            if link.auth_identifier is not None
        )

    def announce(self, key: str) -> Close:
        """Say that the key is alive."""
        token = self._session.liveliness().declare_token(self._prefix + key)
        self._announced[key] = self._announced.get(key, 0) + 1

        close = self._held(token)

        def end() -> None:
            self._announced[key] -= 1
            close()

        return end

    def watch(self, pattern: str, on_change: Callable[[str, bool], None]) -> Close:
        """Be told of keys that others announce and that are no more."""

        def hear(sample: zenoh.Sample) -> None:
            alive = sample.kind == zenoh.SampleKind.PUT
            self._pass_on(tell, self._key(sample.key_expr), alive)

        def tell(key: str, alive: bool) -> None:
            if not self._announced.get(key):
                on_change(key, alive)

        watcher = self._session.liveliness().declare_subscriber(
            self._prefix + pattern, _direct(hear), history=True
        )
        return self._held(watcher)

    def publish(self, key: str, data: bytes) -> None:
        """Send to whoever is subscribed now; it may be lost where a link is full."""
        if not self.is_closed:
            self._session.put(self._prefix + key, data)

    def subscribe(self, pattern: str, on_data: Callable[[str, bytes], None]) -> Close:
        """Be given what others publish."""

        def hear(sample: zenoh.Sample) -> None:
            if sample.kind == zenoh.SampleKind.PUT:
                self._pass_on(on_data, self._key(sample.key_expr), sample.payload.to_bytes())

        subscriber = self._session.declare_subscriber(
            self._prefix + pattern, _direct(hear), allowed_origin=zenoh.Locality.REMOTE
        )
        return self._held(subscriber)

    def serve(self, key: str, answer: Callable[[bytes], bytes]) -> Close:
        """Answer questions to a key, many at once, each in a thread."""

        def hear(query: zenoh.Query) -> None:
            if not self._room.acquire(blocking=False):
                self._quiet.warn("too many questions of other machines at once", key=key)
                with query:
                    query.reply_err("too many questions at once")
                return
            try:
                self._answering.submit(self._answer, key, query, answer)
            except RuntimeError:  # the bus closes
                query.drop()  # type: ignore[no-untyped-call] # the same

        queryable = self._session.declare_queryable(self._prefix + key, _direct(hear))
        return self._held(queryable)

    def _answer(self, key: str, query: zenoh.Query, answer: Callable[[bytes], bytes]) -> None:
        self._room.release()
        with query, contextlib.suppress(zenoh.ZError):  # whoever asked may be gone
            data = query.payload.to_bytes() if query.payload is not None else b""
            try:
                query.reply(self._prefix + key, answer(data))
            except AylluError as error:
                query.reply_err(error.sentence)
            except zenoh.ZError:
                raise
            except Exception as error:  # noqa: BLE001 - a bug here must not reach other machines
                self._quiet.warn("an answer to another machine failed", key=key, error=repr(error))
                query.reply_err("the machine could not answer; its log says why")

    async def call(self, key: str, data: bytes = b"", *, seconds: float = 5.0) -> bytes:
        """The answer to a question. Raises BusError after `seconds` or when refused."""
        answered: asyncio.Future[bytes | BusError] = self._loop.create_future()

        def hear(reply: zenoh.Reply) -> None:
            self._pass_on(_settle, answered, _result(reply))

        def end() -> None:
            self._pass_on(_settle, answered, BusError("nobody answers to this"))

        async with self._asked(key, data, seconds, hear, end):
            try:
                async with asyncio.timeout(seconds):  # wait_for of Python 3.11 can lose a cancel
                    result = await answered
            except TimeoutError as error:
                raise BusError("nobody answered in time") from error
        if isinstance(result, BusError):
            raise result
        return result

    async def gather(
        self, pattern: str, data: bytes = b"", *, seconds: float = 1.0
    ) -> Mapping[str, bytes]:
        """The answers of all others who serve keys of a pattern, by key."""
        found: dict[str, bytes] = {}
        ended: asyncio.Future[None] = self._loop.create_future()

        def hear(reply: zenoh.Reply) -> None:
            result = _result(reply)
            if reply.ok is not None and isinstance(result, bytes):
                self._pass_on(found.__setitem__, self._key(reply.ok.key_expr), result)

        def end() -> None:
            self._pass_on(_settle, ended, None)

        async with self._asked(pattern, data, seconds, hear, end, everybody=True):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await ended
        return found

    @contextlib.asynccontextmanager
    async def _asked(
        self,
        pattern: str,
        data: bytes,
        seconds: float,
        hear: Callable[[zenoh.Reply], None],
        end: Callable[[], None],
        *,
        everybody: bool = False,
    ) -> AsyncIterator[None]:
        """A question that is under way within the block. Sending it may block, so a thread does."""
        if self.is_closed:
            raise BusError("the bus of the ayllu is closed")
        token = zenoh.CancellationToken()
        ask = partial(
            self._session.get,
            self._prefix + pattern,
            zenoh.handlers.Callback(hear, end, indirect=False),
            target=zenoh.QueryTarget.ALL if everybody else zenoh.QueryTarget.BEST_MATCHING,
            consolidation=zenoh.ConsolidationMode.NONE,
            timeout=seconds + _GRACE,
            payload=data,
            allowed_destination=zenoh.Locality.REMOTE if everybody else zenoh.Locality.ANY,
            cancellation_token=token,
        )
        try:
            try:
                await self._loop.run_in_executor(self._asking, ask)
            except (zenoh.ZError, RuntimeError) as error:  # it was closed meanwhile
                raise BusError(f"the question could not be sent: {_reason(error)}") from error
            yield
        finally:
            with contextlib.suppress(RuntimeError):  # the bus has closed, and the question with it
                self._asking.submit(token.cancel)

    async def close(self) -> None:
        """Leave: what was announced dies, what was served is no more.

        The port is waited for, so that a bus that is opened anew has the same; but not long.
        """
        self._closed = True
        closing = close_session(self._session)
        end = self._loop.time() + _CLOSE_SECONDS
        while closing.is_alive() or not is_free(self._listen, self._port):
            if self._loop.time() > end:
                break
            await asyncio.sleep(0.01)
        self._asking.shutdown(wait=False, cancel_futures=True)
        self._answering.shutdown(wait=False, cancel_futures=True)

    def _key(self, key: zenoh.KeyExpr) -> str:
        return str(key).removeprefix(self._prefix)

    def _pass_on(self, what: Callable[..., object], *values: object) -> None:
        """Have the event loop do something, unless it has ended."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(what, *values)

    def _held(self, declared: _Declared) -> Close:
        self._declared.append(declared)

        def end() -> None:
            self._declared.remove(declared)
            if not self.is_closed:
                with contextlib.suppress(zenoh.ZError):  # its links are gone already
                    declared.undeclare()

        return end


def _direct(hear: Callable[[_T], None]) -> zenoh.handlers.Callback[_T]:
    """A callback without a thread of its own; it must not block."""
    return zenoh.handlers.Callback(hear, indirect=False)


def _result(reply: zenoh.Reply) -> bytes | BusError:
    if reply.ok is not None:
        return reply.ok.payload.to_bytes()
    text = reply.err.payload.to_bytes()[:300].decode("utf-8", "replace") if reply.err else ""
    return BusError(text or "nobody answers to this")


def _is_node(name: str | None) -> bool:
    return name is not None and _NODE.fullmatch(name) is not None


def _settle(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():
        future.set_result(value)


def _host(locator: str) -> str:
    """The address in `tls/1.2.3.4:5`."""
    return host_of(locator.partition("/")[2])
