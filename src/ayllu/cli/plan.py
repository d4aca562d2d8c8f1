"""`ayllu plan`: which machines would run a model, how fast, and why."""

from __future__ import annotations

import click
import msgspec
from msgspec import Struct

from ayllu.cli.client import Client, call
from ayllu.cli.nodes_table import figure
from ayllu.cli.print import clean_line, table
from ayllu.cli.wire import Stage
from ayllu.errors import AylluError
from ayllu.types import Json
from ayllu.values import human_bytes

PLAN = "/api/cluster/plan"


class Candidate(Struct, frozen=True):
    """A way to run the model. Times are in seconds."""

    kind: str
    stages: tuple[Stage, ...]
    tokens_per_second: float
    first_token: float
    wait: float = 0.0
    why: str = ""


class Plan(Struct, frozen=True):
    """POST /api/cluster/plan, as far as it is shown. `size` is in bytes."""

    model: str
    context: int
    slots: int
    layers: int
    size: int
    candidates: tuple[Candidate, ...]
    refusal: str = ""


@click.command()
@click.argument("model")
@click.option("--ctx", type=int, metavar="N", help="Tokens of context of each request.")
@click.option("--slots", type=int, metavar="N", help="Requests that are served at once.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(model: str, ctx: int | None, slots: int | None, *, as_json: bool) -> None:
    """Say which machines would run MODEL, how fast it would be, and why.

    The first line is the one that would be taken: local is this machine, route another one,
    replicate one more copy on another, split several machines, each with some of the layers. TOK/S
    is for one stream, FIRST TOKEN for a prompt of 512 tokens, by what was measured of the machines
    and the ways between them. WAIT is for requests ahead, loading and copying. Nothing is loaded.
    """
    asked: dict[str, Json] = {"model": model, "context": ctx, "slots": slots}
    body = {name: value for name, value in asked.items() if value is not None}
    call(lambda client: _print_json(client, body) if as_json else _print(client, body))


async def _print_json(client: Client, body: dict[str, Json]) -> None:
    found = await client.post(PLAN, body, dict)
    print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())


async def _print(client: Client, body: dict[str, Json]) -> None:
    found = await client.post(PLAN, body, Plan)
    if found.refusal:
        raise AylluError(clean_line(f"{found.model} {found.refusal}"))
    print(plan_text(found), end="")


def plan_text(found: Plan) -> str:
    """The candidates as a table, the best marked, and what they are for."""
    header = ("", "KIND", "MACHINES", "TOK/S", "FIRST TOKEN", "WAIT", "MEMORY", "WHY")
    rows = [_row(one, "*" if not place else "") for place, one in enumerate(found.candidates)]
    slots = f"{found.slots} slot{'' if found.slots == 1 else 's'}"
    about = (
        f"{clean_line(found.model)}: {human_bytes(found.size)} in {found.layers} layers, "
        f"{slots} of {found.context} tokens of context.\n\n"
    )
    lines = table([header, *rows], gap=2).splitlines()
    return about + "".join(f"{line.rstrip()}\n" for line in lines)


def _row(one: Candidate, mark: str) -> tuple[str, ...]:
    is_split = len(one.stages) > 1
    machines = (f"{stage.name} {stage.layers}" if is_split else stage.name for stage in one.stages)
    return (
        mark,
        one.kind,
        " + ".join(machines),
        figure(one.tokens_per_second),
        f"{figure(one.first_token)} s",
        f"{figure(one.wait)} s" if one.wait else "-",
        " + ".join(human_bytes(stage.size) for stage in one.stages),
        one.why,
    )
