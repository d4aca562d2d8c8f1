"""Which models came from a registry, so that an update never touches one of the user's own.

A small file per model below `.ayllu.pulled` in the models folder, which Ollama does not look at.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from ayllu.models.files import draft, using
from ayllu.models.name import manifest_path
from ayllu.models.store import Store, StoredManifest


class Pulled(Struct, frozen=True):
    """What was pulled: the manifest's hex digest, and whether over `http` or `https`.

    `revision` is the repository's where the Hub's files were put together to a model here.
    """

    digest: str
    scheme: str
    revision: str = ""


def note_pull(store: Store, stored: StoredManifest, scheme: str, revision: str = "") -> None:
    """Remember where a model came from."""
    path = _path(store, stored)
    with using(store.root), draft(path.parent) as new:
        new.write(msgspec.json.encode(Pulled(stored.digest, scheme, revision)))
        new.publish(path)


def find_pull(store: Store, stored: StoredManifest) -> Pulled | None:
    """How a model was pulled; None where it was not, or was made anew since."""
    with using(store.root):
        try:
            found = msgspec.json.decode(_path(store, stored).read_bytes(), type=Pulled)
        except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
            return None
    return found if found.digest == stored.digest else None


def _path(store: Store, stored: StoredManifest) -> Path:
    return store.root / ".ayllu.pulled" / manifest_path(stored.name)
