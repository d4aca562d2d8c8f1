"""A job followed to its end: a bar with its losses on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from ayllu.cli.client import Client, ProtocolError, RefusedError
from ayllu.cli.print import clean_line, human_duration, note
from ayllu.cli.tune_preview import data_lines
from ayllu.cli.wire_tune import Event, Job, Jobs, Report, ShownJob
from ayllu.errors import AylluError

if TYPE_CHECKING:
    from ayllu.cli.tune_bars import TuneBar

OVER = frozenset({"done", "failed", "cancelled"})
AGAIN_SECONDS = 1.0
MOST_TRIES = 60
"""How often a server that is gone is asked again: it may be starting anew."""


@contextmanager
def staying() -> Iterator[list[str]]:
    """Say on Ctrl-C that the job in the list goes on, and how to come back to it."""
    job: list[str] = []
    try:
        yield job
    except KeyboardInterrupt:
        if job:
            note(
                f"\nThe job goes on: `ayllu tune watch {job[0]}` comes back to it, "
                f"`ayllu tune cancel {job[0]}` ends it."
            )
        raise


async def follow_job(client: Client, id_: str) -> None:
    """Show how a job goes until it is over; a server that starts anew is waited for.

    Raises AylluError where the job fails or is cancelled.
    """
    shown = _shown()
    tries = 0
    try:
        while True:
            try:
                job = await _follow(client, id_, shown)
            except (ProtocolError, RefusedError):
                tries += 1
                if tries > MOST_TRIES:
                    raise
            else:
                tries = 0
                if job is not None and job.state in OVER:
                    break
            await asyncio.sleep(AGAIN_SECONDS)
    finally:
        shown.close()
    if job.state == "failed":
        again = f"`ayllu tune resume {job.id}`"
        helps = job.step and again not in job.error
        raise AylluError(job.error + (f" ({again} goes on once that is mended)" if helps else ""))
    if job.state == "cancelled":
        raise AylluError(f"the job was cancelled: `ayllu tune resume {job.id}` goes on with it")
    print(f"{clean_line(job.name)} is ready: try `ayllu run {clean_line(job.name)}`")


async def _follow(client: Client, id_: str, shown: Lines | TuneBar) -> Job | None:
    """Show the events of one connection; returns the last that was said of the job."""
    job = None
    path = f"/api/tune/{quote(id_)}"
    async with aclosing(client.events(f"{path}/events", Event)) as events:
        async for event in events:
            if event.job is not None:
                was_preparing = job is not None and job.state == "preparing"
                job = event.job
                shown.job(job)
                if was_preparing and job.state not in {"preparing", *OVER}:
                    examples = (await client.get(path, ShownJob)).examples
                    for line in data_lines(examples) if examples else ():
                        shown.say(line)
            if event.report is not None:
                shown.step(event.report, event)
    return job


async def under_way(client: Client) -> list[str]:
    """A line for each job that is not over; none where the server, as Ollama, knows of no jobs."""
    try:
        jobs = (await client.get("/api/tune", Jobs)).jobs
    except AylluError:
        return []
    return [_brief(job) for job in reversed(jobs) if job.state not in OVER]


def _brief(job: Job) -> str:
    where = f" on {clean_line(job.node)}" if job.node else ""
    step = f", step {job.step} of {job.steps}" if job.step else ""
    left = f", {human_duration(job.seconds_left).lower()} left" if job.seconds_left else ""
    return (
        f"{clean_line(job.name)} is tuned from {clean_line(job.model)}{where}: "
        f"{job.state}{step}{left} (`ayllu tune watch {job.id}`)"
    )


class Lines:
    """What is said where no terminal is: each state, and now and then a step."""

    def __init__(self) -> None:
        self._said = ""
        self._tenth = -1

    def job(self, job: Job) -> None:
        """Say a new state."""
        if job.state != self._said:
            self._said = job.state
            if job.state not in OVER:
                note(f"{job.id}: {job.state}")

    def step(self, report: Report, event: Event) -> None:
        """Say a step where there was an evaluation, or a tenth of all is done."""
        tenth = report.step * 10 // max(1, report.steps)
        if report.validation_loss is None and tenth <= self._tenth:
            return
        self._tenth = max(tenth, self._tenth)
        validation = report.validation_loss
        heard = f", validation loss {validation:.4f}" if validation is not None else ""
        note(
            f"step {report.step} of {report.steps}: loss {report.loss:.4f}{heard}, "
            f"{event.tokens_per_second:.0f} tokens/s, "
            f"{human_duration(event.seconds_left).lower()} left"
        )

    def say(self, text: str) -> None:
        """Say a line."""
        note(text)

    def close(self) -> None:
        """Nothing is drawn."""


def _shown() -> Lines | TuneBar:
    if not sys.stderr.isatty():
        return Lines()
    from ayllu.cli.tune_bars import TuneBar

    return TuneBar()
