"""What a person would see on a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def on_a_terminal(
    environment: Mapping[str, str], *arguments: str
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """`ayllu` on a pseudo-terminal of its own, and our end of it; ended after the block."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "ayllu", *arguments],
        env={**environment, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield ours, process
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(terminal: int, words: str, seconds: float = 30.0) -> str:
    """What the terminal shows up to some words, control sequences left out."""
    seen, deadline = "", time.monotonic() + seconds
    while words not in seen:
        assert time.monotonic() < deadline, f"{words!r} never came after {seen!r}"
        if select.select([terminal], [], [], 0.2)[0]:
            data = os.read(terminal, 1 << 16).decode("utf-8", "replace")
            seen += re.sub(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|[()>=].?)", "", data)
    return seen
