"""Requests and answers of the routes for fine-tuning, which are ours. Times are RFC 3339."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from ayllu.server.schemas import NEEDED, TEXT, Name, said
from ayllu.trainer.spec import Ended, Measured, Parallel, Report, Settings
from ayllu.tune.curves import Curves
from ayllu.tune.job import Order, State
from ayllu.tune.jobs import Doing
from ayllu.tune.prepare import Prepared

MOST_FILES = 10_000
_Digest = Annotated[str, said({**TEXT, "pattern": "^sha256[:-][0-9a-fA-F]{64}$"})]
_Path = Annotated[str, Meta(min_length=1, max_length=1024)]


class TuneRequest(Order, frozen=True, kw_only=True):
    """POST /api/tune. The settings are those of `trainer.spec`.

    `node` is the machine of the ayllu that is to train, by its name or id; without one it is the
    one that would be done first. `digest` is that of the base's manifest, where it has to be that.
    """

    model: Name = ""
    data: Annotated[
        dict[_Path, _Digest], Meta(max_length=MOST_FILES), said({"minProperties": 1, **NEEDED})
    ] = field(default_factory=dict)
    node: str = ""
    digest: str = ""
    preview: bool = False


class Preview(Struct, frozen=True, kw_only=True):
    """What a training would be; nothing was begun.

    `estimated_memory` and `free_memory` are bytes. Where that does not fit, `problem` says so, and
    nothing was measured.
    """

    model: str
    name: str
    settings: Settings
    examples: Prepared
    steps: int
    estimated_memory: int
    free_memory: int
    estimated_seconds: float
    measured: Measured | None = None
    problem: str = ""


class TuneJob(Struct, frozen=True, kw_only=True):
    """A job: `model` is the base, `name` the model that comes of it.

    `node` is the name of the machine that does it, where that is another one. What has not happened
    yet is 0 or empty. Losses are nats per token, of the last step
    reported; `validation_loss` is of the last evaluation.
    """

    id: str
    model: str
    name: str
    state: State
    error: str = ""
    created_at: str
    started_at: str = ""
    ended_at: str = ""
    doing: Doing = Doing()
    step: int = 0
    steps: int = 0
    loss: float = 0.0
    validation_loss: float | None = None
    tokens_per_second: float = 0.0
    seconds_left: float = 0.0
    node: str = ""


class Begun(Struct, frozen=True, omit_defaults=True):
    """What POST /api/tune answers: the job that was begun, or what was only to be seen."""

    job: TuneJob | None = None
    preview: Preview | None = None


class Request(Struct, frozen=True):
    """POST /api/tune/{job}/cancel and resume: an empty object."""


class TuneJobs(Struct, frozen=True):
    """GET /api/tune: the newest first."""

    jobs: tuple[TuneJob, ...]


class File(Struct, frozen=True):
    """A file of what was trained; `size` is in bytes."""

    name: str
    size: int


class ShownJob(TuneJob, frozen=True, kw_only=True):
    """GET /api/tune/{id}: a job with all that is known of it.

    `settings` are as they were asked for until the data is prepared, from then on as they are used.
    """

    digest: str
    architecture: str
    data: dict[str, str]
    settings: Settings
    merge: bool
    quantize: str
    system: str | None
    estimated_memory: int
    examples: Prepared | None = None
    measured: Measured | None = None
    ended: Ended | None = None
    parallel: Parallel | None = None
    curves: Curves = Curves()
    files: tuple[File, ...] = ()


class JobEvent(Struct, frozen=True, tag_field="type", tag="job"):
    """How a job is now: the first event, and one after each change of what is not a step."""

    job: TuneJob


class StepEvent(Struct, frozen=True, tag_field="type", tag="step"):
    """A step that was reported."""

    report: Report
    tokens_per_second: float
    seconds_left: float


TuneEvent = JobEvent | StepEvent


class Deleted(Struct, frozen=True):
    """The job that is none any more."""

    id: str
