"""Links: which is measured next, and measuring them over buses within this process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
from ayllus import until
from cluster_maker import link, node_id
from memory_bus import Medium, MemoryBus

from ayllu.cluster import links as links_module
from ayllu.cluster.bus import BURST, PING, BusError
from ayllu.cluster.links import (
    AGE,
    BURST_PIECE,
    PINGS,
    RETRY,
    Links,
    Tried,
    burst_rate,
    due,
    percentile,
    round_trips,
    serve_links,
)
from ayllu.cluster.record import Link
from ayllu.errors import BadRequestError

DESK, ATTIC, SOFA = map(node_id, ("desk", "attic", "sofa"))
NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("last", "idle", "is_due"),
    [
        (None, False, True),
        (Tried(NOW - AGE + 1, worked=True), True, False),
        (Tried(NOW - AGE, worked=True), True, True),
        (Tried(NOW - 9 * AGE, worked=True), False, False),
        (Tried(NOW - RETRY + 1, worked=False), True, False),
        (Tried(NOW - RETRY, worked=False), False, True),
        (Tried(NOW + AGE, worked=True), True, False),
    ],
)
def test_new_links_are_due_at_once_and_old_ones_when_nothing_runs(
    last: Tried | None, idle: bool, is_due: bool
) -> None:
    other = Tried(NOW, worked=True)
    assert due({ATTIC: last, SOFA: other}, NOW, idle=idle) == ([ATTIC] if is_due else [])


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([5.0], 0.5, 5.0),
        ([5.0], 0.95, 5.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([float(value) for value in range(20, 0, -1)], 0.5, 10.0),
        ([float(value) for value in range(20, 0, -1)], 0.95, 19.0),
        ([1.0, 2.0], 0.0, 1.0),
    ],
)
def test_percentiles_are_values_that_were_measured(
    values: list[float], share: float, expected: float
) -> None:
    assert percentile(values, share) == expected


class Home:
    """Two media, as an ayllu has two buses, and a machine called desk."""

    def __init__(self) -> None:
        self.media = Medium(), Medium()
        self.control, self.bulk = self.buses()
        self.told: list[tuple[Link, ...]] = []
        self.idle = True

    def buses(self) -> tuple[MemoryBus, MemoryBus]:
        return MemoryBus(self.media[0]), MemoryBus(self.media[1])

    @asynccontextmanager
    async def links(self, *known: Link) -> AsyncIterator[Links]:
        made = Links(
            self.control,
            self.bulk,
            is_idle=lambda: self.idle,
            is_wireless=lambda node: node == SOFA,
            on_change=self.told.append,
            known=known,
        )
        try:
            yield made
        finally:
            await made.close()


def at_home(work: Callable[[Home], Awaitable[None]]) -> None:
    async def whole() -> None:
        await asyncio.wait_for(work(Home()), 30)

    asyncio.run(whole())


def test_machines_that_meet_are_measured_once_each() -> None:
    async def work(home: Home) -> None:
        asked: list[str] = []

        def answer(node: str, _: bytes) -> bytes:
            asked.append(node)
            return b""

        for node in (ATTIC, SOFA):
            control, bulk = home.buses()
            control.serve(PING.format(node=node), partial(answer, node))
            bulk.serve(BURST.format(node=node), lambda _: bytes(BURST_PIECE))
        async with home.links() as links:
            links.meet(ATTIC)
            links.meet(SOFA)
            links.meet(SOFA)
            await until(lambda: len(links.links) == 2)
            await asyncio.sleep(0.1)
        attic, sofa = sorted(links.links, key=lambda one: one.wireless)
        assert (attic.to, sofa.to) == (ATTIC, SOFA)
        for one in (attic, sofa):
            assert 0 < one.rtt_p50 <= one.rtt_p95
            assert one.mbs > 0
            assert abs(one.measured_at - time.time()) < 30
            assert asked.count(one.to) == PINGS + 1
        assert home.told[-1] == links.links

    at_home(work)


def test_what_was_known_is_not_measured_again_and_goes_with_the_machine() -> None:
    async def work(home: Home) -> None:
        fresh = link("attic", measured_at=time.time() - 60)
        async with home.links(fresh) as links:
            links.meet(ATTIC)
            links.part(ATTIC)
            links.part(ATTIC)
            links.meet(ATTIC)
            assert home.told == [(fresh,), (), (fresh,)]

    at_home(work)


def test_old_links_wait_for_the_end_of_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links_module, "RETRY", 0.2)

    async def work(home: Home) -> None:
        home.idle = False
        serve_links(*home.buses(), ATTIC)
        old = link("attic", measured_at=time.time() - 2 * AGE)
        async with home.links(old) as links:
            links.meet(ATTIC)
            await asyncio.sleep(0.3)
            assert links.links == (old,)
            home.idle = True
            await until(lambda: links.links != (old,))

    at_home(work)


def test_a_machine_that_does_not_answer_is_asked_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links_module, "RETRY", 0.2)
    monkeypatch.setattr(links_module, "PAUSE", 0.01)

    async def work(home: Home) -> None:
        async with home.links() as links:
            links.meet(ATTIC)
            await until(lambda: home.told[1:])
            assert links.links == ()
            serve_links(*home.buses(), ATTIC)
            await until(lambda: links.links)

    at_home(work)


def test_a_burst_that_fails_leaves_the_round_trips_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links_module, "RETRY", 0.2)

    async def work(home: Home) -> None:
        control, bulk = home.buses()
        control.serve(PING.format(node=ATTIC), lambda _: b"")
        close = bulk.serve(BURST.format(node=ATTIC), lambda _: b"less than a piece")
        async with home.links() as links:
            links.meet(ATTIC)
            await until(lambda: links.links)
            assert links.links[0].mbs == 0
            assert links.links[0].rtt_p50 > 0
            close()
            bulk.serve(BURST.format(node=ATTIC), lambda _: bytes(BURST_PIECE))
            await until(lambda: links.links[0].mbs)

    at_home(work)


def test_a_burst_is_eight_pieces_four_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(home: Home) -> None:
        running, most, served, pause = 0, 0, 0, 0.0
        four, turn = threading.Barrier(4), threading.Lock()

        def answer(_: bytes) -> bytes:
            nonlocal running, most, served
            with turn:
                running, served = running + 1, served + 1
                most = max(most, running)
            four.wait(20)
            with turn:
                running -= 1
            time.sleep(pause)
            return bytes(BURST_PIECE)

        home.buses()[1].serve(BURST.format(node=ATTIC), answer)
        assert await burst_rate(home.bulk, ATTIC) > 0
        assert (served, most) == (8, 4)
        monkeypatch.setattr(links_module, "BURST_SECONDS", 0.5)
        pause = 0.6
        await burst_rate(home.bulk, ATTIC)  # so slow that what came in time has to do
        assert served == 12

    at_home(work)


def test_who_refuses_or_is_not_there_is_a_bus_error() -> None:
    async def work(home: Home) -> None:
        with pytest.raises(BusError, match="nobody"):
            await round_trips(home.control, ATTIC)

        def refuse(_: bytes) -> bytes:
            raise BadRequestError("not now")

        home.buses()[1].serve(BURST.format(node=ATTIC), refuse)
        with pytest.raises(BusError, match="not now"):
            await burst_rate(home.bulk, ATTIC)

    at_home(work)
