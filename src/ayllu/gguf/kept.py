"""What was read of long headers, kept in a folder of ours: a vocabulary is walked once per file.

An entry belongs to a path and to the stamp that its file had. One that is stale, damaged, or of
another version of Ayllu is as good as none; so is one that speaks of bytes outside the file. The
folder has to be ours alone, for what is in it is believed.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from struct import Struct as Format

import msgspec
from msgspec import Struct

from ayllu.gguf.read import GGUFArray, Header, TensorInfo
from ayllu.gguf.tables import TENSOR_TYPES
from ayllu.gguf.vocab import FillTokens
from ayllu.types import Json

Stamp = tuple[int, int, int, int]
"""When a file and its entry in the folder changed (ns), its size (bytes), its inode."""

FORMAT = 1
"""To be raised with every change of the reader's rules, or of the classes below."""

LONG_HEADER = 1 << 18
"""Bytes from which on an entry is quicker than the header itself."""

MAX_BYTES = 128 << 20
_OWNER_BYTES = 1 << 14
_DIGEST_BYTES = 32


class Facts(Struct, frozen=True):
    """A header, and what only a look at the whole vocabulary tells."""

    header: Header
    fill: FillTokens | None


class _Array(Struct, array_like=True):
    element_type: int
    count: int
    offset: int
    size: int
    values: list[bool | int | float] | None


class _Tensor(Struct, array_like=True):
    name: str
    shape: tuple[int, ...]
    type_id: int
    offset: int
    size: int


class _Owner(Struct, array_like=True):
    """Whose facts an entry holds. It stands at the front, so that prune need not read the rest."""

    format: int
    path: str
    stamp: Stamp


class _Entry(Struct, array_like=True):
    version: int
    keys: list[tuple[str, int, bool | int | float | str | _Array | None]]
    tensors: list[_Tensor]
    alignment: int
    data_offset: int
    file_size: int
    fill: tuple[int, int, int] | None


_LENGTH = Format("<I")
_owners, _entries = msgspec.msgpack.Decoder(_Owner), msgspec.msgpack.Decoder(_Entry)


class Folder:
    """The folder of the entries. Its disk may be full or read-only: then nothing is kept."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self, file: Path, stamp: Stamp) -> Facts | None:
        """The facts of a file, None where there are none that fit it."""
        data = self._read(self._place(file), MAX_BYTES)
        owner, rest = _parted(data[_DIGEST_BYTES:])
        if owner is None or (owner.path, owner.stamp) != (str(file), stamp):
            return None
        if data[:_DIGEST_BYTES] != _digest(data[_DIGEST_BYTES:]):
            return None
        with suppress(msgspec.MsgspecError):
            return _unpack(file, stamp, _entries.decode(rest))
        return None

    def save(self, file: Path, stamp: Stamp, facts: Facts) -> None:
        """Keep the facts of a file, where its header is long enough to make it worth a file."""
        if facts.header.data_offset < LONG_HEADER:
            return
        owner = msgspec.msgpack.encode(_Owner(FORMAT, str(file), stamp))
        data = _LENGTH.pack(len(owner)) + owner + msgspec.msgpack.encode(_pack(facts))
        with suppress(OSError):
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._is_ours():
                _write(self._place(file), _digest(data) + data)

    def prune(self) -> None:
        """Remove the entries of files that are gone or have changed, and what is no entry."""
        with suppress(OSError):
            for place in [path for path in self._path.iterdir() if path.is_file()]:
                owner, _ = _parted(self._read(place, _OWNER_BYTES)[_DIGEST_BYTES:])
                if owner is None or stamp_of(Path(owner.path)) != owner.stamp:
                    place.unlink(missing_ok=True)

    def _place(self, file: Path) -> Path:
        return self._path / hashlib.sha256(os.fsencode(file)).hexdigest()

    def _read(self, place: Path, most: int) -> bytes:
        """An entry, up to some bytes; none where there is none that we may believe."""
        try:
            if self._is_ours():
                with place.open("rb") as entry:
                    return entry.read(most)
        except OSError:
            pass
        return b""

    def _is_ours(self) -> bool:
        """Whether nobody else may write to the folder."""
        if sys.platform == "win32":
            return True
        facts = self._path.stat()
        return facts.st_uid == os.getuid() and not facts.st_mode & 0o022


def stamp_of(file: Path) -> Stamp | None:
    """What tells a file from another one of its name; None where there is none."""
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_ctime_ns, facts.st_size, facts.st_ino


def _parted(data: bytes) -> tuple[_Owner | None, memoryview]:
    """Whose an entry is, if it is one of this version, and what follows."""
    view = memoryview(data)
    if len(data) >= _LENGTH.size:
        end = _LENGTH.size + _LENGTH.unpack_from(data)[0]
        with suppress(msgspec.MsgspecError):
            owner = _owners.decode(view[_LENGTH.size : end])
            return owner if owner.format == FORMAT else None, view[end:]
    return None, view


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()


def _write(place: Path, data: bytes) -> None:
    """Whole or not at all. What a power cut leaves of it has another digest."""
    handle, name = tempfile.mkstemp(dir=place.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(place)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _pack(facts: Facts) -> _Entry:
    header, fill = facts.header, facts.fill
    return _Entry(
        header.version,
        [(key, header.kinds[key], _packed(value)) for key, value in header.kvs.items()],
        [_Tensor(t.name, t.shape, t.type_id, t.offset, t.size) for t in header.tensors],
        header.alignment,
        header.data_offset,
        header.file_size,
        (fill.prefix, fill.suffix, fill.middle) if fill else None,
    )


def _packed(value: Json) -> bool | float | str | _Array | None:
    if isinstance(value, GGUFArray):
        values = None if value.values is None else list(value.values)
        return _Array(value.element_type, value.count, value.offset, value.size, values)
    assert value is None or isinstance(value, bool | int | float | str)  # noqa: S101 - see read.py
    return value


def _unpack(file: Path, stamp: Stamp, entry: _Entry) -> Facts | None:
    """The facts, None where they speak of bytes that the file does not have."""
    room = entry.file_size - entry.data_offset
    if entry.file_size != stamp[2] or room < 0:
        return None
    kvs: dict[str, Json] = {}
    for key, _, value in entry.keys:
        if isinstance(value, _Array):
            if value.offset < 0 or value.size < 0 or value.offset + value.size > entry.data_offset:
                return None
            kvs[key] = _array(file, value)
        else:
            kvs[key] = value
    if not all(_is_inside(tensor, room) for tensor in entry.tensors):
        return None
    tensors = tuple(
        TensorInfo(t.name, t.shape, t.type_id, TENSOR_TYPES[t.type_id].name, t.offset, t.size)
        for t in entry.tensors
    )
    kinds = {key: kind for key, kind, _ in entry.keys}
    header = Header(
        entry.version, kvs, kinds, tensors, entry.alignment, entry.data_offset, entry.file_size
    )
    return Facts(header, FillTokens(*entry.fill) if entry.fill else None)


def _array(file: Path, array: _Array) -> GGUFArray:
    return GGUFArray(
        path=file,
        element_type=array.element_type,
        count=array.count,
        offset=array.offset,
        size=array.size,
        values=None if array.values is None else tuple(array.values),
    )


def _is_inside(tensor: _Tensor, room: int) -> bool:
    whole = tensor.offset >= 0 and tensor.size >= 0 and tensor.offset + tensor.size <= room
    return whole and tensor.type_id in TENSOR_TYPES
