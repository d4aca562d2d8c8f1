"""A job's files as the program that trains reads and writes them. A file that is there is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from ayllu.trainer.spec import CHECKPOINT, PROGRESS, Report

_Kind = TypeVar("_Kind", bound=Struct)


def read_json(path: Path, kind: type[_Kind]) -> _Kind:
    """A struct of a file. Raises OSError, msgspec.DecodeError."""
    return msgspec.json.decode(path.read_bytes(), type=kind)


def write_json(path: Path, value: Struct) -> None:
    """Write a struct. Raises OSError."""
    with replacing(path) as new:
        new.write_bytes(msgspec.json.encode(value) + b"\n")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """The name to write a file or a folder under; it gets its own once all of it is on the disk.

    What is there is replaced. What was written is removed where something is raised.
    """
    new = path.with_name(f".{path.name}.new")
    _remove(new)
    try:
        yield new
        for part in [*new.rglob("*"), new] if new.is_dir() else [new]:
            _sync(part)
        if new.is_dir():
            _remove(path)
        new.replace(path)
        _sync(path.parent)
    finally:
        _remove(new)


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a job, the newest first."""
    found = [path for path in folder.glob(f"{CHECKPOINT}*") if _step(path) is not None]
    return sorted(found, key=lambda path: _step(path) or 0, reverse=True)


class Progress:
    """Writes a line for each step, behind those that are there."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / PROGRESS
        self._mend()

    def add(self, report: Report) -> None:
        """Write a line. Raises OSError."""
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(report) + b"\n")

    def _mend(self) -> None:
        """Cut off a line that a sudden end left half written."""
        if self._path.exists():
            with self._path.open("rb+") as file:
                file.truncate(file.read().rfind(b"\n") + 1)


def _step(path: Path) -> int | None:
    digits = path.name.removeprefix(CHECKPOINT)
    return int(digits) if digits.isdecimal() and path.is_dir() else None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return
    file = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)
