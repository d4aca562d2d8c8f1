"""Headers that were read are kept, for as long as their file stays the same.

In memory those asked for last, and the long ones on disk too, once `keep_in` has said where.
Blobs never change under their name, but models of the package do, when it is upgraded.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock

from ayllu.gguf.kept import Facts, Folder, Stamp, stamp_of
from ayllu.gguf.read import Header, read_header
from ayllu.gguf.vocab import FillTokens, fill_tokens

__all__ = ["Stamp"]

IN_MEMORY = 64
"""Headers; one of a large model takes half a megabyte."""

_GONE: Stamp = (0, 0, 0, 0)

_stamps: dict[Path, Stamp] = {}
_facts: OrderedDict[Path, tuple[Stamp, Facts]] = OrderedDict()
_lock = Lock()
_folders: list[Folder] = []


def keep_in(folder: Path) -> None:
    """Keep long headers in a folder from now on, which no one else may write to.

    What it holds of files that are gone is removed.
    """
    _folders[:] = [Folder(folder)]
    _folders[0].prune()


def cached_header(path: Path) -> Header:
    """The header of a file, read once. Raises GGUFError."""
    return _look(path).header


def cached_fill_tokens(path: Path) -> FillTokens | None:
    """The tokens that a model fills in the middle with. Raises GGUFError."""
    return _look(path).fill


def is_at_hand(path: Path) -> bool:
    """Whether asking for a file's header takes no reading, so that the event loop may."""
    known = _facts.get(path)
    return known is not None and known[0] == stamp(path)


def stamp(path: Path) -> Stamp:
    """What tells a file from another one of its name. One that is gone stays what it was last."""
    now = stamp_of(path)
    if now is not None:
        _stamps[path] = now
    return _stamps.get(path, _GONE)


def _look(path: Path) -> Facts:
    now = stamp(path)
    with _lock:
        known = _facts.get(path)
        if known and known[0] == now:
            _facts.move_to_end(path)
            return known[1]
    facts = _read(path, now)
    with _lock:
        _facts[path] = now, facts
        _facts.move_to_end(path)
        while len(_facts) > IN_MEMORY:
            _facts.popitem(last=False)
    return facts


def _read(path: Path, now: Stamp) -> Facts:
    """The facts from the folder, else from the file itself."""
    for folder in _folders:
        if facts := folder.load(path, now):
            return facts
    header = read_header(path)
    facts = Facts(header, fill_tokens(header))
    for folder in _folders:
        folder.save(path, now, facts)
    return facts
