"""Where corrected copies of odd GGUFs lie: in a folder of the store's that Ollama does not look at.

A copy is named after its source's digest and the version of the table that made it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path

from ayllu.gguf.compat import VERSION
from ayllu.models.files import TEMPORARY_PREFIX
from ayllu.models.folders import age_of, entries

FOLDER = ".ayllu.compat"
LOCK = "lock"
_NAME = re.compile(r"(sha256-[0-9a-f]{64})-(\d+)\.(?:model|projector)\.gguf")


def stem_of(root: Path, digest: str) -> Path:
    """Where the copies of a file belong, up to their endings. The digest is a parsed one."""
    return root / FOLDER / f"{digest.replace(':', '-')}-{VERSION}"


def prune_copies(root: Path, used: Callable[[], Collection[str]], age: float) -> tuple[str, ...]:
    """Remove copies of files that no model has, and of other versions; returns their names.

    `used` gives the digests that models have. Temporary files go when they are older than `age`
    seconds.
    """
    removed = []
    found = {path: _NAME.fullmatch(path.name) for path in entries(root / FOLDER)}
    digests = {digest.replace(":", "-") for digest in used()} if any(found.values()) else set()
    for path, name in found.items():
        if name:
            stale = int(name[2]) != VERSION or name[1] not in digests
        else:
            stale = path.name.startswith(TEMPORARY_PREFIX) and age_of(path) > age
        if stale and path.is_file():
            path.unlink(missing_ok=True)
            removed.append(path.name)
    return tuple(removed)
