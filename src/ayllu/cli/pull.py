"""Downloading models: the command `pull`, and on the way of a command that needs a model."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

import click
from msgspec import structs

from ayllu.cli.client import Client, call
from ayllu.cli.print import note
from ayllu.cli.progress import follow, showing
from ayllu.cli.wire import ListReply, NodeProgressLine, ProgressLine
from ayllu.errors import AylluError, NotFoundError

_OWN = "not pulled from a registry"
_SAME = "up to date"


@click.command("pull")
@click.argument("models", metavar="MODEL...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Update all models that were pulled.")
@click.option("--insecure", is_flag=True, help="Download over an insecure registry connection.")
@click.option(
    "--on",
    "nodes",
    metavar="NODE",
    multiple=True,
    help="Have another machine of the ayllu get them: its name, or `all`. May be repeated.",
)
def pull_models(
    models: tuple[str, ...], everything: bool, insecure: bool, nodes: tuple[str, ...]
) -> None:
    """Download MODELs; one that ships with Ayllu and was removed comes back.

    With --all, get every model again that was pulled before and is another one by now.
    """
    if bool(models) == everything:
        raise click.UsageError("say which MODELs, or --all")
    if everything and nodes:
        raise click.UsageError("--all updates this machine: --on wants MODELs")
    order = {"insecure": insecure, **({"on": list(nodes)} if nodes else {})}
    failed = call(_update_all if everything else lambda client: _pull_each(client, models, order))
    if failed:
        raise click.exceptions.Exit(1)


async def pull(client: Client, model: str, *, insecure: bool) -> None:
    """Get a model that is not on this machine.

    Raises NotFoundError, in one sentence with a remedy, when it cannot be had.
    """
    try:
        await _download(client, {"model": model, "insecure": insecure})
    except AylluError as error:
        raise NotFoundError(
            f"model '{model}' is not on this machine and could not be downloaded "
            f"({error.sentence}); 'ayllu create {model} FILE.gguf' makes it from a file"
        ) from error


async def _pull_each(client: Client, models: tuple[str, ...], order: dict[str, object]) -> int:
    """Get some models, though others cannot be had; returns how many could not.

    `order` is what the requests have in common; `on` are the machines that are to get them.
    """
    failed = 0
    for model in models:
        download = _download_on if "on" in order else _download
        try:
            await download(client, {"model": model, **order})
        except AylluError as error:
            if len(models) == 1:
                raise
            note(f"Error: {model}: {error.sentence}")
            failed += 1
    return failed


async def _update_all(client: Client) -> int:
    """Update what came from registries and say of each model what became of it.

    Returns how many could not be.
    """
    reply = await client.get("/api/tags", ListReply)
    failed = 0
    for name in sorted(model.name for model in reply.models or ()):
        try:
            statuses = await _download(client, {"model": name, "update": True})
        except AylluError as error:
            print(f"{name}: failed: {error.sentence}")
            failed += 1
        else:
            said = next((word for word in (_OWN, _SAME) if word in statuses), "updated")
            print(f"{name}: {said}")
    return failed


async def _download(client: Client, body: dict[str, object]) -> set[str]:
    """Have the server get a model, with progress on stderr; returns the statuses."""
    async with showing() as progress:
        await follow(client.stream("/api/pull", body, ProgressLine), progress)
        return progress.begun


async def _download_on(client: Client, body: dict[str, object]) -> None:
    """Have machines of the ayllu get a model, with the progress of each on stderr."""
    async with showing() as progress:
        lines = client.stream("/api/cluster/pull", body, NodeProgressLine)
        await follow(_told_apart(lines), progress)


async def _told_apart(
    lines: AsyncGenerator[NodeProgressLine, None],
) -> AsyncGenerator[ProgressLine, None]:
    """The same lines with the machine's name before each step, so that each has bars of its own."""
    async with aclosing(lines):
        async for line in lines:
            if not line.name:
                yield line
                continue
            status = f"{line.name}: {line.failed or line.status}"
            digest = line.digest and f"{line.node} {line.digest}"
            yield structs.replace(line, status=status, digest=digest)
