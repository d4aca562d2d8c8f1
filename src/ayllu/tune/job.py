"""A job as it lies on the disk: a folder with `job.json` beside the files of `trainer.spec`.

job.json        Job, written anew at each change
data/           the user's files, linked from the store
base.gguf       the base's weights, linked too: they stay while the job needs them
prepared.json   Prepared, once `examples.npz` is written
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct, field

from ayllu.cluster.folder import read, write
from ayllu.errors import BadRequestError, NotFoundError, StoreError
from ayllu.models.files import make_folder
from ayllu.models.store import Store
from ayllu.trainer import spec
from ayllu.trainer.spec import Ended, Measured, Parallel, Report, Settings, Work
from ayllu.tune.prepare import Prepared

T = TypeVar("T")

State = Literal[
    "preparing",
    "waiting",
    "measuring",
    "training",
    "finishing",
    "done",
    "failed",
    "cancelled",
]
ENDS = frozenset({"done", "failed", "cancelled"})
"""States in which nothing happens any more."""

JOB, DATA, BASE, PREPARED = "job.json", "data", "base.gguf", "prepared.json"


class Order(Settings, frozen=True, kw_only=True):
    """What is to be trained, beside how: `model` is the base, `name` what comes of it.

    `data` maps relative paths to digests of blobs. `merge` makes a model without an adapter,
    `quantize` is the type of its weights. `system` is its system prompt; None: the base's. `strict`
    refuses data with bad rows. With `data_parallel` other machines compute parts of the steps, as
    long as that is faster.
    """

    model: str = ""
    name: str = ""
    data: dict[str, str] = field(default_factory=dict)
    merge: bool = False
    quantize: str = ""
    system: str | None = None
    strict: bool = False
    data_parallel: bool = False

    @property
    def settings(self) -> Settings:
        """How to train, as far as it was said."""
        return Settings(**{name: getattr(self, name) for name in Settings.__struct_fields__})


class Job(Struct, frozen=True, kw_only=True):
    """Times are Unix seconds, 0 for what has not happened. `digest` is the base's manifest's.

    `starts` counts how often the training was started since `checkpoint`, the last one it wrote.
    `needs` is how many bytes of memory it takes by the estimate. `origin` is the machine of the
    ayllu whose user wants it, by its id; empty where that is this one.
    """

    id: str
    order: Order
    digest: str
    architecture: str
    state: State
    created_at: float
    started_at: float = 0.0
    ended_at: float = 0.0
    error: str = ""
    starts: int = 0
    checkpoint: int = 0
    needs: int = 0
    origin: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing happens to it any more, unless it is resumed."""
        return self.state in ENDS


class Folder:
    """A job's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def job(self) -> Job | None:
        """The job, where one is here and can be read."""
        return self._read(JOB, Job)

    @property
    def prepared(self) -> Prepared | None:
        """What was made of the data, once it was."""
        return self._read(PREPARED, Prepared)

    @property
    def work(self) -> Work | None:
        """What the trainer was told, once it was."""
        return self._read(spec.WORK, Work)

    @property
    def measured(self) -> Measured | None:
        """What some steps took, once they were taken."""
        return self._read(spec.MEASURED, Measured)

    @property
    def ended(self) -> Ended | None:
        """How the training ended, once it has."""
        return self._read(spec.ENDED, Ended)

    @property
    def parallel(self) -> Parallel | None:
        """Which machines computed together, once there were others."""
        return self._read(spec.PARALLEL, Parallel)

    @property
    def checkpoint(self) -> int:
        """The step of the newest checkpoint; 0 where there is none."""
        names = (path.name.removeprefix(spec.CHECKPOINT) for path in self._checkpoints())
        return max((int(name) for name in names if name.isdecimal()), default=0)

    @property
    def results(self) -> dict[str, Path]:
        """The files of what was trained, once it is there whole."""
        ended = self.ended
        if ended is None or ended.outcome != "done":
            return {}
        files = (path for path in sorted((self.path / spec.RESULT).glob("*")) if path.is_file())
        return {path.name: path for path in files}

    def put(self, name: str, value: Struct) -> None:
        """Write a file of JSON, whole or not at all. Raises StoreError."""
        write(self.path / name, msgspec.json.encode(value))

    def clear(self, *names: str) -> None:
        """Remove files, as far as they are there. Raises StoreError."""
        for name in names:
            try:
                (self.path / name).unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(
                    f"{self.path / name} cannot be removed: {error.strerror}"
                ) from error

    def remove(self) -> None:
        """Remove all of it. Raises StoreError where a part stays."""
        try:
            shutil.rmtree(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"{self.path} cannot be removed: {error.strerror}") from error

    def slim(self) -> None:
        """Remove what only going on would take, checkpoints above all: the job is done."""
        for path in self._checkpoints():
            shutil.rmtree(path, ignore_errors=True)
        self.clear(BASE, spec.BEST, spec.REPLAY)

    def keep(self, name: str, blob: Path, *, copies: bool) -> None:
        """Give a blob a second name here, so that it stays when the store lets it go.

        Where it is on another disk it is copied, if that is wanted. Raises StoreError.
        """
        path = self.path / name
        try:
            make_folder(path.parent)
            path.unlink(missing_ok=True)
            try:
                os.link(blob, path)
            except OSError:
                if copies:
                    shutil.copyfile(blob, path)
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror}") from error

    def data(self, order: Order) -> dict[str, Path]:
        """Where the user's files lie, by their relative paths."""
        return {name: self.path / DATA / name for name in order.data}

    def _checkpoints(self) -> list[Path]:
        return list(self.path.glob(f"{spec.CHECKPOINT}*"))

    def _read(self, name: str, kind: type[T]) -> T | None:
        """A file of JSON; None where it is not there, or is no such thing."""
        with suppress(StoreError):
            return read(self.path / name, kind)
        return None


class Tail:
    """Reads `progress.jsonl` as it grows."""

    def __init__(self, folder: Folder) -> None:
        self._path = folder.path / spec.PROGRESS
        self._offset = 0

    def read(self) -> list[Report]:
        """The reports since the last call; a line that is half written waits for the next."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [report for line in whole.splitlines() if (report := _report(line)) is not None]


def find_data(store: Store, data: Mapping[str, str]) -> dict[str, Path]:
    """Where the files of some data lie in the store, by their relative paths.

    Raises BadRequestError where a path leads out of the folder that it is to be in, NotFoundError
    for a file that nobody has sent.
    """
    folders = {str(folder) for name in data for folder in PurePosixPath(name).parents}
    for name, digest in data.items():
        _check_path(name)
        if name in folders:
            raise BadRequestError(f"{name!r} is a file and a folder at once")
        if not store.has_blob(digest):
            raise NotFoundError(f"the blob {digest} of {name} is not here: upload it first")
    return {name: store.blob_path(digest) for name, digest in data.items()}


def _check_path(name: str) -> None:
    path = PurePosixPath(name)
    parts = path.parts
    is_odd = not parts or path.is_absolute() or ".." in parts or path.as_posix() != name
    if is_odd or "\0" in name or "\\" in name:
        raise BadRequestError(f"{name!r} is no relative path of a file of data")


def _report(line: bytes) -> Report | None:
    """A line of the progress; None for what a killed program left half."""
    try:
        return msgspec.json.decode(line, type=Report)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
