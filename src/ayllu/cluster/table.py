"""Who is there: a table of the other machines, fed with signs of life and with their records.

A machine is in it while its token is alive and its record is fresh. Zenoh loses a token now and
then when many machines come at once, so one that answers a question is in it too, for a while.
Nothing here waits or talks: `now` is seconds of a monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct, structs

from ayllu.cluster.record import Pulse, Record
from ayllu.cluster.seal import Sealed
from ayllu.cluster.view import Member, State

SILENT_SECONDS = 15.0
"""A machine whose token is alive but that says nothing for so long is stuck, and counts as gone."""
QUIET_SECONDS = 8.0
"""Machines speak more often than that: what one says may be lost on its way to us, for good."""
RETURN_SECONDS = 3.0
"""How long a machine may be gone that said it comes back, and all while our own bus was closed."""
CLONED = "two machines use this identity: one of them is a copy, and must get one of its own"
_KEPT_SECONDS = 7200.0
"""How long it is known when a machine spoke last, so that nobody can repeat what it said."""
_RIVAL_RECORDS = 2
_RIVAL_SECONDS = 60.0


class Change(Struct, frozen=True):
    """What happened to a machine, by its id."""

    kind: Literal["joined", "changed", "left", "set_aside"]
    node: str


class _Entry:
    """All that is known of a machine. `said` is the time of its last envelope, by its own clock.

    `changed` is the order of the last whole record; pulses bring its load up to date.
    """

    def __init__(self) -> None:
        self.record: Record | None = None
        self.changed = (0, 0)
        self.said = 0.0
        self.heard = 0.0
        self.alive = False
        self.until = 0.0
        self.rivals = 0
        self.rival_until = 0.0


class Table:
    """The other machines. `on_change` is told after each change, not before."""

    def __init__(self, on_change: Callable[[Change], None]) -> None:
        self._on_change = on_change
        self._entries: dict[str, _Entry] = {}
        self._aside: dict[str, str] = {}
        self._shown: dict[str, Member] = {}

    def members(self) -> tuple[Member, ...]:
        """Those that are there."""
        return tuple(self._shown.values())

    def member(self, node: str) -> Member | None:
        """One of them."""
        return self._shown.get(node)

    def unknown(self) -> tuple[str, ...]:
        """The machines that are alive and have said nothing yet."""
        return tuple(
            node for node, entry in self._entries.items() if entry.alive and entry.record is None
        )

    def quiet(self, now: float) -> tuple[str, ...]:
        """The machines that are alive, have spoken before, and now say nothing."""
        return tuple(
            node
            for node, entry in self._entries.items()
            if entry.alive and entry.record is not None and now - entry.heard > QUIET_SECONDS
        )

    def appear(self, node: str, now: float) -> None:
        """Its token is alive."""
        entry = self._entries.setdefault(node, _Entry())
        entry.alive = True
        self._show(node, now)

    def vanish(self, node: str, now: float) -> None:
        """Its token is gone."""
        entry = self._entries.get(node)
        if entry is not None:
            entry.alive = False
            returns = entry.record is not None and entry.record.returns
            entry.until = now + RETURN_SECONDS if returns else now
            self._show(node, now)

    def hear(self, sealed: Sealed, record: Record, now: float, *, answered: bool = False) -> str:
        """A machine's record; why it was dropped, or an empty text.

        `answered` says that it was sealed for us just now, because we asked.
        """
        entry = self._entries.setdefault(record.node, _Entry())
        if entry.record is None or record.order > entry.record.order:
            entry.record = record
            entry.changed = record.order
        elif record.order < entry.record.order:
            return self._older(entry, sealed, record.epoch, now)
        elif sealed.time <= entry.said:
            return "" if sealed.time == entry.said else "a record that was heard before"
        self._note(entry, sealed, now, answered=answered)
        return ""

    def feel(self, sealed: Sealed, pulse: Pulse, now: float) -> str | None:
        """A machine's pulse; why it was dropped, or an empty text. None asks for the whole record.

        That is where none is known, or one from before something else than the load changed.
        """
        entry = self._entries.setdefault(sealed.node, _Entry())
        if entry.record is None or (pulse.epoch, pulse.changed) > entry.changed:
            return None
        if (pulse.epoch, pulse.counter) < entry.record.order:
            return self._older(entry, sealed, pulse.epoch, now)
        if sealed.time <= entry.said:
            return "a pulse that was heard before"
        entry.record = structs.replace(entry.record, counter=pulse.counter, load=pulse.load)
        self._note(entry, sealed, now)
        return ""

    def _note(self, entry: _Entry, sealed: Sealed, now: float, *, answered: bool = False) -> None:
        """A sign of life."""
        entry.said = max(entry.said, sealed.time)
        entry.heard = now
        if not entry.alive and (answered or now < entry.until):
            entry.until = max(entry.until, now + SILENT_SECONDS)
        self._show(sealed.node, now)

    def _older(self, entry: _Entry, sealed: Sealed, epoch: int, now: float) -> str:
        """What is of an earlier life and said only now comes from a second machine."""
        is_earlier_life = entry.record is not None and epoch < entry.record.epoch
        if is_earlier_life and sealed.time > entry.said:
            entry.said = sealed.time
            entry.rivals += 1
            entry.rival_until = now + _RIVAL_SECONDS
            if entry.rivals >= _RIVAL_RECORDS:
                self.set_aside(sealed.node, CLONED, now)
        return "a record that is older than the last"

    def set_aside(self, node: str, reason: str, now: float) -> None:
        """Use a machine no more while this server runs, or while it has a copy."""
        self._aside.setdefault(node, reason)
        self._show(node, now)

    def is_set_aside(self, node: str) -> bool:
        """Whether it is not to be used."""
        return node in self._aside

    def remove(self, node: str, now: float) -> None:
        """Forget a machine that is no member any more."""
        self._entries.pop(node, None)
        self._show(node, now)

    def lose_sight(self) -> None:
        """Our own bus closes: those that are there stay so until it opens again."""
        for node, entry in self._entries.items():
            entry.alive = False
            if node in self._shown:  # who is gone stays gone
                entry.until = float("inf")

    def look_again(self, now: float) -> None:
        """Our bus is open again, or this machine slept: all have a moment to be seen."""
        for entry in self._entries.values():
            entry.heard = now
            if not entry.alive:
                entry.until = min(entry.until, now + RETURN_SECONDS)

    def tick(self, now: float) -> None:
        """Time has passed."""
        for node, entry in list(self._entries.items()):
            if self._aside.get(node) == CLONED and now >= entry.rival_until:
                del self._aside[node]
                entry.rivals = 0
            self._show(node, now)
            if not entry.alive and now >= max(entry.until, entry.heard) + _KEPT_SECONDS:
                del self._entries[node]

    def _show(self, node: str, now: float) -> None:
        """Bring what is shown of a machine up to date, and tell of it."""
        was, now_is = self._shown.get(node), self._seen(node, now)
        if now_is == was:
            return
        if now_is is None:
            del self._shown[node]
            self._on_change(Change("left", node))
            return
        self._shown[node] = now_is
        if was is None:
            self._on_change(Change("joined", node))
        elif now_is.state == "set_aside" and was.state != "set_aside":
            self._on_change(Change("set_aside", node))
        else:
            self._on_change(Change("changed", node))

    def _seen(self, node: str, now: float) -> Member | None:
        entry = self._entries.get(node)
        if entry is None or entry.record is None:
            return None
        is_heard = now - entry.heard <= SILENT_SECONDS
        if not (is_heard if entry.alive else now < entry.until):
            return None
        reason = self._aside.get(node, "")
        return Member(entry.record, _state(entry.record, reason), reason)


def _state(record: Record, reason: str) -> State:
    if reason:
        return "set_aside"
    return "returning" if record.returns else "online"
