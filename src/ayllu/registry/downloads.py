"""All downloads of a server: who wants the same blob shares its transfer, also across processes.

A transfer ends with the last that waits for it; what it has stays on disk for the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing
from pathlib import Path

from msgspec import Struct

from ayllu.errors import BusyError, StoreError
from ayllu.models.create import Progress
from ayllu.models.files import using
from ayllu.models.store import Store
from ayllu.registry.addresses import origin_of
from ayllu.registry.bandwidth import Bandwidth
from ayllu.registry.client import Source
from ayllu.registry.limits import Limits, in_thread
from ayllu.registry.neighbours import Neighbours
from ayllu.registry.partial import Partial
from ayllu.registry.transfer import Transfer
from ayllu.system import free_disk
from ayllu.types import Layer

PROGRESS_SECONDS = 0.06
LOOK_SECONDS = 0.2
THREADS = 4
_BLOCK = 512


class Amount(Struct, frozen=True):
    """How many of a layer's bytes are here, and who sent what of them.

    `peers` is how many other machines of the user's gave `from_peers` bytes; `from_registry` came
    beside them. What lay here from an earlier try is in neither.
    """

    size: int
    from_peers: int = 0
    from_registry: int = 0
    peers: int = 0


class _Download:
    """A blob on its way: its task, how far it is, and how many wait for it."""

    def __init__(self) -> None:
        self.waiters = 0
        self.transfer: Transfer | None = None
        self.seen = 0
        self.task: asyncio.Task[None]

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self.task.done()

    def amount(self, size: int) -> Amount:
        """How much is here of `size` bytes; what was here once is not taken back."""
        transfer = self.transfer
        if transfer is not None:
            self.seen = max(self.seen, transfer.completed)
        size = size if self.is_done else min(self.seen, size)
        if transfer is None or not transfer.share.received:
            return Amount(size)
        share = transfer.share
        return Amount(size, share.received, transfer.received, len(share.givers))


class Downloads:
    """Downloads into a store; `close` ends them."""

    def __init__(
        self, store: Store, bandwidth: Bandwidth | None = None, limits: Limits | None = None
    ) -> None:
        self._store = store
        self._bandwidth = bandwidth or Bandwidth()
        self._limits = limits or Limits()
        self.neighbours: Neighbours | None = None
        """The user's other machines, once this one is a member of an ayllu."""
        self._running: dict[tuple[str, str, int], _Download] = {}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="transfer")

    def abort(self) -> None:
        """End all downloads; who waits for one is told why."""
        for download in self._running.values():
            download.task.cancel()

    async def close(self) -> None:
        """End all downloads and the threads."""
        self.abort()
        tasks = [download.task for download in self._running.values()]
        await asyncio.gather(*tasks, return_exceptions=True)
        self._pool.shutdown()

    def has(self, layer: Layer) -> bool:
        """Whether a layer is here, in its full size."""
        path = self._store.blob_path(layer.digest)
        with using(self._store.root):
            there = path.is_file() and path.stat().st_size == layer.size
        return there and self._store.shelves.is_hashed(layer.digest)

    def check_space(self, layers: Iterable[Layer]) -> None:
        """Raise StoreError where the disk has no room for what is missing of some layers."""
        missing = {layer.digest: layer for layer in layers if not self.has(layer)}.values()
        needed = sum(layer.size - _taken(self._partial_path(layer)) for layer in missing)
        with using(self._store.root):
            free = free_disk(self._store.root)
        if needed > free:
            raise StoreError(
                f"there is no space left in {self._store.root} for {needed:,} bytes more "
                f"({free:,} are free): free some, or set AYLLU_MODELS to another disk"
            )

    async def fetch(self, source: Source | None, layer: Layer) -> AsyncGenerator[Amount]:
        """Get a layer; yields how much of it is here, every PROGRESS_SECONDS, all of it at last.

        Without a source it comes from the user's other machines alone. Raises RegistryError,
        NotFoundError, ForbiddenError or StoreError, and BusyError when the server stops. Closing it
        early ends the download, unless another waits for it.
        """
        origin = origin_of(source.origin.root) if source else ""
        key = (origin, layer.digest, layer.size)
        download = self._running.get(key)
        if download is None or download.task.done():
            download = self._running[key] = _Download()
            download.task = asyncio.create_task(self._run(download, source, layer))
        download.waiters += 1
        try:
            while not download.task.done():
                yield download.amount(layer.size)
                await asyncio.wait({download.task}, timeout=PROGRESS_SECONDS)
            if download.task.cancelled():
                raise BusyError(
                    "the server is stopping: pull again later, and it goes on from here"
                )
            download.task.result()
            yield download.amount(layer.size)
        finally:
            download.waiters -= 1
            if not download.waiters:
                if self._running.get(key) is download:
                    del self._running[key]
                download.task.cancel()
                await asyncio.gather(download.task, return_exceptions=True)

    async def _run(self, download: _Download, source: Source | None, layer: Layer) -> None:
        path = self._partial_path(layer)
        while not self.has(layer):
            with ExitStack() as stack:
                partial = await in_thread(self._pool, self._open, stack, path, layer.size)
                if partial is None:  # another process has it: look on
                    download.seen = max(download.seen, _taken(path))
                    await asyncio.sleep(LOOK_SECONDS)
                elif self.has(layer):  # it came before we had the lock
                    partial.discard()
                else:
                    await self._transfer(download, source, layer, partial)

    def _open(self, stack: ExitStack, path: Path, size: int) -> Partial | None:
        with using(self._store.root):
            partial = Partial.open(path, size)
        return stack.enter_context(partial) if partial else None

    def _partial_path(self, layer: Layer) -> Path:
        path = self._store.new_blob_path(layer.digest)
        return path.with_name(f"{path.name}-partial")

    async def _transfer(
        self, download: _Download, source: Source | None, layer: Layer, partial: Partial
    ) -> None:
        download.transfer = Transfer(
            source,
            partial,
            layer.digest,
            pool=self._pool,
            bandwidth=self._bandwidth,
            limits=self._limits,
            neighbours=self.neighbours,
        )
        complete = False
        try:
            await download.transfer.run()
            with using(self._store.root):
                final = self._store.new_blob_path(layer.digest)
                await in_thread(self._pool, partial.publish, final)
            complete = True
        finally:
            download.transfer.share.close(complete=complete)
            if not complete and not partial.chunks:  # there is nothing to go on with
                await in_thread(self._pool, partial.discard)


async def fetching(
    downloads: Downloads, source: Source | None, layer: Layer
) -> AsyncGenerator[Progress]:
    """Get a layer as `Downloads.fetch` does, in lines of progress."""
    async with aclosing(downloads.fetch(source, layer)) as amounts:
        async for amount in amounts:
            yield Progress(
                f"pulling {layer.digest[7:19]}",
                layer.digest,
                layer.size,
                amount.size,
                from_peers=amount.from_peers,
                from_registry=amount.from_registry,
                peers=amount.peers,
            )


def _taken(path: Path) -> int:
    """How many bytes of a sparse file take room; 0 where there is none."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return 0
    return getattr(facts, "st_blocks", 0) * _BLOCK  # Windows does not tell
