"""Progress on a terminal: rich's bars with speed and time left, and a spinner for the other steps.

Imported only where something is drawn: rich takes its time.
"""

from __future__ import annotations

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Column
from rich.text import Text

from ayllu.cli.print import clean_line
from ayllu.cli.wire import ProgressLine


class _Measured(ProgressColumn):
    """A column of transfers alone. `after` stands in its place once they are done."""

    def __init__(self, inner: ProgressColumn, *, after: bool = True) -> None:
        super().__init__(inner.get_table_column())
        self._inner = inner
        self._after = after

    def render(self, task: Task) -> RenderableType:
        """What the inner column shows, or nothing."""
        shown = task.total and (self._after or not task.finished)
        return self._inner(task) if shown else Text()


class _State(ProgressColumn):
    """How much of a transfer is done; for a step, whether it goes on."""

    def __init__(self) -> None:
        super().__init__(Column(no_wrap=True))
        self._spinner = SpinnerColumn()

    def render(self, task: Task) -> RenderableType:
        """A percentage or a spinner."""
        if task.total:
            return Text(f"{int(task.percentage):3d}%")
        return Text() if task.stop_time else self._spinner.render(task)


class _Amounts(ProgressColumn):
    """How much of how much: bytes, and whence they came, or pieces of a unit."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes = DownloadColumn()

    def render(self, task: Task) -> RenderableType:
        """Both amounts and the unit."""
        if unit := task.fields["unit"]:
            return Text(f"{task.completed:.0f}/{task.total:.0f} {unit}", style="progress.download")
        amounts = self._bytes.render(task)
        if shares := task.fields["shares"]:
            amounts.append(f" ({shares})", style="dim")
        return amounts


class _Speed(TransferSpeedColumn):
    """Bytes per second; pieces tell nobody anything by their speed."""

    def render(self, task: Task) -> Text:
        """The speed of a transfer."""
        return Text() if task.fields["unit"] else super().render(task)


class Bars:
    """The steps of a task, drawn on stderr from `start` to `close`, which leaves them standing."""

    def __init__(self) -> None:
        self._tasks: dict[str, TaskID] = {}
        self._step: TaskID | None = None
        self._progress = RichProgress(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            _State(),
            _Measured(BarColumn(None, table_column=Column(ratio=1, min_width=5))),
            _Measured(_Amounts()),
            _Measured(_Speed(), after=False),
            _Measured(TimeRemainingColumn(), after=False),
            console=Console(stderr=True),
            expand=True,
        )
        self._progress.start()

    def step(self, text: str) -> None:
        """Begin a step without a measure, which ends the one before."""
        self._end_step()
        task = self._progress.add_task(text, total=None, unit="", shares="")
        self._step = self._tasks[text] = task

    def transfer(self, key: str, label: str, line: ProgressLine) -> None:
        """Begin or move a transfer, of bytes where the line has no unit."""
        completed, total = line.completed, line.total
        if key not in self._tasks:
            self._end_step()
            self._tasks[key] = self._progress.add_task(
                f"{label}:",
                total=total,
                completed=completed,
                unit=clean_line(line.unit),
                shares="",
            )
        self._progress.update(
            self._tasks[key], completed=completed, total=total, shares=line.shares
        )

    def close(self) -> None:
        """Draw a last time."""
        self._end_step()
        self._progress.stop()

    def _end_step(self) -> None:
        if self._step is not None:
            self._progress.stop_task(self._step)
            self._step = None
