"""Small stores and models for these tests."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

from ayllu.models.create import CreateRequest, create
from ayllu.models.manifest import CONFIG_TYPE, MODEL_TYPE, encode_manifest
from ayllu.models.name import parse_name
from ayllu.models.store import Store, StoredManifest


def put(store: Store, name: str, *contents: bytes) -> StoredManifest:
    """A model made of some bytes; the first blob is its config."""
    config, *layers = contents or (b"{}", b"model of " + name.encode())
    manifest = encode_manifest(
        store.write_blob(config, CONFIG_TYPE),
        tuple(store.write_blob(data, MODEL_TYPE) for data in layers),
    )
    return store.write_manifest(parse_name(name), manifest)


def make(store: Store, name: str, request: CreateRequest) -> list[str]:
    """Run a create to its end; returns the statuses."""

    async def run() -> list[str]:
        return [line.status async for line in create(store, parse_name(name), request)]

    return asyncio.run(run())


def files_of(root: Path) -> set[str]:
    """All files below a folder, the lock apart."""
    paths = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    return paths - {".ayllu.lock"}


def age(path: Path, seconds: float = 7200) -> None:
    """Make a file look old."""
    os.utime(path, (time.time() - seconds,) * 2)


async def stream(*pieces: bytes) -> AsyncIterator[bytes]:
    """Bytes that arrive one after the other."""
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece
