"""Which tensors of a model's layers the engine's RPC cache can hold, and files of them.

A file is named by the FNV-1a of its bytes, in 16 hex digits, and is those bytes: so the worker
looks for it (ggml-rpc.cpp, `get_cached_file`). It never checks what it finds, so all is checked
here, and no file is seen by its name before it is whole.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from threading import get_ident

from msgspec import Struct, structs

from ayllu.errors import GGUFError
from ayllu.gguf.cache import cached_header
from ayllu.gguf.sheet import Sheet
from ayllu.gguf.write import Span, Tensor
from ayllu.models.corrected import find_correction
from ayllu.models.files import TEMPORARY_PREFIX, Draft, draft
from ayllu.models.folders import entries

THRESHOLD = 10 << 20
"""Tensors of up to so many bytes are never looked for in the cache (`HASH_THRESHOLD`)."""
STEP = 4 << 20
_LAYER = re.compile(r"blk\.(\d+)\.")

OnBytes = Callable[[int], None]
"""Is told how many bytes were copied or checked; may raise, and so give up."""


class Key(Struct, frozen=True):
    """A tensor's name in the cache, and by what its bytes are known again faster than by it."""

    name: str
    size: int
    crc: int


def cacheable(path: Path, first: int, layers: int) -> tuple[Tensor, ...]:
    """The tensors of some layers that the cache can hold, as the engine gets the file.

    Where it gets a corrected copy of it, their bytes are those of the copy. Raises GGUFError.
    """
    found = find_correction(path)
    sheet = found.model if found and found.model else Sheet(path, cached_header(path))
    return tuple(
        tensor
        for tensor in sheet.tensors.values()
        if (match := _LAYER.match(tensor.name))
        and first <= int(match[1]) < first + layers
        and tensor.size > THRESHOLD
        and all(isinstance(part, Span) for part in tensor.parts)
    )


def place_of(tensor: Tensor) -> str:
    """Where a tensor's bytes lie in its file, as text."""
    return ",".join(f"{part.offset}+{part.size}" for part in _spans(tensor))


class TensorFiles:
    """A folder with files of tensors, from which those of workers' caches are linked.

    Nothing is synced: what a power cut leaves is removed at the next start. All of it blocks; two
    threads may bring the same tensor.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def bring(self, tensor: Tensor, known: Key | None, cache: Path, on_bytes: OnBytes) -> Key:
        """Put a tensor's file into a worker's cache folder, found sound there; returns its key.

        `known` is what its key was once: where its bytes are still those, they need not be hashed.
        Raises OSError, and GGUFError for a model's file that became shorter.
        """
        if known and self._link(known, cache) and is_sound(cache / known.name, known, on_bytes):
            return known
        key = self._copy(tensor, known, on_bytes)
        if not (self._link(key, cache) and is_sound(cache / key.name, key, lambda _: None)):
            for place in (cache, self.folder):
                (place / key.name).unlink(missing_ok=True)
            raise OSError(errno.EIO, "what is written there is not kept")
        return key

    def trim(self, before: float) -> None:
        """Remove the files that no cache has, and none has got since a Unix time."""
        for path in entries(self.folder):
            with suppress(FileNotFoundError):
                facts = path.stat()
                if facts.st_nlink == 1 and facts.st_mtime < before:
                    path.unlink()

    def _copy(self, tensor: Tensor, known: Key | None, on_bytes: OnBytes) -> Key:
        """Copy a tensor out of its file, under the name that its bytes have now."""
        with draft(self.folder) as new:
            key = _write(new, tensor, known, on_bytes)
            if known in {None, key}:
                new.file.close()
                if sys.platform != "win32":  # where nobody could remove it
                    new.path.chmod(0o400)  # a worker writes into its cache, but never to this one
                new.path.replace(self.folder / key.name)
                return key
        return self._copy(tensor, None, on_bytes)  # the model's file is another than it was

    def _link(self, key: Key, cache: Path) -> bool:
        """Let a cache folder have a file, if there is one; it moves where links cannot be."""
        source, place = self.folder / key.name, cache / key.name
        link = place.with_name(f"{TEMPORARY_PREFIX}{key.name}-{get_ident()}")
        try:
            os.utime(source)
            try:
                os.link(source, link)
            except FileNotFoundError:
                raise
            except OSError:
                shutil.move(source, link)
            link.replace(place)
        except FileNotFoundError:
            return False
        finally:
            link.unlink(missing_ok=True)  # a second link to one file stays where it was
        return True


def _write(new: Draft, tensor: Tensor, known: Key | None, on_bytes: OnBytes) -> Key:
    """Write a tensor; returns its key, with the name of `known` where there is that."""
    from ayllu.deploy.fnv import Fnv1a  # noqa: PLC0415 - NumPy takes 11 MB, and few need it

    fnv, crc = None if known else Fnv1a(), 0
    for piece in _pieces(tensor):
        crc = zlib.crc32(piece, crc)
        if fnv:
            fnv.update(piece)
        written = 0
        while written < len(piece):  # an unbuffered file may take only a part
            written += new.file.write(piece[written:])
        on_bytes(len(piece))
    if fnv is None:
        assert known is not None  # noqa: S101 - see above
        return structs.replace(known, crc=crc)
    return Key(f"{fnv.value:016x}", tensor.size, crc)


def is_sound(path: Path, key: Key, on_bytes: OnBytes) -> bool:
    """Whether a file is there and has the bytes of its key. Raises OSError."""
    crc = 0
    try:
        if path.stat().st_size != key.size:
            return False
        with path.open("rb", buffering=0) as file:
            for piece in _read(file, key.size):
                crc = zlib.crc32(piece, crc)
                on_bytes(len(piece))
    except (FileNotFoundError, EOFError):
        return False
    return crc == key.crc


def _pieces(tensor: Tensor) -> Iterator[memoryview]:
    for part in _spans(tensor):
        with part.path.open("rb", buffering=0) as file:
            file.seek(part.offset)
            try:
                yield from _read(file, part.size)
            except EOFError as error:
                raise GGUFError(f"{part.path.name} became shorter while it was in use") from error


def _read(file: FileIO, size: int) -> Iterator[memoryview]:
    """So many bytes in pieces, each good until the next. Raises EOFError where they are fewer."""
    room = memoryview(bytearray(min(STEP, size)))
    while size:
        got = file.readinto(room[:size])
        if not got:
            raise EOFError
        yield room[:got]
        size -= got


def _spans(tensor: Tensor) -> tuple[Span, ...]:
    return tuple(part for part in tensor.parts if isinstance(part, Span))
