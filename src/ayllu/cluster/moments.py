"""Times for people."""

from __future__ import annotations

import time


def moment(when: float) -> str:
    """Seconds since 1970 in UTC, as `2026-03-01 12:00:05 UTC`."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(when))
