"""Weights on a worker's machine: a copy of the model, and out of it the worker's cache.

What lies in the cache when the worker starts does not come through the tunnel from the head. All
else does, so nothing here keeps a model from being loaded: what goes wrong is said.
"""

from __future__ import annotations

import asyncio
import errno
import math
import shutil
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from threading import Lock

import structlog

from ayllu.cluster.tasks import Tasks
from ayllu.db import Database, DatabaseError
from ayllu.deploy.tensors import Key, TensorFiles, cacheable, place_of
from ayllu.deploy.worker_request import WorkerRequest
from ayllu.errors import AylluError, ForbiddenError, StoreError
from ayllu.gguf.write import Tensor
from ayllu.models.create import Progress
from ayllu.models.manifest import MODEL_TYPE
from ayllu.models.store import Store
from ayllu.system import free_disk, usable_threads
from ayllu.types import Layer

_log = structlog.get_logger(__name__)

CACHE = "rpc"
"""Where a worker looks in its `$LLAMA_CACHE` (ggml-rpc-server.cpp)."""
KEPT_SECONDS = 600.0
"""How long the files of a cache that is gone stay for the next one: a model that lost a machine is
back soon, and nobody's disk is full for good."""
PROGRESS_SECONDS = 0.1
MOST_THREADS = 4

SCHEMA = """
CREATE TABLE tensors (
    file TEXT, place TEXT, name TEXT NOT NULL, size INTEGER NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (file, place)
) WITHOUT ROWID
"""
VERSION = 1

Copy = Callable[[str, Layer], AsyncGenerator[Progress]]
"""Gets a model's file from the other machines, by the model's name there: `Puller.copy`."""


class Weights:
    """Brings weights to this machine's workers. Whoever made it closes it.

    `copy` is None where the owner wants no copies of others' models here. `home` holds the keys of
    tensors, which take a while to work out, and the files that caches share, `kept` seconds longer.
    """

    def __init__(
        self, store: Store, copy: Copy | None, home: Path, *, kept: float = KEPT_SECONDS
    ) -> None:
        self._store = store
        self._kept = kept
        self._copy = copy
        self._keys = Database(home / "tensors.db", SCHEMA, VERSION)
        self._files = TensorFiles(home / "tensors")
        self._tasks = Tasks()
        self._remove_files()  # those of a server that was killed

    async def prepare(self, part: WorkerRequest, folder: Path) -> AsyncGenerator[Progress]:
        """Fill `folder`, which will be the worker's `$LLAMA_CACHE`, and say what is being done.

        It has to exist, and to be ours alone. Whatever cannot be is said in the last line, and
        comes from the head.
        """
        try:
            async with aclosing(self._get(part)) as lines:
                async for line in lines:
                    yield line
            async with aclosing(self._fill(part, folder / CACHE)) as lines:
                async for line in lines:
                    yield line
        except AylluError as error:
            yield Progress(f"the head sends the weights: {error.sentence}")

    async def release(self, folder: Path) -> None:
        """A worker has ended: remove its folder, and after a while the files that no other has."""
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        self._tasks.start(self._trim_later())

    async def close(self) -> None:
        """Keep nothing but the keys."""
        await self._tasks.end()
        await asyncio.to_thread(self._remove_files)
        await self._keys.close()

    async def _get(self, part: WorkerRequest) -> AsyncGenerator[Progress]:
        """Have the model's file in the store. Raises AylluError where that cannot be."""
        if await asyncio.to_thread(self._store.has_blob, part.digest):
            return
        if self._copy is None:
            raise ForbiddenError("this machine keeps no copies of others' models (copy_models)")
        layer = Layer(MODEL_TYPE, part.digest, part.size)
        async with aclosing(self._copy(part.model, layer)) as lines:
            async for line in lines:
                if line.status != "success":
                    yield line

    async def _fill(self, part: WorkerRequest, cache: Path) -> AsyncGenerator[Progress]:
        """Put the files of the layers' tensors into a cache. Raises AylluError."""
        path = self._store.blob_path(part.digest)
        tensors = await asyncio.to_thread(cacheable, path, part.first, part.layers)
        known = await self._known(part.digest)
        work = _Filling(self._files, cache, tensors, known)
        try:
            await asyncio.to_thread(self._make_room, tensors, known)
            await asyncio.to_thread(cache.mkdir, 0o700, exist_ok=True)
            async with aclosing(work.run()) as steps:
                async for done in steps:
                    yield Progress("preparing the weights", part.digest, work.total, done)
        except OSError as error:
            raise StoreError(f"{self._files.folder} cannot be used: {_reason(error)}") from error
        finally:
            await self._note(part.digest, work.found)

    def _make_room(self, tensors: Sequence[Tensor], known: Mapping[str, Key]) -> None:
        """Raise StoreError where the disk has no room for the files that are missing."""
        folder = self._files.folder
        for is_last_try in (False, True):
            there = {path.name for path in folder.glob("*")}
            missing = [one for one in tensors if known.get(place_of(one), _NONE).name not in there]
            needed, free = sum(tensor.size for tensor in missing), free_disk(folder)
            if needed <= free:
                return
            if not is_last_try:
                self._files.trim(math.inf)
        raise StoreError(
            f"there is no space left in {folder} for {needed:,} bytes ({free:,} are free)"
        )

    async def _known(self, file: str) -> dict[str, Key]:
        """The keys of a file's tensors that were worked out before, by their places."""

        def read(connection: sqlite3.Connection) -> dict[str, Key]:
            query = "SELECT place, name, size, crc FROM tensors WHERE file = ?"
            return {place: Key(*rest) for place, *rest in connection.execute(query, (file,))}

        try:
            return await self._keys.run(read)
        except DatabaseError as error:
            _log.warning("keys of tensors are worked out anew", reason=error.sentence)
            return {}

    async def _note(self, file: str, found: Mapping[str, Key]) -> None:
        rows = [(file, place, key.name, key.size, key.crc) for place, key in found.items()]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT OR REPLACE INTO tensors VALUES (?, ?, ?, ?, ?)", rows)

        try:
            if rows:
                await self._keys.run(write)
        except DatabaseError as error:
            _log.warning("keys of tensors are not kept", reason=error.sentence)

    async def _trim_later(self) -> None:
        await asyncio.sleep(self._kept)
        await asyncio.to_thread(self._files.trim, time.time() - self._kept)

    def _remove_files(self) -> None:
        shutil.rmtree(self._files.folder, ignore_errors=True)


_NONE = Key("", 0, 0)


class _GivenUpError(Exception):
    """Nobody waits for the files any more."""


class _Filling:
    """The work of some threads on one cache. `found` are the keys that were not known."""

    def __init__(
        self,
        files: TensorFiles,
        cache: Path,
        tensors: Sequence[Tensor],
        known: Mapping[str, Key],
    ) -> None:
        self.total = sum(tensor.size for tensor in tensors)
        self.found: dict[str, Key] = {}
        self._files = files
        self._cache = cache
        self._tensors = tensors
        self._known = known
        self._lock = Lock()
        self._done = 0
        self._is_over = False

    async def run(self) -> AsyncGenerator[int]:
        """Bring all tensors; yields how many bytes are done. Raises OSError and GGUFError.

        When it is closed no thread is at work any more.
        """
        loop = asyncio.get_running_loop()
        pool = ThreadPoolExecutor(min(usable_threads(), MOST_THREADS), thread_name_prefix="weights")
        pending = {loop.run_in_executor(pool, self._bring, one) for one in self._tensors}
        try:
            while pending:
                yield min(self._done, self.total)
                done, pending = await asyncio.wait(
                    pending, timeout=PROGRESS_SECONDS, return_when=asyncio.FIRST_EXCEPTION
                )
                for task in done:
                    task.result()
            yield self.total
        finally:
            self._is_over = True
            pool.shutdown(wait=False, cancel_futures=True)
            await asyncio.gather(*pending, return_exceptions=True)

    def _bring(self, tensor: Tensor) -> None:
        place = place_of(tensor)
        known = self._known.get(place)
        key = self._files.bring(tensor, known, self._cache, self._count)
        if key != known:
            self.found[place] = key

    def _count(self, size: int) -> None:
        if self._is_over:
            raise _GivenUpError
        with self._lock:
            self._done += size


def _reason(error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "there is no space left"
    return error.strerror or str(error)
