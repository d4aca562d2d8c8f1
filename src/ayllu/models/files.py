"""Files that appear whole or not at all, locks between processes, and the words for a failing disk.

Everything is written under a temporary name in its own folder, synced and renamed; a crash leaves
at most a temporary file, which the store's prune removes.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import IO

from ayllu.errors import StoreError

if sys.platform != "win32":
    import fcntl

TEMPORARY_PREFIX = ".tmp-"
CHUNK = 1 << 20
_FICLONE = 0x40049409

_DENIED = "no permission to use {0}: change its owner, or set AYLLU_MODELS to a folder of yours"
_SENTENCES = {
    errno.ENOSPC: "there is no space left in {0}: free some, or set AYLLU_MODELS to another disk",
    errno.EDQUOT: "the quota of {0} is used up: free some, or set AYLLU_MODELS to another disk",
    errno.EROFS: "{0} is read-only: make it writable, or set AYLLU_MODELS to a folder that is",
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.ENOTDIR: "there is a file where a folder should be in {0}: move it away",
    errno.EEXIST: "there is a file where a folder should be in {0}: move it away",
    errno.EISDIR: "there is a folder where a file should be in {0}: move it away",
    errno.EMFILE: "too many files are open to use {0}: raise the limit (ulimit -n)",
}


@contextmanager
def using(folder: Path) -> Iterator[None]:
    """Turn an OSError inside into a StoreError that names the models folder and a remedy."""
    try:
        yield
    except OSError as error:
        sentence = _SENTENCES.get(error.errno or 0, "{0} cannot be used: {1}")
        raise StoreError(sentence.format(folder, error.strerror or error)) from error


class Draft:
    """A file that is being written and that nobody sees under its final name yet."""

    def __init__(self, file: FileIO, path: Path) -> None:
        self.file = file
        self.path = path
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Add to the file and to its digest."""
        rest = memoryview(data)
        while rest:  # an unbuffered file may take only a part
            rest = rest[self.file.write(rest) :]
        self._hash.update(data)
        self.size += len(data)

    def clone(self, source: IO[bytes]) -> bool:
        """Share the source's blocks copy-on-write (Linux, `ioctl_ficlone(2)`); False where refused.

        What is shared counts to neither digest nor size until it is read.
        """
        if sys.platform != "linux":
            return False
        try:
            fcntl.ioctl(self.file.fileno(), _FICLONE, source.fileno())
        except OSError:
            return False
        return True

    def fill_from(self, source: IO[bytes]) -> None:
        """Take over a whole file: by reflink where the file system offers it, else by copying.

        Never by hard link: whoever edits the source in place would change our blob with it.
        """
        if self.clone(source):
            while data := self.file.read(CHUNK):
                self._hash.update(data)
                self.size += len(data)
            return
        while data := source.read(CHUNK):
            self.write(data)

    @property
    def digest(self) -> str:
        """The digest of what was written so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def sync(self) -> None:
        """Bring to the disk what was written so far, by whomever."""
        os.fsync(self.file.fileno())

    def publish(self, path: Path, *, private: bool = False) -> None:
        """Sync the file and give it its final name, in the same folder.

        A private one may be read by its owner alone, from its first moment.
        """
        if sys.platform != "win32" and not private:
            os.fchmod(self.file.fileno(), 0o644)
        self.sync()
        self.file.close()
        self.path.replace(path)
        sync_folder(path.parent)


@contextmanager
def draft(folder: Path) -> Iterator[Draft]:
    """A new temporary file in a folder, made where missing. Gone at the end unless published."""
    make_folder(folder)
    handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=folder)
    path = Path(name)
    try:
        with os.fdopen(handle, "w+b", buffering=0) as file:
            yield Draft(file, path)
    finally:
        path.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, each synced into its own parent."""
    missing = [place for place in (folder, *folder.parents) if not place.is_dir()]
    for place in reversed(missing):
        place.mkdir(exist_ok=True)
        sync_folder(place.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut. Windows has no such call and needs none."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(path: Path, *, exclusive: bool) -> Iterator[bool]:
    """Hold a lock on a file, whose folder is made where missing; yields whether we have it.

    A shared lock is waited for: exclusive ones last milliseconds. An exclusive one is only tried,
    because a shared one may last as long as a download, and its holder may be our own event loop.
    """
    make_folder(path.parent)
    if sys.platform == "win32":  # the 1-hour rule of prune has to do there
        yield True
        return
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB if exclusive else fcntl.LOCK_SH)
        except BlockingIOError:
            yield False
            return
        yield True


async def gather(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """The same bytes in pieces of a mebibyte or more, so that a thread is worth its switch."""
    pieces: list[bytes] = []
    size = 0
    async for chunk in chunks:
        pieces.append(chunk)
        size += len(chunk)
        if size >= CHUNK:
            yield b"".join(pieces)
            pieces, size = [], 0
    yield b"".join(pieces)
