"""Machines that fail: which of them are left alone for a while. Pure: the caller has the clock.

Nothing is forbidden here. A machine in trouble is the last to be asked, not one that is never
asked: where nobody else has the model, it is still the best there is.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Set as AbstractSet

MOST_FAILURES = 3
FAILURES_SECONDS = 600.0
QUARANTINE_SECONDS = 600.0
"""So many failures within so many seconds put a machine into quarantine for so long."""
TOGETHER_SECONDS = 10.0
"""Requests that a machine loses within so many seconds are one failure of it."""
STABLE_SECONDS = 30.0
"""How long a machine that failed, or that came back, has to be there before it is used again."""
WORST = 3
"""The rank of a machine in quarantine."""


class Troubles:
    """What went wrong with each machine, by its id. Times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._failures: defaultdict[str, deque[float]] = defaultdict(deque)
        self._until: dict[str, float] = {}
        self._failed: dict[str, float] = {}
        self._returned: dict[str, float] = {}
        self._known: set[str] = set()
        self._online: frozenset[str] = frozenset()

    def look(self, online: AbstractSet[str], now: float) -> None:
        """The machines that are there now; one that was there before and went has returned."""
        for node in (online - self._online) & self._known:
            self._returned[node] = now
        self._known |= online
        self._online = frozenset(online)

    def fail(self, node: str, now: float) -> None:
        """A machine went, or said nothing, while it owed us something."""
        failures = self._failures[node]
        self._failed[node] = now
        if failures and now - failures[-1] < TOGETHER_SECONDS:
            return
        failures.append(now)
        while failures[0] <= now - FAILURES_SECONDS:
            failures.popleft()
        if len(failures) >= MOST_FAILURES:
            failures.clear()
            self._until[node] = now + QUARANTINE_SECONDS

    def quarantine(self, node: str, now: float) -> float:
        """Seconds for which a machine is still in quarantine; 0 where it is in none."""
        return max(self._until.get(node, now) - now, 0.0)

    def quarantined(self, now: float) -> dict[str, float]:
        """The machines in quarantine, and for how many seconds each still is."""
        return {node: until - now for node, until in self._until.items() if until > now}

    def rank(self, node: str, now: float) -> int:
        """0 for a machine to be used, 1 where it came back or 2 failed lately, 3 in quarantine."""
        if self.quarantine(node, now):
            return WORST
        lately = now - STABLE_SECONDS
        if self._failed.get(node, lately) > lately:
            return 2
        return int(self._returned.get(node, lately) > lately)

    def forgive(self, node: str) -> None:
        """Use a machine as if it had never failed: its owner wants it."""
        self._failures.pop(node, None)
        self._until.pop(node, None)
        self._failed.pop(node, None)
        self._returned.pop(node, None)
