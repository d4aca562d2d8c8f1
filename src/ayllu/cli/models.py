"""The commands that look after stored and loaded models: list, show, ps, stop, cp and rm."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import click

from ayllu.cli.client import Client, call
from ayllu.cli.print import clean, note, parse_time, relative_time, write_table
from ayllu.cli.show import describe
from ayllu.cli.tune_watch import under_way
from ayllu.cli.wire import (
    AylluModel,
    AylluModelsReply,
    Chunk,
    ListedModel,
    ListReply,
    Placement,
    RunningModel,
    RunningReply,
    ShowReply,
)
from ayllu.config import load_settings
from ayllu.errors import AylluError, NotFoundError
from ayllu.values import human_bytes

ID_DIGITS = 12


@click.command("list")
@click.argument("prefix", default="")
@click.option("--all", "everywhere", is_flag=True, help="Those of all machines of the ayllu.")
def list_models(prefix: str, everywhere: bool) -> None:
    """List the models in the store whose names begin with PREFIX."""
    show = _print_everywhere if everywhere else print_models
    call(lambda client: show(client, prefix))


async def _print_everywhere(client: Client, prefix: str) -> None:
    """Print the table of all machines' models; a star marks who has one in memory."""
    reply = await client.get("/api/cluster/models", AylluModelsReply)
    rows = [
        (model.name, model.digest[:ID_DIGITS], human_bytes(model.size), _where(model))
        for model in reply.models
        if _begins(model.name, prefix)
    ]
    write_table(("NAME", "ID", "SIZE", "WHERE"), rows)


def _where(model: AylluModel) -> str:
    """The machines that have a model, this one first."""
    nodes = sorted(model.nodes, key=lambda node: (not node.here, node.name))
    names = ("here" if node.here else node.name for node in nodes)
    return ", ".join(
        f"{name}*" * node.loaded or name for name, node in zip(names, nodes, strict=True)
    )


async def print_models(client: Client, prefix: str = "") -> None:
    """Print the table of stored models."""
    reply = await client.get("/api/tags", ListReply)
    now = datetime.now(UTC)
    rows = [_list_row(model, now) for model in reply.models or () if _begins(model.name, prefix)]
    write_table(("NAME", "ID", "SIZE", "MODIFIED"), rows)


def _list_row(model: ListedModel, now: datetime) -> tuple[str, ...]:
    size = "-" if model.remote_model else human_bytes(model.size)
    return model.name, model.digest[:ID_DIGITS], size, relative_time(model.modified_at, now)


def _begins(name: str, prefix: str) -> bool:
    return name.lower().startswith(prefix.lower())


@click.command()
@click.argument("prefix", default="")
def ps(prefix: str) -> None:
    """List the models in memory whose names begin with PREFIX, and what is being fine-tuned."""
    call(lambda client: _print_running(client, prefix))


async def _print_running(client: Client, prefix: str) -> None:
    reply = await client.get("/api/ps", RunningReply)
    now = datetime.now(UTC)
    models = [model for model in reply.models or () if _begins(model.name, prefix)]
    header = ["NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"]
    rows = [_running_row(model, now) for model in models]
    for name, column in _placements([model.ayllu for model in models]):
        if any(cell not in {"-", "0"} for cell in column):
            header.append(name)
            rows = [(*row, cell) for row, cell in zip(rows, column, strict=True)]
    write_table(header, rows)
    for line in await under_way(client):
        note(line)


def _placements(found: Sequence[Placement]) -> Iterator[tuple[str, list[str]]]:
    """The columns that only some models have anything in."""
    yield "TOKENS/S", [one.speed for one in found]
    yield "LAYERS", [one.machines or "-" for one in found]
    yield "REPLAYS", [str(one.replays) for one in found]


def _running_row(model: RunningModel, now: datetime) -> tuple[str, ...]:
    return (
        model.name,
        model.digest[:ID_DIGITS],
        human_bytes(model.size),
        processor(model.size, model.size_vram),
        str(model.context_length),
        _until(model.expires_at, now),
    )


def processor(size: int, size_vram: int) -> str:
    """Where a model of `size` bytes lies, `size_vram` of them on GPUs."""
    if size_vram == 0:
        return "100% CPU"
    if size_vram == size:
        return "100% GPU"
    if size_vram > size or size <= 0:
        return "Unknown"
    cpu = int((size - size_vram) / size * 100 + 0.5)
    return f"{cpu}%/{100 - cpu}% CPU/GPU"


def _until(expires_at: str, now: datetime) -> str:
    moment = parse_time(expires_at)
    if moment is not None and moment < now:
        return "Stopping..."
    return relative_time(expires_at, now)


@click.command()
@click.argument("model")
@click.option("--license", is_flag=True, help="Only the licence.")
@click.option("--modelfile", is_flag=True, help="Only the Modelfile.")
@click.option("--parameters", is_flag=True, help="Only the parameters.")
@click.option("--system", is_flag=True, help="Only the system message.")
@click.option("--template", is_flag=True, help="Only the prompt template.")
@click.option("-v", "--verbose", is_flag=True, help="Metadata and tensors too.")
def show(model: str, verbose: bool, **wanted: bool) -> None:
    """Show what is known about MODEL."""
    fields = [field for field, is_wanted in wanted.items() if is_wanted]
    if len(fields) > 1:
        raise click.ClickException(
            "only one of '--license', '--modelfile', '--parameters', '--system', or '--template' "
            "can be specified"
        )
    reply = call(
        lambda client: client.post("/api/show", {"model": model, "verbose": verbose}, ShowReply)
    )
    print(field_text(reply, fields[0]) if fields else describe(reply, verbose=verbose), end="")


def field_text(reply: ShowReply, field: str) -> str:
    """One field as it is stored; licence, Modelfile and parameters end their last line."""
    text = reply.license_text if field == "license" else str(getattr(reply, field))
    if sys.stdout.isatty():
        text = clean(text)
    return text if field in {"system", "template"} else f"{text}\n"


@click.command()
@click.argument("model", required=False)
def stop(model: str | None) -> None:
    """Take MODEL out of memory; without one, stop the server."""
    if model is None:
        from ayllu.cli.background import stop_server

        stop_server(load_settings())
        return
    call(lambda client: _stop(client, model))


async def _stop(client: Client, model: str) -> None:
    try:
        await unload(client, model)
    except NotFoundError as error:
        raise NotFoundError(f'couldn\'t find model "{model}" to stop') from error


async def unload(client: Client, model: str) -> None:
    """Take a model out of memory, whether it is there or not."""
    await client.post("/api/generate", {"model": model, "keep_alive": 0, "stream": False}, Chunk)


@click.command("cp")
@click.argument("source")
@click.argument("destination")
def copy(source: str, destination: str) -> None:
    """Copy the model SOURCE to the name DESTINATION."""
    body = {"source": source, "destination": destination}
    call(lambda client: client.send("POST", "/api/copy", body))
    print(f"copied '{source}' to '{destination}'")


@click.command("rm")
@click.argument("models", nargs=-1, required=True)
def remove(models: tuple[str, ...]) -> None:
    """Delete MODELS."""
    if not call(lambda client: _remove_all(client, models)):
        raise click.exceptions.Exit(1)


async def _remove_all(client: Client, models: Iterable[str]) -> bool:
    """Delete what can be deleted; False when something could not."""
    done = True
    for model in models:
        try:
            await _remove(client, model)
        except AylluError as error:
            note(f"Error: {error.sentence}")
            done = False
    return done


async def _remove(client: Client, model: str) -> None:
    try:
        await unload(client, model)
    except NotFoundError:
        pass  # the deletion says so
    except AylluError:
        note(f"Warning: unable to stop model '{model}'")
    await client.send("DELETE", "/api/delete", {"model": model})
    print(f"deleted '{model}'")
