"""The jobs of `ayllu tune`: listed, shown, watched, ended, resumed, removed; and what they made."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import click

from ayllu.cli.client import Client, call
from ayllu.cli.plot import plot
from ayllu.cli.print import (
    clean_line,
    human_duration,
    human_number,
    note,
    relative_time,
    write_table,
)
from ayllu.cli.tune_watch import follow_job, staying
from ayllu.cli.wire_tune import Deleted, Job, Jobs, Parallel, ShownJob
from ayllu.errors import BadRequestError
from ayllu.models.files import make_folder
from ayllu.types import Json
from ayllu.values import human_bytes

PATH = "/api/tune"


@click.command("list")
def list_jobs() -> None:
    """List the jobs, the newest first."""
    jobs = call(lambda client: client.get(PATH, Jobs)).jobs
    now = datetime.now(UTC)
    header = ("ID", "NAME", "BASE", "STATE", "STEP", "LOSS", "VAL", "BEGUN", "NODE")
    shown = len(header) if any(job.node for job in jobs) else -1
    write_table(header[:shown], [_row(job, now)[:shown] for job in jobs])


def _row(job: Job, now: datetime) -> tuple[str, ...]:
    validation = job.validation_loss
    return (
        job.id,
        job.name,
        job.model,
        job.state,
        f"{job.step}/{job.steps}" if job.steps else "",
        f"{job.loss:.3f}" if job.step else "",
        f"{validation:.3f}" if validation is not None else "",
        relative_time(job.created_at, now) if job.created_at else job.error,
        job.node,
    )


@click.command()
@click.argument("job")
def show(job: str) -> None:
    """Show a job: its settings, its data, its losses."""
    _write(call(lambda client: client.get(f"{PATH}/{quote(job)}", ShownJob)))


def _write(job: ShownJob) -> None:
    rows = {
        "job": job.id,
        "base": job.model,
        "model": job.name,
        "state": f"{job.state}: {job.error}" if job.error else job.state,
        "data": ", ".join(job.data),
    }
    if (examples := job.examples) is not None:
        rows["examples"] = (
            f"{examples.examples}, {examples.held} of them for validation; "
            f"{examples.trained_tokens} of {examples.tokens} tokens are trained on"
        )
    if (measured := job.measured) is not None:
        rows["parameters"] = (
            f"{human_number(measured.parameters)} of {human_number(measured.all_parameters)}, "
            f"on {measured.device} in {measured.dtype}"
        )
        rows["memory"] = human_bytes(measured.peak)
    if job.step:
        rows["steps"] = f"{job.step} of {job.steps}, {job.tokens_per_second:.0f} tokens/s"
        rows["loss"] = f"{job.loss:.4f}"
    if job.parallel is not None and (said := _machines(job.parallel)):
        rows["machines"] = said
    if job.validation_loss is not None:
        rows["validation loss"] = f"{job.validation_loss:.4f}"
    if job.seconds_left:
        rows["time left"] = human_duration(job.seconds_left)
    if job.files:
        rows["files"] = ", ".join(f"{one.name} ({human_bytes(one.size)})" for one in job.files)
    rows["settings"] = ", ".join(
        f"{name} {_said(value)}" for name, value in job.settings.items() if value not in ((), [])
    )
    for name, text in rows.items():
        print(f"{name:<17}{clean_line(text)}")
    if len(job.curves.loss) > 1:
        print("\n" + plot(job.curves.loss, job.curves.validation_loss))


def _machines(parallel: Parallel) -> str:
    """Who computes the steps, and whether that is worth it; empty while nobody knows."""
    aside = ", ".join(f"{name} ({speedup:.1f} times)" for name, speedup in parallel.aside.items())
    if parallel.machines:
        names = ", ".join(parallel.machines)
        rest = f"; not worth it: {aside}" if aside else ""
        return (
            f"{1 + len(parallel.machines)}, {parallel.speedup:.1f} times as fast with {names}{rest}"
        )
    return f"1, for with another it would not be faster: {aside}" if aside else ""


def _said(value: Json) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else f"{value}"


@click.command()
@click.argument("job")
def watch(job: str) -> None:
    """Follow a job to its end."""
    with staying() as watched:
        watched.append(job)
        call(lambda client: follow_job(client, job))


@click.command()
@click.argument("job")
def cancel(job: str) -> None:
    """End a job; what it has learned so far is kept, and it can be resumed."""
    ended = call(lambda client: client.post(f"{PATH}/{quote(job)}/cancel", {}, Job))
    print(f"{ended.id} is cancelled: `ayllu tune resume {ended.id}` goes on with it.")


@click.command()
@click.argument("job")
@click.option("--detach", is_flag=True, help="Do not wait for the end.")
def resume(job: str, detach: bool) -> None:
    """Go on with a job that was cancelled or has failed, from its last checkpoint."""
    with staying() as watched:
        call(lambda client: _resume(client, job, watched, waits=not detach))


async def _resume(client: Client, job: str, watched: list[str], *, waits: bool) -> None:
    begun = await client.post(f"{PATH}/{quote(job)}/resume", {}, Job)
    watched.append(begun.id)
    if waits:
        await follow_job(client, begun.id)
    else:
        print(f"{begun.id} goes on.")


@click.command("rm")
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True)
def remove(jobs: tuple[str, ...]) -> None:
    """Remove jobs and what they have kept, not the models that came of them."""
    call(lambda client: _remove(client, jobs))


async def _remove(client: Client, jobs: tuple[str, ...]) -> None:
    for job in jobs:
        gone = await client.delete(f"{PATH}/{quote(job)}", Deleted)
        print(f"removed {clean_line(gone.id)}")


@click.command()
@click.argument("job")
@click.argument("folder")
def export(job: str, folder: str) -> None:
    """Write what was trained to FOLDER, in Hugging Face's form: a PEFT adapter, or all weights."""
    target = Path(folder).expanduser()
    if target.exists() and not target.is_dir():
        raise BadRequestError(f"{target} is no folder")
    call(lambda client: _export(client, job, target))


async def _export(client: Client, job: str, folder: Path) -> None:
    path = f"{PATH}/{quote(job)}"
    shown = await client.get(path, ShownJob)
    if not shown.files:
        raise BadRequestError(f"job {job} is {shown.state}: it has no result yet")
    for file in shown.files:
        name = Path(file.name).name
        try:
            make_folder(folder)
            await client.download(f"{path}/files/{quote(file.name)}", folder / name)
        except OSError as error:
            raise BadRequestError(f"{folder / name} cannot be written: {error.strerror}") from error
        note(f"{folder / name} ({human_bytes(file.size)})")
