"""What the owner gives of this machine: memory for models, and to other machines hours of the day.

What was chosen by `ayllu contribute` is kept in the home folder, and wins over the settings. Pure,
apart from that file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, structs

from ayllu import values
from ayllu.cluster.folder import read, unusable, write
from ayllu.cluster.record import Contribution, Hardware
from ayllu.config import Settings
from ayllu.values import Hours, Portion

FILE = "contribute.json"
"""In the home folder: it stays when the machine leaves its ayllu."""
_Text = Annotated[str, Meta(max_length=256)]


class Chosen(Struct, frozen=True, omit_defaults=True):
    """What was chosen, in the words of the settings; null: the setting counts."""

    contribute: bool | None = None
    ram: _Text | None = None
    vram: _Text | None = None
    hours: _Text | None = None

    def over(self, before: Chosen) -> Chosen:
        """These, and where one was not made the earlier one."""
        made = {name: value for name, value in structs.asdict(self).items() if value is not None}
        return structs.replace(before, **made)


class Terms(Struct, frozen=True):
    """What counts: `contribute` is whether others may use the machine at all."""

    contribute: bool
    ram: Portion
    vram: Portion
    hours: Hours

    def at(self, hour: int, hardware: Hardware) -> Contribution:
        """What that is on a machine, at an hour (0 to 23) of its local time."""
        return Contribution(
            ram=self.ram.of(hardware.ram_total),
            vram=self.vram.of(sum(gpu.vram_total for gpu in hardware.gpus)),
            enabled=self.contribute and self.hours.has(hour),
        )

    @property
    def refusal(self) -> str:
        """Why other machines may not use this one now."""
        if not self.contribute:
            return "its owner lets no other machines use it: AYLLU_CONTRIBUTE is off"
        return f"other machines may use it from {self.hours.text} only: AYLLU_CONTRIBUTE_HOURS"


def terms(settings: Settings, chosen: Chosen) -> Terms:
    """The settings, and over them what was chosen. Raises ValueError for a text that is none."""
    return Terms(
        settings.contribute if chosen.contribute is None else chosen.contribute,
        settings.contribute_ram if chosen.ram is None else values.portion(chosen.ram),
        settings.contribute_vram if chosen.vram is None else values.portion(chosen.vram),
        settings.contribute_hours if chosen.hours is None else values.hours(chosen.hours),
    )


def load(settings: Settings) -> Chosen:
    """What was chosen before. Raises StoreError for a file that is damaged."""
    path = settings.home / FILE
    chosen = read(path, Chosen) or Chosen()
    try:
        terms(settings, chosen)
    except ValueError as error:
        raise unusable(path, error) from error
    return chosen


def save(home: Path, chosen: Chosen) -> None:
    """Keep what was chosen. Raises StoreError."""
    write(home / FILE, msgspec.json.encode(chosen))


def limits(given: Contribution) -> str:
    """What the owner gives models of this machine, as sentences that follow another; or nothing."""
    named = (("RAM", given.ram), ("VRAM", given.vram))
    said = [
        f"AYLLU_CONTRIBUTE_{name} gives models {values.human_bytes(size)} on this machine"
        for name, size in named
        if size
    ]
    return "".join(f". {sentence}" for sentence in said)
