"""`ayllu deploy` and `ayllu undeploy`: a model on machines that its owner names."""

from __future__ import annotations

from urllib.parse import quote

import click
from msgspec import Struct

from ayllu.cli.client import Client, call
from ayllu.cli.print import clean_line
from ayllu.cli.progress import follow, showing
from ayllu.cli.wire import Placement, ProgressLine
from ayllu.types import Json

PATH = "/api/cluster/deployments"


class Deployment(Struct, frozen=True):
    """A model that runs on several machines; `name` is that of the one that answers."""

    id: str
    model: str
    name: str = ""
    placement: Placement = Placement()


class DeployLine(ProgressLine, frozen=True):
    """A line of POST /api/cluster/deployments."""

    deployment: Deployment | None = None


class Undeployed(Struct, frozen=True):
    """The deployment that is none any more."""

    id: str
    model: str


@click.command()
@click.argument("model")
@click.option("--nodes", metavar="NODE,...", help="The machines, this one first.")
@click.option("--split", metavar="LAYERS,...", help="How many layers each of them gets.")
@click.option("--ctx", type=click.IntRange(min=1), help="Tokens of context of each request.")
@click.option("--slots", type=click.IntRange(min=1), help="Requests at once.")
@click.option("--tensor-split", is_flag=True, help="Have all machines work at each layer.")
def deploy(
    model: str,
    nodes: str | None,
    split: str | None,
    ctx: int | None,
    slots: int | None,
    tensor_split: bool,
) -> None:
    """Run MODEL on several machines, and keep it there until `ayllu undeploy`.

    This machine answers for it and needs the model; the others get what they need. What is left out
    is decided as for any model. Where a machine is lost the model is placed anew without it.
    """
    asked: dict[str, Json] = {"model": model, "tensor_split": tensor_split}
    if nodes is not None:
        asked["nodes"] = [word.strip() for word in nodes.split(",")]
    if split is not None:
        asked["split"] = [_number(word) for word in split.split(",")]
    asked |= {name: count for name, count in (("context", ctx), ("slots", slots)) if count}
    call(lambda client: _deploy(client, asked))


def _number(word: str) -> int:
    if not word.strip().isdecimal():
        raise click.BadParameter(f"{word!r} is no number of layers", param_hint="'--split'")
    return int(word)


async def _deploy(client: Client, asked: dict[str, Json]) -> None:
    async with showing() as progress:
        last = await follow(client.stream(PATH, asked, DeployLine), progress)
    if last.deployment is not None:
        print(_sentence(last.deployment))


def _sentence(made: Deployment) -> str:
    """What runs where, and how fast it should be."""
    where = made.placement.machines or clean_line(made.name)
    fast = f", {made.placement.predicted:.3g} tokens/s predicted" * bool(made.placement.predicted)
    return f"{clean_line(made.model)} ({clean_line(made.id)}) runs on {where}{fast}."


@click.command()
@click.argument("deployment", metavar="MODEL|ID")
def undeploy(deployment: str) -> None:
    """Let go a model that was deployed: it is unloaded, and loaded as any other from now on."""
    path = f"{PATH}/{quote(deployment, safe='/:')}"
    gone = call(lambda client: client.delete(path, Undeployed))
    print(f"{clean_line(gone.model)} ({clean_line(gone.id)}) is deployed no more.")
