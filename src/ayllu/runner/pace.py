"""How long an engine may be silent whose model has parts on other machines. Pure: no clock.

Such an engine can wait for ever for a machine that froze, over connections that look well. What
tells is the answer itself: its steps come in a rhythm of their own. All streams of an engine go
step by step together, so the slowest of them is the measure: while another prompt is read, steps
take longer.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

PATIENCE = 5.0
"""How many of its longest usual gaps a stream may be silent."""

LEAST_SECONDS = 3.0
"""A silence that is never too long."""

_WINDOW = 128
_STEP_SECONDS = 0.5


class Pace:
    """The rhythm of one stream: batches of its prompt, and then tokens.

    `begun` says that something came.
    """

    def __init__(self) -> None:
        self.begun = False
        self._gaps = deque[float](maxlen=_WINDOW)

    def heard(self, gap: float) -> None:
        """Something came after so many seconds. The first wait, for a free slot, tells nothing."""
        if self.begun:
            self._gaps.append(gap)
        self.begun = True

    @property
    def longest(self) -> float | None:
        """Seconds that this stream may be silent; None before there is a first gap."""
        if not self._gaps:
            return None
        place = math.ceil(0.99 * len(self._gaps)) - 1
        return max(PATIENCE * sorted(self._gaps)[place], LEAST_SECONDS)


def longest_silence(paces: Iterable[Pace], generous: float) -> float:
    """Seconds that an engine with these streams may be silent, rounded up to half ones.

    At most `generous`, and that where there is a stream of which nothing is known.
    """
    slowest = 0.0
    for pace in paces:
        if (longest := pace.longest) is None:
            return generous
        slowest = max(slowest, longest)
    return min(math.ceil(slowest / _STEP_SECONDS) * _STEP_SECONDS, generous)
