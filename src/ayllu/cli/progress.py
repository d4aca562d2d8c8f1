"""Progress on stderr: spinners and bars on a terminal, one line per status elsewhere."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from ayllu.cli.print import clean_line, note
from ayllu.cli.wire import ProgressLine
from ayllu.errors import AylluError

if TYPE_CHECKING:
    from ayllu.cli.bars import Bars

Line = TypeVar("Line", bound=ProgressLine)

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
TICK_SECONDS = 0.1


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


class Progress:
    """What the steps of a long task look like; `close` ends it.

    Bars on a terminal, elsewhere a line for each step. `begun` has the texts of the steps so far,
    and the keys of the transfers.
    """

    def __init__(self) -> None:
        self.begun: set[str] = set()
        self._bars: Bars | None = None
        if sys.stderr.isatty():
            from ayllu.cli.bars import Bars

            self._bars = Bars()

    def status(self, text: str) -> None:
        """Begin a step without a measure."""
        if self._begins(text):
            if self._bars is not None:
                self._bars.step(clean_line(text))
            else:
                note(clean_line(text))

    def bar(self, line: ProgressLine) -> None:
        """Begin or move a transfer. Where other machines gave some of it, its end says so."""
        key, label = line.digest or line.status, clean_line(line.status)
        begins = self._begins(key)
        if self._bars is not None:
            self._bars.transfer(key, label, line)
            return
        if begins:
            note(label)
        if line.shares and line.completed == line.total and self._begins(f"{key} shares"):
            note(f"{label}: {line.shares}")

    def close(self) -> None:
        """Leave what was drawn standing."""
        if self._bars is not None:
            self._bars.close()

    def _begins(self, key: str) -> bool:
        """Whether a step is a new one."""
        begins = key not in self.begun
        self.begun.add(key)
        return begins


@asynccontextmanager
async def showing() -> AsyncIterator[Progress]:
    """Show progress while the block runs."""
    progress = Progress()
    try:
        yield progress
    finally:
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
        progress.bar(line)
    elif line.status:
        progress.status(line.status)
