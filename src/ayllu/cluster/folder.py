"""The folder `<home>/cluster`: what its name is, and how files in it are written.

A server without an ayllu needs that too, so nothing large is imported here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from ayllu.errors import StoreError
from ayllu.models.files import draft

FOLDER = "cluster"
CERTIFICATE = "node.crt"
"""Whoever has one is a member."""


_T = TypeVar("_T")


def read(path: Path, kind: type[_T]) -> _T | None:
    """What a JSON file says; None where there is none. Raises StoreError for a damaged one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise unusable(path, error) from error


def unusable(path: Path, error: Exception) -> StoreError:
    """The error for a file that is there and says nothing that can be used."""
    return StoreError(f"{path} cannot be used ({error}): move it away")


def write(path: Path, data: bytes) -> None:
    """Write a file of its owner's alone, whole or not at all. Raises StoreError."""
    try:
        with draft(path.parent) as new:
            new.write(data)
            new.publish(path, private=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}") from error


def remove(path: Path) -> None:
    """Remove a file, if it is there. Raises StoreError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be removed: {error.strerror or error}") from error
