"""What the server's answers about fine-tuning look like, as far as the command line reads them."""

from __future__ import annotations

from msgspec import Struct

from ayllu.types import Json


class Doing(Struct, frozen=True):
    """What a job does within its state."""

    status: str = ""
    completed: int = 0
    total: int = 0


class Job(Struct, frozen=True, kw_only=True):
    """A row of GET /api/tune: `model` is the base, `name` the model that comes of it.

    `node` is the machine that does it, where that is another one.
    """

    id: str
    model: str
    name: str
    state: str
    error: str = ""
    created_at: str = ""
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


class Jobs(Struct, frozen=True):
    """GET /api/tune."""

    jobs: tuple[Job, ...] = ()


class Report(Struct, frozen=True, kw_only=True):
    """A step's end."""

    step: int
    steps: int
    loss: float
    validation_loss: float | None = None
    seconds: float = 0.0


class Event(Struct, frozen=True, kw_only=True):
    """An event of GET /api/tune/{id}/events: how a job is now, or a step that was reported."""

    job: Job | None = None
    report: Report | None = None
    tokens_per_second: float = 0.0
    seconds_left: float = 0.0


class Segment(Struct, frozen=True):
    """A part of an example."""

    text: str
    trained: bool
    tokens: int = 0


class Sample(Struct, frozen=True):
    """An example as the model sees it."""

    file: str
    line: int
    segments: tuple[Segment, ...] = ()


class BadRow(Struct, frozen=True):
    """A row that was left out, and why."""

    file: str
    line: int
    reason: str


class Examples(Struct, frozen=True, kw_only=True):
    """What the data came to."""

    examples: int
    held: int = 0
    rows: int = 0
    shapes: dict[str, int] = {}
    bad: tuple[BadRow, ...] = ()
    bad_count: int = 0
    truncated: int = 0
    dropped: int = 0
    unthought: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    longest: int = 0
    context: int = 0
    samples: tuple[Sample, ...] = ()


class Measured(Struct, frozen=True, kw_only=True):
    """What some steps took. `peak` is in bytes."""

    seconds_per_step: float = 0.0
    tokens_per_step: float = 0.0
    peak: int = 0
    parameters: int = 0
    all_parameters: int = 0
    device: str = ""
    dtype: str = ""


class Preview(Struct, frozen=True, kw_only=True):
    """What a training would be."""

    model: str
    name: str
    settings: dict[str, Json]
    examples: Examples
    steps: int = 0
    estimated_memory: int = 0
    free_memory: int = 0
    estimated_seconds: float = 0.0
    measured: Measured | None = None
    problem: str = ""


class Begun(Struct, frozen=True):
    """POST /api/tune."""

    job: Job | None = None
    preview: Preview | None = None


class Parallel(Struct, frozen=True):
    """The other machines that help, how many times as fast it is, and those that were put aside."""

    machines: tuple[str, ...] = ()
    speedup: float = 0.0
    aside: dict[str, float] = {}


class Curves(Struct, frozen=True):
    """Losses by their steps."""

    loss: tuple[tuple[int, float], ...] = ()
    validation_loss: tuple[tuple[int, float], ...] = ()


class File(Struct, frozen=True):
    """A file of what was trained."""

    name: str
    size: int = 0


class ShownJob(Job, frozen=True, kw_only=True):
    """GET /api/tune/{id}."""

    data: dict[str, str] = {}
    settings: dict[str, Json] = {}
    merge: bool = False
    quantize: str = ""
    estimated_memory: int = 0
    examples: Examples | None = None
    measured: Measured | None = None
    parallel: Parallel | None = None
    curves: Curves = Curves()
    files: tuple[File, ...] = ()


class Deleted(Struct, frozen=True):
    """DELETE /api/tune/{id}."""

    id: str
