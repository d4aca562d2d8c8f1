"""What this machine gives to the others of its ayllu: pieces, their hashes, manifests.

Only blobs that a model of the store has, or a download, and whose digests are those of their bytes.
All of it is asked by other machines and runs in threads of the bus: it may block.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ayllu.cluster.have import (
    SEGMENT,
    BlobRequest,
    HashRequest,
    Have,
    ManifestReply,
    ManifestRequest,
    PieceRequest,
    decode,
    encode,
)
from ayllu.errors import BusyError, NotFoundError
from ayllu.models.name import parse_name
from ayllu.models.pulled import find_pull
from ayllu.models.store import Store
from ayllu.registry.bandwidth import Bandwidth
from ayllu.registry.partial import CHUNK

LOOK_SECONDS = 2.0
RECENT_SECONDS = 600.0
LONGEST_WAIT = 2.0
MOST_LISTS = 1 << 14
"""Segments whose hashes are kept: 8 MiB for 256 GiB of models."""


class Running(Protocol):
    """A download of this machine's, as the others may see it. From any thread."""

    def have(self) -> Have:
        """What there is."""

    def read(self, number: int) -> bytes | None:
        """A piece that this machine vouches for."""


class Giving:
    """Answers to the other machines. `running` finds the download of a blob."""

    def __init__(
        self, store: Store, bandwidth: Bandwidth, running: Callable[[str], Running | None]
    ) -> None:
        self._store = store
        self._bandwidth = bandwidth
        self._running = running
        self._lock = threading.Lock()
        self._offered: frozenset[str] = frozenset()
        self._looked = -LOOK_SECONDS
        self._recent: dict[str, float] = {}
        self._lists: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    def note_download(self, digest: str) -> None:
        """A blob is here that no model has yet: others may be waiting for the rest of it."""
        now = time.monotonic()
        with self._lock:
            self._recent = {d: t for d, t in self._recent.items() if now - t < RECENT_SECONDS}
            self._recent[digest] = now

    def holds(self, data: bytes) -> bytes:
        """What is here of a blob. Raises NotFoundError where nothing is."""
        digest = decode(data, BlobRequest).digest
        if running := self._running(digest):
            return encode(running.have())
        return encode(Have(size=self._path(digest).stat().st_size, complete=True))

    def piece(self, data: bytes) -> bytes:
        """A piece's bytes. Raises NotFoundError, or BusyError past `max_bandwidth`."""
        request = decode(data, PieceRequest)
        found = self._read(request)
        wait = self._bandwidth.pay(len(found), LONGEST_WAIT)
        if wait is None:
            raise BusyError("this machine sends as much as it may: ask later")
        time.sleep(wait)
        return found

    def hashes(self, data: bytes) -> bytes:
        """The sha256 of a segment's pieces. Raises NotFoundError."""
        request = decode(data, HashRequest)
        path = self._path(request.digest, request.size)
        key = (request.digest, request.segment)
        with self._lock:
            if found := self._lists.get(key):
                self._lists.move_to_end(key)
                return found
        found = _hashes(path, request.segment)
        with self._lock:
            self._lists[key] = found
            if len(self._lists) > MOST_LISTS:
                self._lists.popitem(last=False)
        return found

    def manifest(self, data: bytes) -> bytes:
        """A model's manifest. Raises NotFoundError; a model whose blobs are not given is none."""
        name = parse_name(decode(data, ManifestRequest).name)
        stored = self._store.manifest(name)
        if not all(map(self._store.shelves.is_hashed, stored.digests)):
            raise NotFoundError("this model is not given")
        pulled = find_pull(self._store.root, stored)
        known = pulled.scheme if pulled and pulled.scheme in {"http", "https"} else ""
        reply = ManifestReply(
            self._store.manifest_bytes(name),
            "https" if known == "https" else "http" if known else "",
        )
        return encode(reply)

    def _read(self, request: PieceRequest) -> bytes:
        running = self._running(request.digest)
        if running and (piece := running.read(request.number)) is not None:
            return piece
        path = self._path(request.digest, request.size)
        with path.open("rb", buffering=0) as file:
            file.seek(request.number * CHUNK)
            piece = file.read(CHUNK)
        if not piece:
            raise NotFoundError("this blob has no such piece")
        return piece

    def _path(self, digest: str, size: int | None = None) -> Path:
        """Where a blob lies that is given, of a size."""
        name = f"sha256:{digest}"
        if digest not in self._recent and name not in self._names():
            raise NotFoundError("no model here has this blob")
        path = self._store.blob_path(name)
        if not path.is_file() or size not in {None, path.stat().st_size}:
            raise NotFoundError("this blob is not here, or has another size")
        return path

    def _names(self) -> frozenset[str]:
        """The digests of all models' blobs; looked up now and then."""
        with self._lock:
            if time.monotonic() - self._looked > LOOK_SECONDS:
                is_hashed = self._store.shelves.is_hashed
                digests = {d for model in self._store.models() for d in model.digests}
                self._offered = frozenset(filter(is_hashed, digests))
                self._looked = time.monotonic()
            return self._offered


def _hashes(path: Path, segment: int) -> bytes:
    found = bytearray()
    room = memoryview(bytearray(CHUNK))
    with path.open("rb", buffering=0) as file:
        file.seek(segment * SEGMENT * CHUNK)
        for _ in range(SEGMENT):
            got = file.readinto(room)
            if not got:
                break
            found += hashlib.sha256(room[:got]).digest()
    if not found:
        raise NotFoundError("this blob has no such pieces")
    return bytes(found)
