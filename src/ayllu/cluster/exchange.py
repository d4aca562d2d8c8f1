"""One blob's exchange between machines while this one downloads it.

What others have is heard on the control bus; pieces and lists of hashes are asked for on the bulk
bus. `swarm.py` decides what is asked of whom, `trust.py` who lied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Protocol

from ayllu.cluster.bus import HAVE, HOLDS, PIECE, BusError, Close
from ayllu.cluster.have import MOST_CLAIMS, BlobRequest, Have, PieceRequest, decode, encode
from ayllu.cluster.judge import Judge
from ayllu.cluster.quiet import Quiet
from ayllu.cluster.swarm import PIPE, SOURCES, Request, Swarm
from ayllu.errors import BadRequestError
from ayllu.registry.bandwidth import Bandwidth
from ayllu.registry.limits import end
from ayllu.registry.neighbours import Landing
from ayllu.registry.ranges import Part

SETTLE_SECONDS = 0.15
ASK_SECONDS = 0.3
"""How long others have to say what they have, before the first piece is asked for anywhere."""
ASK_AGAIN_SECONDS = 5.0
PUBLISH_SECONDS = 0.1
TICK_SECONDS = 0.05
HOPE_SECONDS, RETURN_SECONDS = 30.0, 10.0
"""How long others may bring nothing, or be gone, before a download that depends on them ends."""


def _nothing() -> None:
    """There is no subscription to end."""


class House(Protocol):
    """What all exchanges of a machine share, and their way to the others: `sharing.py` has it."""

    node: str
    bandwidth: Bandwidth
    quiet: Quiet
    members: set[str]

    def subscribe(self, pattern: str, on_data: Callable[[str, bytes], None]) -> Close:
        """Be given what others publish."""

    def publish(self, key: str, data: bytes) -> None:
        """Tell the others."""

    async def gather(self, pattern: str, data: bytes, *, seconds: float) -> Mapping[str, bytes]:
        """The answers of all others, by machine."""

    async def call(self, key: str, data: bytes, *, seconds: float) -> bytes:
        """The answer of one machine. Raises BusError."""

    def trusts(self, node: str) -> bool:
        """Whether a machine is one to deal with."""

    def on_liar(self, node: str, reason: str) -> None:
        """A machine is proven to have sent what is not true."""

    def got(self, digest: str) -> None:
        """A blob is here, though no model has it yet."""

    def ended(self, digest: str) -> None:
        """An exchange has ended."""


class Exchange:
    """A Share of the registry's protocol; `digest` is 64 hex digits."""

    def __init__(self, house: House, digest: str, landing: Landing, *, fetches: bool) -> None:
        self.received = 0
        self.givers: set[str] = set()
        self._house = house
        self._digest = digest
        self._landing = landing
        self._swarm = Swarm(house.node, digest, landing.count)
        self._swarm.fetches = fetches
        self._judge = Judge(house.call, digest, landing, self._swarm, house.on_liar)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None
        self._vouched = 0
        self._settled = not house.members
        self._moved = self._landed = self._loop.time()
        self._hoped = -RETURN_SECONDS
        self._published = 0.0
        self._told: Have | None = None
        self._asked = 0.0
        self._is_cut_off = False
        self._unsubscribe: Close = _nothing

    # the registry's side

    def begin(self, missing: list[int]) -> None:
        """These pieces are missing; all others are here."""
        self._swarm.begin(missing)
        self._vouched = 0
        for number, vouched in self._landing.stored():
            self._vouched |= vouched << number
        self._moved = self._loop.time()

    def take(self, longest: int) -> Part | None:
        """The next pieces to fetch from the registry."""
        if not self._settled or not self._swarm.fetches:
            return None
        part = self._swarm.take(longest, self._loop.time())
        if part is not None or self._swarm.is_stealing:
            self._publish()
        return part

    def take_all(self) -> Part | None:
        """All that is missing as one part, once."""
        return self._swarm.take_all(self._loop.time()) if self._settled else None

    def ended(self, part: Part) -> None:
        """A part is fetched no more."""
        self._swarm.ended(part)

    def landed(self, number: int) -> None:
        """A piece came from the registry."""
        now = self._loop.time()
        self._swarm.note_pace((now - self._landed) * max(len(self._swarm.parts), 1))
        self._landed = self._moved = now
        self._swarm.landed(number)
        self._vouched |= 1 << number
        self._news.set()

    def miss(self, number: int) -> None:
        """A piece that was here is missing."""
        self._swarm.miss(number)
        self._vouched &= ~(1 << number)
        self._news.set()

    def leave_registry(self) -> None:
        """The registry gives no more."""
        self._swarm.fetches = False
        self._swarm.parts.clear()
        self._publish()

    @property
    def hopes(self) -> bool:
        """Whether others have, or are about to have, what is missing."""
        if not self._settled:
            return True
        now = self._loop.time()
        if self._is_cut_off or self._swarm.hopes(now):
            self._hoped = now
        return now - self._hoped < RETURN_SECONDS and now - self._moved < HOPE_SECONDS

    # what others see; from any thread

    def have(self) -> Have:
        """What there is, as others see it."""
        swarm = self._swarm
        return Have(
            size=self._landing.size,
            bits=self._vouched.to_bytes(-(-self._landing.count // 8), "little"),
            claims=swarm.claims[:MOST_CLAIMS],
            fetches=swarm.fetches,
        )

    def read(self, number: int) -> bytes | None:
        """A piece that this machine vouches for."""
        return self._landing.read(number) if self._vouched >> number & 1 else None

    def came(self) -> None:
        """A machine is there, and may have the blob: all are asked anew."""
        self._asked = -ASK_AGAIN_SECONDS
        self._news.set()

    def left(self, node: str) -> None:
        """A machine is gone."""
        self._swarm.left(node)
        self._wake()

    # the work

    async def doubt(self) -> bool:
        """The whole has a wrong digest: forget what somebody may have lied about."""
        return await self._judge.doubt()

    async def conclude(self) -> None:
        """The whole is right, and is about to get its name."""
        await self._judge.conclude()
        await self._judge.close()
        self._house.got(self._digest)

    def close(self, *, complete: bool) -> None:
        """The download has ended."""
        self._house.ended(self._digest)
        size = self._landing.size
        self._publish(Have(size=size, complete=complete, leaves=not complete))

    async def run(self) -> None:
        """Exchange until cancelled."""
        self.attach()
        try:
            self._start(self._settle())
            self._asked = self._loop.time()
            while True:
                if self._error:  # such as a full disk
                    raise self._error
                self._pump()
                if self._loop.time() - self._asked > ASK_AGAIN_SECONDS:
                    self._asked = self._loop.time()
                    self._start(self._ask_all())
                with suppress(TimeoutError):  # wait_for of Python 3.11 may lose a cancellation
                    async with asyncio.timeout(TICK_SECONDS):
                        await self._news.wait()
                self._news.clear()
        finally:
            self._stop_hearing()
            await end(self._tasks)
            await self._judge.close()

    def attach(self) -> None:
        """Hear the others, on a bus that may be a new one."""
        key = HAVE.format(digest=self._digest, node="*")
        self._stop_hearing()
        self._unsubscribe = self._house.subscribe(key, self._on_map)
        if self._is_cut_off:
            self._is_cut_off, self._hoped = False, self._loop.time()
        self.came()

    def detach(self) -> None:
        """The bus is about to close. The others are hoped for until there is one again."""
        self._stop_hearing()
        self._is_cut_off = True
        self._told = None
        for task in self._tasks:
            task.cancel()
        for node in list(self._swarm.peers):
            self.left(node)

    def _stop_hearing(self) -> None:
        unsubscribe, self._unsubscribe = self._unsubscribe, _nothing
        unsubscribe()

    async def _settle(self) -> None:
        """Tell the others of this download and hear of theirs before anything is fetched."""
        if not self._settled:
            self._publish()
            waits = self._swarm.fetches and self._landing.count > 1
            quiet = asyncio.sleep(SETTLE_SECONDS if waits else 0)
            await asyncio.gather(self._ask_all(), quiet)
            self._settled = True
        self._landing.wake()

    async def _ask_all(self) -> None:
        request = encode(BlobRequest(self._digest))
        pattern = HOLDS.format(node="*")
        answers = await self._house.gather(pattern, request, seconds=ASK_SECONDS)
        for node, data in answers.items():
            self._hear(node, data)

    def _on_map(self, key: str, data: bytes) -> None:
        node = key.rpartition("/")[2]
        if node != self._house.node and self._house.trusts(node):
            self._hear(node, data)

    def _hear(self, node: str, data: bytes) -> None:
        """Note what a machine says that it has."""
        try:
            have = decode(data, Have)
        except BadRequestError as error:
            reason = error.sentence
            self._house.quiet.warn("a map of pieces cannot be read", node=node, reason=reason)
            return
        if have.leaves or have.size != self._landing.size:
            self._swarm.left(node)
        else:
            for part in self._swarm.heard(node, have, self._loop.time()):
                self._landing.end_stream(part.number)
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._landing.wake()

    def _pump(self) -> None:
        """Ask for what there is to ask for, and say what is new here."""
        now = self._loop.time()
        while len(self._tasks) < SOURCES * PIPE and (request := self._swarm.next_request(now)):
            self._start(self._get(request))
        if self._swarm.is_shared() and now - self._published > PUBLISH_SECONDS:
            self._publish()
        if self._settled and self._swarm.fetches:
            self._landing.wake()

    def _publish(self, have: Have | None = None) -> None:
        have = have or self.have()
        if have != self._told:
            self._told, self._published = have, self._loop.time()
            key = HAVE.format(digest=self._digest, node=self._house.node)
            self._house.publish(key, encode(have))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._news.set()
        if not task.cancelled() and (error := task.exception()):
            self._error = error

    async def _get(self, request: Request) -> None:
        """One piece from one machine."""
        node, number = request
        self._judge.expect(number)
        question = PieceRequest(self._digest, self._landing.size, number)
        try:
            data = await self._house.call(
                PIECE.format(node=node), encode(question), seconds=self._swarm.patience(node)
            )
        except BusError:
            self._swarm.failed(request, self._loop.time())
            return
        self._swarm.arrived(request, self._loop.time())
        self._news.set()
        try:
            await self._house.bandwidth.take(len(data))
            if not self._swarm.has(number):
                await self._check_in(request, data)
        finally:
            self._swarm.checked(number)

    async def _check_in(self, request: Request, data: bytes) -> None:
        taken = await self._judge.check_in(request, data)
        if taken is False:
            return
        self._moved = self._loop.time()
        self._swarm.landed(request.number)
        self._vouched |= bool(taken) << request.number
        self.received += len(data)
        self.givers.add(request.node)
