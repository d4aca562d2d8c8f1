"""`ayllu push`: send a model to the registry that its name says."""

from __future__ import annotations

import click

from ayllu.cli.client import Client, call
from ayllu.cli.progress import follow, showing
from ayllu.cli.wire import ProgressLine
from ayllu.models.name import parse_name, short_name
from ayllu.types import ModelName

_OLLAMAS = (".ollama.ai", ".ollama.com")


@click.command()
@click.argument("model")
@click.option("--insecure", is_flag=True, help="Upload over an insecure registry connection.")
def push(model: str, insecure: bool) -> None:
    """Upload MODEL to the registry that its name begins with, Ollama's where it names none."""
    name = parse_name(model)
    call(lambda client: _upload(client, model, insecure=insecure))
    print(f"\nYou can find your model at:\n\n\t{_place(name)}")


async def _upload(client: Client, model: str, *, insecure: bool) -> None:
    """Have the server send a model, with progress on stderr."""
    body = {"model": model, "insecure": insecure}
    async with showing() as progress:
        await follow(client.stream("/api/push", body, ProgressLine), progress)


def _place(name: ModelName) -> str:
    """Where others find it: a page of Ollama's, or the name itself."""
    short = short_name(name)
    if name.host.lower().endswith(_OLLAMAS):
        return f"https://ollama.com/{short.removesuffix(':latest')}"
    return short
