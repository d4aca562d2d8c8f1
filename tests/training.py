"""Jobs for the program that trains, made by hand: a folder with its work and its examples."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from ayllu.trainer import spec
from ayllu.trainer.files import write_json
from ayllu.trainer.spec import Ended, Measured, Report, Settings, Work

CHILD = Path(spec.__file__).with_name("child.py")
SECONDS = 240.0
KEYS = "0123456789abcdef" * 2
"""The key of all helpers here."""

Row = tuple[Sequence[int], Sequence[int]]
"""The tokens of an example, and which of them count (1 or 0)."""


def settings_of(**values: Any) -> Settings:
    """Settings for a few quick steps."""
    usual: dict[str, Any] = {
        "learning_rate": 1e-3,
        "epochs": 1.0,
        "batch": 4,
        "accumulate": 1,
        "context": 128,
        "rank": 4,
        "replay": 0.0,
        "evaluate_every": 4,
        "checkpoint_every": 2,
        "dtype": "float32",
    }
    return Settings(**usual | values)


def make_job(
    folder: Path,
    model: Path,
    rows: Sequence[Row],
    *,
    held: Sequence[Row] = (),
    threads: int = 1,
    room: int = 0,
    openings: Mapping[str, Any] | None = None,
    **values: Any,
) -> Path:
    """Write what the server writes for a job; returns its folder.

    The `openings` are arrays of `examples.npz`.
    """
    folder.mkdir(exist_ok=True)
    both = [*rows, *held]
    np.savez(
        folder / spec.EXAMPLES,
        tokens=np.concatenate([np.asarray(tokens, np.int32) for tokens, _ in both]),
        trained=np.concatenate([np.asarray(trained, np.uint8) for _, trained in both]),
        ends=np.cumsum([len(tokens) for tokens, _ in both], dtype=np.int64),
        held=np.asarray([0] * len(rows) + [1] * len(held), np.uint8),
        **openings or {},
    )
    work = Work(
        model=str(model),
        architecture="llama",
        settings=settings_of(**values),
        threads=threads,
        room=room,
    )
    write_json(folder / spec.WORK, work)
    return folder


def rows_of(count: int, *, vocabulary: int = 512, longest: int = 40, seed: int = 1) -> list[Row]:
    """Examples of different lengths: after a start that does not count, each token is the next."""
    draw = np.random.default_rng(seed)
    rows: list[Row] = []
    for _ in range(count):
        length, first = int(draw.integers(8, longest)), int(draw.integers(0, vocabulary))
        tokens = [(first + place) % vocabulary for place in range(length)]
        rows.append((tokens, [0] * (length // 3) + [1] * (length - length // 3)))
    return rows


def start(python: Path, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start the program as the server does."""
    with (folder / spec.LOG).open("ab") as log:
        command = [str(python), "-P", str(CHILD), str(folder), *arguments]
        return subprocess.Popen(command, stdout=log, stderr=log)


def run(python: Path, folder: Path, *arguments: str) -> Ended | None:
    """Run the program to its end; what it said of that."""
    start(python, folder, *arguments).wait(SECONDS)
    path = folder / spec.ENDED
    return msgspec.json.decode(path.read_bytes(), type=Ended) if path.exists() else None


def reports(folder: Path) -> dict[int, Report]:
    """What was reported of each step; of one that was done twice, the later word."""
    lines = (folder / spec.PROGRESS).read_bytes().splitlines()
    decoded = [msgspec.json.decode(line, type=Report) for line in lines]
    return {report.step: report for report in decoded}


def measured(folder: Path) -> Measured:
    """What was measured."""
    return msgspec.json.decode((folder / spec.MEASURED).read_bytes(), type=Measured)


@contextmanager
def helping(python: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A program that helps with a job as that of this folder, and its port."""
    (folder / spec.KEY).write_text(KEYS)
    command = [str(python), "-P", str(CHILD), str(folder), "--assist"]
    with (
        (folder / spec.LOG).open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert said.startswith(spec.LISTENING), said + (folder / spec.LOG).read_text()
            yield process, int(said.split()[-1])
        finally:
            process.kill()
