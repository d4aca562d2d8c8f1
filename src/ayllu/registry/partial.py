"""A blob that is being downloaded, as it lies on disk: a sparse file and a journal beside it.

`sha256-<hex>-partial` has the bytes, `sha256-<hex>-partial-0` says which chunks are there, with a
checksum of each, so that a download goes on after a crash and damage is found where it is. The
journal's first line is one that Ollama wrote and reads: it can go on with ours, and we with its.
"""

from __future__ import annotations

import os
import stat
import sys
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Self

import msgspec
from msgspec import Struct

from ayllu.models.files import draft, make_folder, sync_folder

if sys.platform != "win32":
    import fcntl

CHUNK = 1 << 20
_MARK = b"ayllu 1 %d\n" % CHUNK
_UNKNOWN = -1
HEARSAY = 1 << 20
"""Retries of a chunk that another machine gave and nobody vouched for: it is suspected first."""


class OllamaPart(Struct, frozen=True, rename="pascal"):
    """A part of a download as Ollama notes it: `completed` bytes from `offset` on are there."""

    n: int
    offset: int
    size: int
    completed: int


class Chunk(Struct, frozen=True):
    """What is known of a chunk that is there: its CRC-32, and how often it had to be retried."""

    crc: int
    retries: int = 0

    @property
    def is_known(self) -> bool:
        """Whether there is a checksum; Ollama notes none."""
        return self.crc != _UNKNOWN


class Partial:
    """An open partial file, locked against other processes; `close` it. Its methods block.

    `chunks` maps the number of each chunk that is there to what is known of it. The lock is only
    on the file: whoever holds it may write.
    """

    def __init__(self, path: Path, size: int, file: FileIO) -> None:
        self.path = path
        self.size = size
        self.count = -(-size // CHUNK)
        self.chunks: dict[int, Chunk] = {}
        self._file = file
        self._reader = path.open("rb", buffering=0)
        self._journal_path = path.with_name(f"{path.name}-0")
        self._lock = threading.Lock()
        self._load()
        self._journal = self._begin_journal()
        self._file.truncate(size)

    @classmethod
    def open(cls, path: Path, size: int) -> Self | None:
        """The partial file of a blob of `size` bytes, new or old; None while another has it."""
        make_folder(path.parent)
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(path.lstat().st_mode):
                path.unlink()  # a link would be written through
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        file = FileIO(descriptor, "r+b")
        try:
            if _lock(descriptor) and _is_still(descriptor, path):
                return cls(path, size, file)
        except BaseException:
            file.close()
            raise
        file.close()
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files, which ends the lock."""
        for file in (self._journal, self._reader, self._file):
            file.close()

    def length(self, number: int) -> int:
        """How many bytes a chunk has."""
        return min(CHUNK, self.size - number * CHUNK)

    @property
    def stored(self) -> int:
        """How many bytes are there."""
        whole = len(self.chunks) * CHUNK
        last = self.count - 1
        return whole - (CHUNK - self.length(last)) if last in self.chunks else whole

    def write(self, number: int, pieces: Sequence[memoryview], retries: int) -> None:
        """Put a chunk in its place, and note it once it is there; one that is there stays."""
        crc = 0
        for piece in pieces:
            crc = zlib.crc32(piece, crc)
        with self._lock:
            if number in self.chunks:  # what was hashed must not change
                return
            self._file.seek(number * CHUNK)
            for piece in pieces:
                _write(self._file, piece)
            chunk = self.chunks[number] = Chunk(crc, retries)
            _write(self._journal, _line(number, chunk))

    def flush(self) -> None:
        """Have the disk take what was written so far."""
        os.fsync(self._file.fileno())

    def read(self, number: int, room: memoryview) -> memoryview:
        """A chunk's bytes, in a part of `room`, which must hold CHUNK bytes. For one thread."""
        view = room[: self.length(number)]
        self._reader.seek(number * CHUNK)
        filled = 0
        while filled < len(view):
            got = self._reader.readinto(view[filled:])
            if not got:
                raise OSError(None, f"{self.path.name} was cut short by somebody else")
            filled += got
        return view

    def is_sound(self, number: int, data: memoryview) -> bool:
        """Whether a chunk's bytes are those that were written; True where nobody noted."""
        chunk = self.chunks[number]
        return not chunk.is_known or chunk.crc == zlib.crc32(data)

    def forget(self, number: int) -> None:
        """Take a chunk for missing."""
        with self._lock:
            del self.chunks[number]

    def note_frontier(self, size: int) -> None:
        """Tell Ollama that all bytes before `size` are there."""
        with self._lock:
            self._journal.seek(0)
            _write(self._journal, self._first_line(size))
            self._journal.seek(0, os.SEEK_END)

    def publish(self, path: Path) -> None:
        """Sync the file and give it its final name, in the same folder."""
        if sys.platform != "win32":
            os.fchmod(self._file.fileno(), 0o644)
        os.fsync(self._file.fileno())
        if sys.platform == "win32":  # which renames no open file
            self.close()
        self.path.replace(path)
        sync_folder(path.parent)
        self._remove_journals()

    def discard(self) -> None:
        """Remove all of it: what is there is not what was wanted."""
        if sys.platform == "win32":
            self.close()
        self.path.unlink(missing_ok=True)
        self._remove_journals()

    def _load(self) -> None:
        """Read the journal, ours or Ollama's; they tell nothing of a file of another size."""
        if os.fstat(self._file.fileno()).st_size != self.size:
            return
        with suppress(FileNotFoundError):
            _, mark, lines = self._journal_path.read_bytes().partition(_MARK)
            if mark:
                self.chunks = dict(_chunks_in(lines, self.count))
                return
        for part in self._ollama_parts():
            end = part.offset + min(part.completed, part.size)
            last = self.count if end == self.size else end // CHUNK
            self.chunks |= dict.fromkeys(range(-(-part.offset // CHUNK), last), Chunk(_UNKNOWN))

    def _ollama_parts(self) -> Iterator[OllamaPart]:
        for path in self._journals():
            with suppress(msgspec.MsgspecError, UnicodeDecodeError, FileNotFoundError):
                part = msgspec.json.decode(path.read_bytes(), type=OllamaPart)
                if min(part.offset, part.completed) >= 0 and part.offset + part.size <= self.size:
                    yield part

    def _begin_journal(self) -> FileIO:
        """A new journal of what is known, in place of all that there are."""
        lines = [_line(number, chunk) for number, chunk in self.chunks.items()]
        with draft(self.path.parent) as new:
            new.write(b"".join([self._first_line(0), _MARK, *lines]))
            new.publish(self._journal_path)
        self._remove_journals(others_than=self._journal_path)
        journal = FileIO(self._journal_path, "r+b")
        journal.seek(0, os.SEEK_END)
        return journal

    def _journals(self) -> list[Path]:
        return list(self.path.parent.glob(f"{self.path.name}-*"))

    def _remove_journals(self, others_than: Path | None = None) -> None:
        for path in self._journals():
            if path != others_than:
                path.unlink(missing_ok=True)

    def _first_line(self, completed: int) -> bytes:
        """A whole download as one part of Ollama's, always of the same length."""
        return b'{"N":0,"Offset":0,"Size":%d,"Completed":%20d}\n' % (self.size, completed)


def _line(number: int, chunk: Chunk) -> bytes:
    return b"%d %x %d\n" % (number, chunk.crc, chunk.retries)


def _chunks_in(lines: bytes, count: int) -> Iterator[tuple[int, Chunk]]:
    """What a journal tells, up to a line that was not written whole."""
    for line in lines.splitlines(keepends=True):
        try:
            number, crc, retries = line.split()
            chunk = Chunk(int(crc, 16), int(retries))
        except ValueError:
            return
        if not line.endswith(b"\n") or not 0 <= int(number) < count:
            return
        yield int(number), chunk


def _write(file: FileIO, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:  # an unbuffered file may take only a part
        rest = rest[file.write(rest) :]


def _lock(descriptor: int) -> bool:
    """Try to lock a file; what cannot be locked here counts as locked."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still(descriptor: int, path: Path) -> bool:
    """Whether an open file still lies under its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
