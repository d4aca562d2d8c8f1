"""`ayllu contribute`: how much of this machine models may use, and when those of other machines."""

from __future__ import annotations

import click
from msgspec import Struct

from ayllu.cli.client import Client, call
from ayllu.cli.print import clean_line
from ayllu.types import Json

PATH = "/api/cluster/contribute"


class Now(Struct, frozen=True):
    """Whether others may use this machine at this moment."""

    enabled: bool = True


class Given(Struct, frozen=True):
    """GET /api/cluster/contribute, in the words of the settings."""

    contribute: bool
    ram: str = ""
    vram: str = ""
    hours: str = ""
    now: Now = Now()


@click.command()
@click.option("--ram", metavar="SIZE", help="Memory for models, as 8G or 50%; '': no limit.")
@click.option("--vram", metavar="SIZE", help="Graphics cards' memory for models, in the same way.")
@click.option("--hours", metavar="HOURS", help="When others may use it, as 22-7; '': always.")
@click.option("--on/--off", default=None, help="Whether others may use it at all.")
def contribute(ram: str | None, vram: str | None, hours: str | None, on: bool | None) -> None:
    """Show how much of this machine may be used, or change it from now on.

    Memory limits hold for all models on this machine, the others only for what other machines of
    the ayllu ask of it. What is given here wins over the settings, also at later starts.
    """
    asked: dict[str, Json] = {"ram": ram, "vram": vram, "hours": hours, "contribute": on}
    body = {name: value for name, value in asked.items() if value is not None}
    call(lambda client: _change(client, body))


async def _change(client: Client, body: dict[str, Json]) -> None:
    if body:
        await client.send("PUT", PATH, body)
    given = await client.get(PATH, Given)
    print(f"Models may take {_part(given.ram)} memory and {_part(given.vram)} VRAM.")
    print(f"Other machines of the ayllu may {_when(given)}.")


def _part(text: str) -> str:
    return f"{clean_line(text)} of this machine's" if text else "all of this machine's"


def _when(given: Given) -> str:
    if not given.contribute:
        return "not use it"
    if not given.hours:
        return "use it at any time"
    return f"use it from {clean_line(given.hours)}, {'now too' if given.now.enabled else 'not now'}"
