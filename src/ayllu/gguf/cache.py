"""Headers that were read are kept, for as long as their file stays the same.

Blobs never change under their name, but models of the package do, when it is upgraded.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from ayllu.gguf.read import Header, read_header

Stamp = tuple[int, int, int]

_stamps: dict[Path, Stamp] = {}


def cached_header(path: Path) -> Header:
    """The header of a file, read once. Raises GGUFError."""
    return _header(path, stamp(path))


def stamp(path: Path) -> Stamp:
    """What tells a file from another one of its name. One that is gone stays what it was last."""
    with suppress(OSError):
        facts = path.stat()
        _stamps[path] = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
    return _stamps.get(path, (0, 0, 0))


@lru_cache(maxsize=32)
def _header(path: Path, _stamp: Stamp) -> Header:
    return read_header(path)
