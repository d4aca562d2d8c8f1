"""A training on a terminal: one bar with steps, losses, speed and time left.

Imported only where something is drawn: rich takes its time.
"""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Column

from ayllu.cli.print import clean_line
from ayllu.cli.tune_watch import OVER
from ayllu.cli.wire_tune import Event, Job, Report

_HINTS = {
    "measuring": "the time and the memory of a few steps",
    "waiting": "for the job before it",
}
"""What is done in a state in which the server tells no more of it."""


class TuneBar:
    """The states of a job, each on a line of its own that stays, with a bar while it trains."""

    def __init__(self) -> None:
        self._state = ""
        self._task: TaskID | None = None
        self._validation = ""
        self._progress = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(None, table_column=Column(ratio=1, min_width=8)),
            TextColumn("{task.fields[said]}", markup=False, table_column=Column(no_wrap=True)),
            console=Console(stderr=True),
            expand=True,
        )
        self._progress.start()

    def job(self, job: Job) -> None:
        """Begin a line for a new state, and say what is done within it."""
        if job.state != self._state:
            self._end()
            self._state = job.state
            if job.state not in OVER:
                self._task = self._progress.add_task(job.state, total=None, said="")
        if self._task is not None and job.state != "training":
            self._progress.update(
                self._task,
                completed=job.doing.completed,
                total=job.doing.total or None,
                said=clean_line(job.doing.status or _HINTS.get(job.state, "")),
            )

    def step(self, report: Report, event: Event) -> None:
        """Move the bar of the training."""
        if report.validation_loss is not None:
            self._validation = f"  val {report.validation_loss:.3f}"
        if self._task is None or self._state != "training":
            return
        left = _clock(event.seconds_left) if report.step < report.steps else "done"
        self._progress.update(
            self._task,
            completed=report.step,
            total=report.steps,
            said=f"{report.step}/{report.steps}  loss {report.loss:.3f}{self._validation}"
            f"  {event.tokens_per_second:.0f} tok/s  {left}",
        )

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Draw a last time; what is not done stays so."""
        self._progress.stop()

    def _end(self) -> None:
        if self._task is not None:
            task = next(one for one in self._progress.tasks if one.id == self._task)
            total = task.total or 1
            self._progress.update(self._task, total=total, completed=total)
            self._task = None


def _clock(seconds: float) -> str:
    """`1:02:03`, or `2:03` under an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
