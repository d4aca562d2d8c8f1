"""Which models came from a registry, so that an update never touches one of the user's own.

A small file per model below `.ayllu.pulled` in the models folder, which Ollama does not look at.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from ayllu.models.files import draft, using
from ayllu.models.name import manifest_path
from ayllu.models.stored import StoredManifest
from ayllu.types import ModelName


class Pulled(Struct, frozen=True):
    """What was pulled: the manifest's hex digest, and whether over `http` or `https`.

    `revision` is the repository's where the Hub's files were put together to a model here.
    """

    digest: str
    scheme: str
    revision: str = ""


def note_pull(root: Path, stored: StoredManifest, scheme: str, revision: str = "") -> None:
    """Remember where a model of the store at `root` came from."""
    path = _path(root, stored.name)
    with using(root), draft(path.parent) as new:
        new.write(msgspec.json.encode(Pulled(stored.digest, scheme, revision)))
        new.publish(path)


def find_pull(root: Path, stored: StoredManifest) -> Pulled | None:
    """How a model was pulled; None where it was not, or was made anew since."""
    with using(root):
        try:
            found = msgspec.json.decode(_path(root, stored.name).read_bytes(), type=Pulled)
        except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
            return None
    return found if found.digest == stored.digest else None


def forget_pull(root: Path, name: ModelName) -> None:
    """Forget a model that is gone."""
    _path(root, name).unlink(missing_ok=True)


def _path(root: Path, name: ModelName) -> Path:
    return root / ".ayllu.pulled" / manifest_path(name)
