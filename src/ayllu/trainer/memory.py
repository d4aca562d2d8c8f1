"""How much memory this program takes, and how much it may."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from pathlib import Path

import psutil


def peak() -> int:
    """The most bytes that this process ever had in memory at once."""
    with suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
        if found:
            return int(found[1]) << 10
    memory = psutil.Process().memory_info()
    return int(getattr(memory, "peak_wset", memory.rss))


def bound(room: int) -> None:
    """Let asking for more than so many bytes fail, instead of taking them from everybody else.

    And if the machine runs out of memory, let Linux end this process before any other of its user.
    """
    if sys.platform != "linux":
        return
    import resource  # noqa: PLC0415 - only where it is

    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("800", "ascii")
    if room:
        resource.setrlimit(resource.RLIMIT_DATA, (room, resource.RLIM_INFINITY))
