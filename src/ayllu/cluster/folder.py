"""The folder `<home>/cluster`: what its name is, and how files in it are written.

A server without an ayllu needs that too, so nothing large is imported here.
"""

from __future__ import annotations

from pathlib import Path

from ayllu.errors import StoreError
from ayllu.models.files import draft

FOLDER = "cluster"
CERTIFICATE = "node.crt"
"""Whoever has one is a member."""


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
