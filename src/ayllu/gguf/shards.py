"""Models that lie in several files: `NAME-00001-of-00005.gguf` and its siblings.

The engine is given the first and finds the others by their names, in the same folder.
Source: llama.cpp src/llama.cpp, `llama_split_path`.
"""

from __future__ import annotations

import re
from pathlib import Path

_SHARD = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.gguf)", re.IGNORECASE)
MAX_SHARDS = 1 << 12


def shard_number(name: str) -> tuple[int, int] | None:
    """Which of how many parts a file is by its name; None for a whole model."""
    match = _SHARD.fullmatch(name)
    if match is None or not 1 <= int(match[2]) <= int(match[3]) <= MAX_SHARDS:
        return None
    return int(match[2]), int(match[3])


def set_name(name: str) -> str:
    """A file's name without its number and its ending: what the parts of a model share."""
    match = _SHARD.fullmatch(name)
    return match[1] if match and shard_number(name) else Path(name).stem


def shards_of(path: Path) -> tuple[Path, ...]:
    """All parts of the model whose first part this is, there or not; a whole model is its own."""
    match = _SHARD.fullmatch(path.name)
    if match is None or (number := shard_number(path.name)) is None or number[0] != 1:
        return (path,)
    return tuple(
        path.with_name(f"{match[1]}-{part:05d}-of-{match[3]}{match[4]}")
        for part in range(1, number[1] + 1)
    )
