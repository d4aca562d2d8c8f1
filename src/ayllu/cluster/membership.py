"""Membership: this machine's record is told to the others, and theirs are kept.

There is no master: each machine owns one record, sealed, which it says when it changes and once a
minute, and answers with when asked. In between it says how busy it is, at least every 5 s. A
liveliness token says that it is there. The soft table of the others (`table.py`) outlives the bus,
which is closed and opened anew now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import structlog
from msgspec import structs

from ayllu.cluster.authority import CertificateError
from ayllu.cluster.bus import LIVE, PULSE, RECORD, REVOKED, Bus, BusError, Close
from ayllu.cluster.keyring import Keyring
from ayllu.cluster.quiet import Quiet
from ayllu.cluster.record import Pulse, Record, decode, decode_pulse, encode
from ayllu.cluster.remembered import Remembered
from ayllu.cluster.seal import Sealed, seal, unseal
from ayllu.cluster.table import CLONED, Change, Table
from ayllu.cluster.tasks import Tasks
from ayllu.cluster.view import Member
from ayllu.errors import AylluError

KIND = "record"
PULSE_KIND = "pulse"
REFRESH_SECONDS = 5.0
REPEAT_SECONDS = 60.0
TICK_SECONDS = 1.0
TOGETHER_SECONDS = 0.2
"""Changes of the own record that come so close to each other are said at once."""
ASK_SECONDS = 3.0
FEW = 8
"""While no more machines are known, a new one is asked at once, and for the revoked, too."""
_OLDEST = 7200.0
"""Seconds; the clocks of members may differ by one hour, as their certificates have it."""
_log = structlog.get_logger()
_T = TypeVar("_T")


class Own(Protocol):
    """This machine's record, as `own.py` keeps it."""

    @property
    def record(self) -> Record:
        """As it is now."""

    def subscribe(self, on_change: Callable[[], None]) -> Close:
        """Be called when it has changed."""

    def change(self, **fields: Any) -> None:  # noqa: ANN401 - fields of a record
        """Give fields other values."""


class Membership:
    """The machines of the ayllu, from joining to leaving. Whoever makes one closes it."""

    def __init__(self, keyring: Keyring, own: Own, remembered: Remembered) -> None:
        self.remembered = remembered
        self.quiet = Quiet()
        """Counts what was dropped."""
        self.cloned = False
        """Whether another machine uses this one's identity."""
        self._keyring = keyring
        self._own = own
        self._me = keyring.member().node
        self._began = time.time()
        self._table = Table(self._tell)
        self._listeners: list[Callable[[Change], None]] = []
        self._bus: Bus | None = None
        self._closes: list[Close] = []
        self._tasks = Tasks()
        self._said_record: Record | None = None
        self._asked: set[str] = set()
        self._saying: asyncio.TimerHandle | None = None
        self._ends = own.subscribe(self._say_soon)
        keyring.member().revoked.watch(self._on_revoked)
        self._clock = Tasks()
        self._clock.start(self._follow())

    # What others ask.

    def members(self) -> tuple[Member, ...]:
        """The other machines that are there."""
        return self._table.members()

    def member(self, node: str) -> Member | None:
        """One of them, by its id."""
        return self._table.member(node)

    def trusts(self, node: str) -> bool:
        """Whether a machine is a member that is not set aside."""
        is_revoked = node in self._keyring.member().revoked
        return not is_revoked and not self._table.is_set_aside(node)

    def name_of(self, node: str) -> str:
        """A machine's name for people; its id where it is not known."""
        member = self._table.member(node)
        return member.record.name if member is not None else node

    def subscribe(self, on_change: Callable[[Change], None]) -> Close:
        """Be told on the event loop when a machine joins, changes, leaves or is set aside."""
        self._listeners.append(on_change)
        return lambda: self._listeners.remove(on_change)

    def set_aside(self, node: str, reason: str) -> None:
        """Use a machine no more that does what no honest one does; `reason` is shown."""
        if not self._table.is_set_aside(node):
            _log.warning("a machine is set aside", node=node, reason=reason)
            self._table.set_aside(node, reason, time.monotonic())

    # The bus.

    def attach(self, bus: Bus) -> None:
        """Be seen on an open bus, and see the others."""
        self._bus = bus
        self._table.look_again(time.monotonic())
        self._own.change(returns=False)
        self._say()
        self._closes = [
            bus.serve(RECORD.format(node=self._me), lambda _: self._sealed()),
            bus.serve(REVOKED.format(node=self._me), lambda _: self._revoked()),
            bus.subscribe(RECORD.format(node="*"), self._hear),
            bus.subscribe(PULSE.format(node="*"), self._feel),
            bus.subscribe(REVOKED.format(node="*"), self._hear_revoked),
            bus.watch(LIVE.format(node="*"), self._on_token),
            bus.announce(LIVE.format(node=self._me)),
        ]

    async def detach(self) -> None:
        """Say that this machine returns, before the bus is closed to be opened anew."""
        if self._bus is None:
            return
        self._own.change(returns=True)
        self._say()
        await asyncio.sleep(TOGETHER_SECONDS / 2)  # until it is on its way
        self._table.lose_sight()
        await self._end()

    async def close(self) -> None:
        """Be seen no more."""
        self._ends()
        await self._clock.end()
        await self._end()
        self.remembered.save(always=True)

    async def _end(self) -> None:
        self._bus = None
        self._hush()
        for close in reversed(self._closes):
            close()
        self._closes = []
        await self._tasks.end()

    # What this machine says.

    def _say_soon(self) -> None:
        if self._saying is None and self._bus is not None:
            loop = asyncio.get_running_loop()
            self._saying = loop.call_later(TOGETHER_SECONDS, self._say_news)

    def _say_news(self) -> None:
        """Say the record anew, or only the load where nothing else has changed."""
        now, said = self._own.record, self._said_record
        if said and said == structs.replace(now, counter=said.counter, load=said.load):
            self._beat()
        else:
            self._say()

    def _say(self) -> None:
        """Publish the record as it is now."""
        self._hush()
        if self._bus is not None and self._keyring.credentials is not None:
            self._said_record = self._own.record
            self._bus.publish(RECORD.format(node=self._me), self._sealed())

    def _sealed(self) -> bytes:
        """The record as it is now, said now. The bus asks for it in its threads."""
        return seal(self._keyring.member(), KIND, encode(self._own.record))

    def _beat(self) -> None:
        """Say how busy this machine is, where that is all that has changed since `_say`."""
        self._hush()
        said, now = self._said_record, self._own.record
        if self._bus is not None and self._keyring.credentials is not None and said is not None:
            pulse = encode(Pulse(now.epoch, now.counter, said.counter, now.load))
            data = seal(self._keyring.credentials, PULSE_KIND, pulse)
            self._bus.publish(PULSE.format(node=self._me), data)

    def _hush(self) -> None:
        """What was to be said soon is said now."""
        if self._saying is not None:
            self._saying.cancel()
            self._saying = None

    def _revoked(self) -> bytes:
        return self._keyring.member().revoked.encode()

    def _say_revoked(self) -> None:
        if self._bus is not None and len(self._keyring.member().revoked):
            self._bus.publish(REVOKED.format(node=self._me), self._revoked())

    async def _follow(self) -> None:
        """Look at the time: refresh, ask again, forget the silent, save."""
        last = said = repeated = time.monotonic()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            if now - last > TICK_SECONDS + REFRESH_SECONDS:  # this machine slept
                self._table.look_again(now)
            last = now
            self._table.tick(now)
            if self._bus is not None:
                for node in (*self._table.unknown(), *self._table.quiet(now)):
                    self._tasks.start(self._ask(node))
                if now - repeated >= REPEAT_SECONDS:
                    repeated = said = now
                    self._say()
                    self._say_revoked()
                elif now - said >= REFRESH_SECONDS:
                    said = now
                    self._say_news()
            self.remembered.save()  # soon: a machine may be switched off without a word

    # What the others say.

    def _on_token(self, key: str, alive: bool) -> None:
        node = key.rpartition("/")[2]
        now = time.monotonic()
        if node == self._me or node in self._keyring.member().revoked:
            return
        if alive:
            self._table.appear(node, now)
            self._greet(node)
        else:
            self._table.vanish(node, now)

    def _greet(self, node: str) -> None:
        """Get to know a machine that appears: by asking it, or where many appear by telling all."""
        self._say_revoked()
        if self._knows_few():
            self._tasks.start(self._ask(node))
        else:
            self._said_record = None
            self._say_soon()

    def _knows_few(self) -> bool:
        return len(self._table.members()) + len(self._table.unknown()) <= FEW

    async def _ask(self, node: str) -> None:
        """Ask a machine for its record, and for the revoked that it knows."""
        bus = self._bus
        if bus is None or node in self._asked:
            return
        self._asked.add(node)
        try:
            with contextlib.suppress(BusError):  # it is asked again while it is alive
                key = RECORD.format(node=node)
                self._hear(key, await bus.call(key, seconds=ASK_SECONDS), answered=True)
                if self._knows_few():
                    key = REVOKED.format(node=node)
                    self._hear_revoked(key, await bus.call(key, seconds=ASK_SECONDS))
        finally:
            self._asked.discard(node)

    def _hear(self, key: str, data: bytes, *, answered: bool = False) -> None:
        """A record, from whomever: only its seal tells whose it is."""
        opened = self._opened(key, KIND, data, decode)
        if opened is None:
            return
        sealed, record = opened
        if record.node != sealed.node:
            self.quiet.warn("a record in another's name was dropped", node=sealed.node)
            self.set_aside(sealed.node, "it sent a record in another machine's name")
        elif sealed.node == self._me:
            self._meet_self(sealed, record.epoch)
        else:
            now = time.monotonic()
            self._drop(self._table.hear(sealed, record, now, answered=answered))
            self._want(sealed.node, asked=answered)

    def _feel(self, key: str, data: bytes) -> None:
        """A pulse, from whomever."""
        opened = self._opened(key, PULSE_KIND, data, decode_pulse)
        if opened is None:
            return
        sealed, pulse = opened
        if sealed.node == self._me:
            self._meet_self(sealed, pulse.epoch)
            return
        dropped = self._table.feel(sealed, pulse, time.monotonic())
        if dropped is None:
            self._tasks.start(self._ask(sealed.node))
        else:
            self._drop(dropped)
            self._want(sealed.node)

    def _want(self, node: str, *, asked: bool = False) -> None:
        """Remember a member that spoke; ask one whose token was not seen whether it is there."""
        member = self._table.member(node)
        if member is not None:
            self.remembered.note(member.record)
        elif not asked:
            self._tasks.start(self._ask(node))

    def _opened(
        self, key: str, kind: str, data: bytes, decode: Callable[[bytes], _T]
    ) -> tuple[Sealed, _T] | None:
        """What a member sealed and said under its own key, and lately; else it is dropped."""
        node = key.rpartition("/")[2]
        try:
            sealed = unseal(self._keyring.member(), kind, data)
            body = decode(sealed.body)
        except CertificateError as error:
            self.quiet.warn(f"a {kind} of no member was dropped", node=node, reason=error.sentence)
        except AylluError as error:
            self.quiet.warn(f"what is no {kind} was dropped", node=node, reason=error.sentence)
        else:
            if sealed.node != node and not _names_another(body, sealed.node):
                self.quiet.warn(f"a {kind} under another's key was dropped", node=node)
            elif sealed.time < time.time() - _OLDEST:
                self.quiet.warn(f"a {kind} of hours ago was dropped", node=node)
            else:
                return sealed, body
        return None

    def _drop(self, reason: str) -> None:
        if reason:
            self.quiet.total[reason] += 1

    def _meet_self(self, sealed: Sealed, epoch: int) -> None:
        """Another machine speaks as us: a copy of this one, unless it is an old word repeated."""
        if epoch != self._own.record.epoch and sealed.time > self._began:
            self.cloned = True
            self.quiet.warn(CLONED, node=self._me)

    def _hear_revoked(self, key: str, data: bytes) -> None:
        try:
            self._keyring.member().revoked.merge(data)
        except AylluError as error:
            node = key.rpartition("/")[2]
            self.quiet.warn("a list of revoked machines was dropped", node=node, reason=str(error))

    def _on_revoked(self, nodes: frozenset[str]) -> None:
        for node in nodes:
            self._table.remove(node, time.monotonic())
            self.remembered.forget(node)
        self._say_revoked()

    def _tell(self, change: Change) -> None:
        member = self._table.member(change.node)
        if member is not None:
            self.remembered.note(member.record)
        for listener in tuple(self._listeners):
            listener(change)


def _names_another(body: object, node: str) -> bool:
    """Whether it is a record in another's name: that is a lie, and more than a wrong address."""
    return isinstance(body, Record) and body.node != node
