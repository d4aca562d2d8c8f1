"""What a person would see on a pseudo-terminal."""

from __future__ import annotations

import os
import re
import select
import time


def read_until(terminal: int, words: str, seconds: float = 30.0) -> str:
    """What the terminal shows up to some words, control sequences left out."""
    seen, deadline = "", time.monotonic() + seconds
    while words not in seen:
        assert time.monotonic() < deadline, f"{words!r} never came after {seen!r}"
        if select.select([terminal], [], [], 0.2)[0]:
            data = os.read(terminal, 1 << 16).decode("utf-8", "replace")
            seen += re.sub(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|[()>=].?)", "", data)
    return seen
