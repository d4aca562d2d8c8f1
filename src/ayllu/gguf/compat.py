"""GGUFs of Ollama's library that llama.cpp does not take as they are, and what becomes of them.

Ollama's converters name some architectures, keys and tensors in their own way and put the vision
tower into the model's file. Its engine is patched to read that; for ours a corrected model is
derived, and a projector beside it. Pure but for a look into small arrays: `correction` says what
the files are to be, `write_gguf` writes them.

The facts: what the converters write (https://github.com/ollama/ollama, convert/ and llama/compat/)
and what the engine reads (llama.cpp, src/models/ and tools/mtmd/clip.cpp). docs/gguf.md lists what
was tried with the real engine.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from ayllu.gguf import arch
from ayllu.gguf.read import Header
from ayllu.gguf.sheet import Sheet
from ayllu.gguf.texts import ROWS
from ayllu.gguf.towers import TOWERS, project

VERSION = 1
"""To be raised with every change of what is derived."""

_LONGEST_OVERRIDE = 127


class Correction(Struct, frozen=True):
    """What a file is replaced with. A model of whose keys a few are set needs no new file.

    `overrides` are those keys; `model` and `projector` are files to be written.
    """

    overrides: dict[str, str | int | float | bool]
    model: Sheet | None = None
    projector: Sheet | None = None


def correction(path: Path, header: Header) -> Correction | None:
    """What has to be done to a file before the engine takes it; None where it takes it as it is.

    Raises GGUFError for a file that is odd, and damaged besides.
    """
    name = arch.architecture(header)
    row = ROWS.get(name)
    sheet = Sheet(path, header)
    if row is None or arch.split_count(header) > 1 or not row.marks(sheet):
        return None
    tower = TOWERS.get(name)
    projector = project(Sheet(path, header), tower) if tower and sheet.has("v.") else None
    row.mend(sheet)
    # Of a projector the engine is told no keys.
    if name != "clip" and (overrides := _overrides(sheet)) is not None:
        return Correction(overrides) if overrides else None
    return Correction({}, sheet, projector)


def _overrides(sheet: Sheet) -> dict[str, str | int | float | bool] | None:
    """The keys that were set, where nothing else was changed."""
    before = Sheet(sheet.path, sheet.header)
    if sheet.tensors != before.tensors or before.keys.keys() - sheet.keys.keys():
        return None
    changed = {key: item.value for key, item in sheet.keys.items() if item != before.keys.get(key)}
    found: dict[str, str | int | float | bool] = {}
    for key, value in changed.items():
        if not isinstance(value, str | int | float | bool):
            return None
        if key == "general.architecture" or not _is_plain(key) or not _is_plain(value):
            return None
        found[key] = value
    return found


def _is_plain(value: object) -> bool:
    """Whether the engine's command line can carry it."""
    written = str(value)
    plain = written.isascii() and written.isprintable() and not set(written) & set(",\"'=:")
    return plain and len(written) <= _LONGEST_OVERRIDE
