"""What the owner chose with `ayllu up`, kept beside the identity for later starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from ayllu.cluster.folder import read, write

FILE = "choices.json"
_Text = Annotated[str, Meta(max_length=256)]


class Choices(Struct, frozen=True):
    """The machine's name, the trusted network's secret and addresses of machines; or empty."""

    name: _Text = ""
    trusted_lan: _Text = ""
    peers: Annotated[tuple[_Text, ...], Meta(max_length=64)] = ()

    def over(self, before: Choices) -> Choices:
        """These, and where one was not made the earlier one."""
        return Choices(
            self.name or before.name,
            self.trusted_lan or before.trusted_lan,
            tuple(dict.fromkeys((*before.peers, *self.peers))),
        )


def load(folder: Path) -> Choices:
    """What was chosen before. Raises StoreError for a file that is damaged."""
    return read(folder / FILE, Choices) or Choices()


def save(folder: Path, choices: Choices) -> None:
    """Keep what was chosen; only the owner can read it. Raises StoreError."""
    write(folder / FILE, msgspec.json.encode(choices))
