"""The folders of a store, which others may be changing at the same moment: looking, tidying up."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ayllu.models.name import is_valid
from ayllu.types import ModelName

_LEGACY_BLOB_NAME = re.compile(r"sha256:[0-9a-fA-F]{64}")


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, as paths."""
    return [folder / entry.name for entry in scan(folder)]


def scan(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    """What lies in a folder, in order of name; nothing where there is no such folder."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        if folder.name in {"blobs", "manifests"}:
            raise
        return []  # a stray file among the manifests is nobody's model


def names_in(manifests: Path) -> Iterator[ModelName]:
    """The names of the models whose manifests lie below a folder; strangers are passed over."""
    for host in scan(manifests):
        for namespace in scan(host):
            for model in scan(namespace):
                for tag in scan(model):
                    name = ModelName(host.name, namespace.name, model.name, tag.name)
                    if tag.is_file() and is_valid(name):
                        yield name


def spelled(folder: Path, parts: tuple[str, ...]) -> tuple[str, ...]:
    """The parts as the folders below `folder` spell them; exact beats alike."""
    if not parts:
        return ()
    first, rest = parts[0], parts[1:]
    if folder.joinpath(*parts).exists():
        return parts
    alike = [entry.name for entry in entries(folder) if entry.name.lower() == first.lower()]
    alike.sort(key=lambda entry: entry != first)
    found = [(name, *spelled(folder / name, rest)) for name in alike]
    complete = [names for names in found if folder.joinpath(*names).exists()]
    return (complete or found or [parts])[0]


def age_of(path: Path) -> float:
    """Seconds since a file was written; 0 when it was renamed or removed this moment."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def rename_legacy_blobs(blobs: Path) -> None:
    """Old versions of Ollama wrote `sha256:<hex>`."""
    for path in entries(blobs):
        if _LEGACY_BLOB_NAME.fullmatch(path.name):
            path.replace(path.with_name(path.name.replace(":", "-")))


def remove_empty_folders(manifests: Path) -> None:
    """Drop the folders of models that are gone. Only under the store's exclusive lock."""
    for model in (m for h in entries(manifests) for n in entries(h) for m in entries(n)):
        for folder in (model, model.parent, model.parent.parent):
            with suppress(OSError):  # not empty, or gone: Ollama takes no lock of ours
                folder.rmdir()
