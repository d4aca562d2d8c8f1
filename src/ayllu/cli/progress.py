"""Progress on stderr: spinners and bars on a terminal, one line per status elsewhere."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TypeVar

from ayllu.cli.print import clean_line, human_bytes, human_duration, width_of
from ayllu.cli.wire import ProgressLine
from ayllu.errors import AylluError

Line = TypeVar("Line", bound=ProgressLine)

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
TICK_SECONDS = 0.1
SMALLEST_BAR = 10


class Spinner:
    """A turning sign with a label, on a terminal only; `stop` erases it and may be called twice."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._task = asyncio.create_task(self._turn()) if sys.stderr.isatty() else None

    async def _turn(self) -> None:
        for frame in itertools.cycle(FRAMES):
            sys.stderr.write(f"\r{self._label} {frame} \x1b[K")
            sys.stderr.flush()
            await asyncio.sleep(TICK_SECONDS)

    def stop(self) -> None:
        """Erase the spinner."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@asynccontextmanager
async def spinning(label: str) -> AsyncIterator[None]:
    """Turn a spinner while the block runs."""
    spinner = Spinner(label)
    try:
        yield
    finally:
        spinner.stop()


class Bar:
    """How far one transfer is. Sizes are in bytes, times in seconds of the monotonic clock.

    With a `unit`, what is counted are its pieces.
    """

    def __init__(self, label: str, total: int, start: int, now: float, unit: str = "") -> None:
        self.label = label
        self.total = total
        self._unit = unit
        self.completed = self._first = start
        self._started = now

    def line(self, columns: int, now: float) -> str:
        """`label: 45% ▕███   ▏ 2.1 GB/4.7 GB 45 MB/s 1m`, cut to fit."""
        part = min(self.completed / self.total, 1.0) if self.total > 0 else 0.0
        left = f"{self.label}: {int(part * 100):3d}% "
        right = f" {self._amounts()}{self._rate(now)}"
        cells = columns - width_of(left) - width_of(right) - 3
        if cells < SMALLEST_BAR:
            return (left + right)[: columns - 1]
        filled = int(cells * part)
        return f"{left}▕{'█' * filled}{' ' * (cells - filled)}▏{right}"

    def _amounts(self) -> str:
        if self._unit:
            return f"{self.completed}/{self.total} {self._unit}"
        return f"{human_bytes(self.completed)}/{human_bytes(self.total)}"

    def _rate(self, now: float) -> str:
        moved, seconds = self.completed - self._first, now - self._started
        if moved <= 0 or seconds < 1 or self.completed >= self.total:
            return ""
        rate = moved / seconds
        speed = "" if self._unit else f"  {human_bytes(int(rate))}/s"
        return f"{speed}  {human_duration((self.total - self.completed) / rate)}"


class Progress:
    """What the steps of a long task look like; `showing` opens and closes it."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._lines: dict[str, Bar | str] = {}
        self._drawn = 0
        self._frames = itertools.cycle(FRAMES)

    def status(self, text: str) -> None:
        """Begin a step without a measure."""
        self._begin(text, clean_line(text))

    def bar(self, key: str, label: str, completed: int, total: int, unit: str = "") -> None:
        """Begin or move a transfer."""
        line = self._lines.get(key)
        if isinstance(line, Bar):
            line.completed, line.total = completed, total
        else:
            now, unit = time.monotonic(), clean_line(unit)
            self._begin(key, Bar(clean_line(label), total, completed, now, unit))

    def _begin(self, key: str, line: Bar | str) -> None:
        if key in self._lines:
            return
        self._lines[key] = line
        if not self._live:
            print(line if isinstance(line, str) else line.label, file=sys.stderr, flush=True)

    async def turn(self) -> None:
        """Draw again and again until cancelled."""
        while True:
            self.draw(turning=True)
            await asyncio.sleep(TICK_SECONDS)

    def draw(self, *, turning: bool) -> None:
        """Draw over what was drawn before; on a terminal only."""
        if not self._live or not self._lines:
            return
        columns, rows = _terminal_size()
        now = time.monotonic()
        shown = list(self._lines.values())[-(rows - 1) :]
        texts = [
            line.line(columns, now) if isinstance(line, Bar) else line[: columns - 3]
            for line in shown
        ]
        if turning and isinstance(shown[-1], str):
            texts[-1] += f" {next(self._frames)}"
        up = f"\x1b[{self._drawn - 1}A" if self._drawn > 1 else ""
        sys.stderr.write(f"\r{up}" + "\n".join(f"{text}\x1b[K" for text in texts))
        sys.stderr.flush()
        self._drawn = len(texts)

    def close(self) -> None:
        """Draw a last time and leave the lines standing."""
        self.draw(turning=False)
        if self._drawn:
            sys.stderr.write("\n")
            sys.stderr.flush()


def _terminal_size() -> tuple[int, int]:
    """Columns and rows of the terminal on stderr, never fewer than it takes to draw."""
    with suppress(OSError):
        columns, rows = os.get_terminal_size(sys.stderr.fileno())
        return max(columns, 20), max(rows, 2)
    return 80, 24


@asynccontextmanager
async def showing() -> AsyncIterator[Progress]:
    """Show progress while the block runs."""
    progress = Progress()
    task = asyncio.create_task(progress.turn())
    try:
        yield progress
    finally:
        task.cancel()
        progress.close()


async def follow(lines: AsyncGenerator[Line, None], progress: Progress | None = None) -> Line:
    """Follow the server's progress to its last line, and show it where `progress` is given.

    Raises AylluError when the server stops before it reports success.
    """
    last = None
    async with aclosing(lines):
        async for line in lines:
            last = line
            if progress is not None:
                _show(line, progress)
    if last is None or last.status != "success":
        raise AylluError("the server stopped before it was done")
    return last


def _show(line: ProgressLine, progress: Progress) -> None:
    if line.total > 0:
        key = line.digest or line.status
        progress.bar(key, line.status, line.completed, line.total, line.unit)
    elif line.status:
        progress.status(line.status)
