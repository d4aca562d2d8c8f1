"""Downloading a model: the command `pull`, and on the way of a command that needs the model."""

from __future__ import annotations

import click

from ayllu.cli.client import Client, call
from ayllu.cli.progress import follow, showing
from ayllu.cli.wire import ProgressLine
from ayllu.errors import AylluError, NotFoundError


@click.command("pull")
@click.argument("model")
@click.option("--insecure", is_flag=True, help="Download over an insecure registry connection.")
def pull_model(model: str, insecure: bool) -> None:
    """Download MODEL; one that ships with Ayllu and was removed comes back."""
    call(lambda client: _download(client, model, insecure=insecure))


async def pull(client: Client, model: str, *, insecure: bool) -> None:
    """Get a model that is not on this machine.

    Raises NotFoundError, in one sentence with a remedy, when it cannot be had.
    """
    try:
        await _download(client, model, insecure=insecure)
    except AylluError as error:
        raise NotFoundError(
            f"model '{model}' is not on this machine and could not be downloaded "
            f"({error.sentence}); 'ayllu create {model} FILE.gguf' makes it from a file"
        ) from error


async def _download(client: Client, model: str, *, insecure: bool) -> None:
    """Have the server get a model, with progress on stderr."""
    body = {"model": model, "insecure": insecure}
    async with showing() as progress:
        await follow(client.stream("/api/pull", body, ProgressLine), progress)
