"""How far the others are: round trips and rates, measured by this machine of its own links.

When two machines first meet, and each hour while no request runs, one link at a time; which one is
drawn by lot, and a pause before it too, so that machines that start together do not all ask one.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

import structlog
from msgspec import Struct

from ayllu.cluster.bus import BURST, PING, Bus, BusError, Close
from ayllu.cluster.record import MOST_LINKS, Link
from ayllu.cluster.tasks import Tasks

PINGS = 20
PING_SECONDS = 2.0
BURST_PIECE = 1 << 20
BURST_PIECES = 8
IN_FLIGHT = 4
BURST_SECONDS = 3.0
"""After these no more pieces are asked for: a slow link is known by then."""
PIECE_SECONDS = 20.0

AGE = 3600.0
RETRY = 60.0
"""Seconds after which a link is measured again, and after which one is of which a part failed."""
PAUSE = 0.5
"""Seconds between two links, on average."""

_log = structlog.get_logger(__name__)
_random = random.SystemRandom()


class Tried(Struct, frozen=True):
    """When a link was last measured, or was to be; seconds on one clock."""

    at: float
    worked: bool


def due(tried: Mapping[str, Tried | None], now: float, *, idle: bool) -> list[str]:
    """The machines to which the link is to be measured now.

    Those never tried, or where it failed a while ago; and where requests do not run, old ones.
    """
    return [
        node
        for node, last in tried.items()
        if last is None
        or (not last.worked and now - last.at >= RETRY)
        or (last.worked and now - last.at >= AGE and idle)
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """The least of some values that a share of them does not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(math.ceil(share * len(ranked)), 1) - 1]


def serve_links(control: Bus, bulk: Bus, node: str) -> Close:
    """Answer the others' pings, and their bursts with bytes that nothing compresses."""
    pinged = control.serve(PING.format(node=node), lambda _: b"")
    piece = os.urandom(BURST_PIECE)
    burst = bulk.serve(BURST.format(node=node), lambda _: piece)

    def close() -> None:
        pinged()
        burst()

    return close


async def round_trips(control: Bus, node: str) -> list[float]:
    """How long questions to a machine take, in ms. Raises BusError."""
    key = PING.format(node=node)
    await control.call(key, seconds=PING_SECONDS)  # the way there is made
    times = []
    for _ in range(PINGS):
        started = time.perf_counter()
        await control.call(key, seconds=PING_SECONDS)
        times.append((time.perf_counter() - started) * 1e3)
    return times


async def burst_rate(bulk: Bus, node: str) -> float:
    """MB/s of 8 MiB from a machine, or of what came of them in three seconds. Raises BusError."""
    key, left, received = BURST.format(node=node), BURST_PIECES, 0
    started = time.perf_counter()

    async def ask() -> None:
        nonlocal left, received
        while left and time.perf_counter() - started < BURST_SECONDS:
            left -= 1
            piece = await bulk.call(key, seconds=PIECE_SECONDS)
            if len(piece) != BURST_PIECE:
                raise BusError(f"a piece of a burst has {len(piece)} bytes")
            received += len(piece)

    ended = await asyncio.gather(*(ask() for _ in range(IN_FLIGHT)), return_exceptions=True)
    for error in filter(None, ended):
        raise error
    return received / (time.perf_counter() - started) / 1e6


class Links:
    """Measures the links to the machines that are there. Whoever made it closes it.

    It lives as long as its two buses; `links` of an earlier one may be given to it.
    """

    def __init__(
        self,
        control: Bus,
        bulk: Bus,
        *,
        is_idle: Callable[[], bool],
        is_wireless: Callable[[str], bool],
        on_change: Callable[[tuple[Link, ...]], None],
        known: Iterable[Link] = (),
    ) -> None:
        """`is_wireless` is asked of a machine's id, `on_change` told of all links each time."""
        self._control, self._bulk = control, bulk
        self._is_idle, self._is_wireless, self._on_change = is_idle, is_wireless, on_change
        self._known = {link.to: link for link in known}
        self._tried: dict[str, Tried | None] = {}
        self._wake = asyncio.Event()
        self._tasks = Tasks()
        self._tasks.start(self._run())

    def meet(self, node: str) -> None:
        """A machine is there."""
        if node not in self._tried:
            link = self._known.get(node)
            self._tried[node] = Tried(link.measured_at, link.mbs > 0) if link else None
            self._wake.set()
            self._tell()

    def part(self, node: str) -> None:
        """A machine is there no more."""
        if node in self._tried:
            del self._tried[node]
            self._tell()

    @property
    def links(self) -> tuple[Link, ...]:
        """What is known of the links to the machines that are there, as many as a record holds."""
        known = (self._known[node] for node in sorted(self._tried) if node in self._known)
        return tuple(islice(known, MOST_LINKS))

    async def close(self) -> None:
        """Measure no more."""
        await self._tasks.end()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            if nodes := due(self._tried, time.time(), idle=self._is_idle()):
                await asyncio.sleep(_random.uniform(0, 2 * PAUSE))
                await self._measure(_random.choice(nodes))
            else:
                await _until(self._wake, RETRY / 4)

    async def _measure(self, node: str) -> None:
        try:
            self._known[node] = link = await self._link(node)
            worked = link.mbs > 0
        except BusError as error:
            _log.debug("a link was not measured", node=node, reason=error.sentence)
            worked = False
        if node in self._tried:  # it may have gone meanwhile
            self._tried[node] = Tried(time.time(), worked)
            self._tell()

    async def _link(self, node: str) -> Link:
        """The link to a machine; the rate is 0 where the burst failed. Raises BusError."""
        times = await round_trips(self._control, node)
        try:
            rate = await burst_rate(self._bulk, node)
        except BusError as error:
            _log.debug("a burst failed", node=node, reason=error.sentence)
            rate = 0.0
        return Link(
            to=node,
            rtt_p50=round(percentile(times, 0.5), 3),
            rtt_p95=round(percentile(times, 0.95), 3),
            mbs=round(rate, 1),
            wireless=self._is_wireless(node),
            measured_at=time.time(),
        )

    def _tell(self) -> None:
        self._on_change(self.links)


async def _until(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, at most some seconds."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
