"""`ayllu tune`: train a model on files of your own, and what belongs to that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from ayllu.cli.blobs import Blobs
from ayllu.cli.client import Client, call
from ayllu.cli.create import create_model, read_definition
from ayllu.cli.files import data_files
from ayllu.cli.local import file_model_name, model_of_file
from ayllu.cli.print import note
from ayllu.cli.progress import showing, spinning
from ayllu.cli.pull import pull
from ayllu.cli.session import show_model
from ayllu.cli.tune_eval import eval_command
from ayllu.cli.tune_jobs import cancel, export, list_jobs, remove, resume, show, watch
from ayllu.cli.tune_preview import write_preview
from ayllu.cli.tune_watch import follow_job, staying
from ayllu.cli.wire_tune import Begun
from ayllu.config import load_settings
from ayllu.errors import NotFoundError
from ayllu.types import Json

Command = Callable[..., None]

_START = "start"
_POSITIVE = click.IntRange(min=1)
_SHARE = click.FloatRange(0, 1)
_ABOVE = click.FloatRange(0, min_open=True)

_SETTINGS = (
    click.option(
        "--method",
        type=click.Choice(["lora", "full", "qlora"]),
        help="An adapter (lora), all weights (full), or an adapter on 4-bit weights (qlora, GPUs).",
    ),
    click.option("--rank", type=_POSITIVE, help="Rank of the adapter: 16."),
    click.option("--alpha", type=_ABOVE, help="Its weight, over the rank: 32."),
    click.option("--dropout", type=_SHARE, help="Share of the adapter's inputs dropped: 0."),
    click.option("--targets", metavar="NAME,...", help="Layers that get one: all linear ones."),
    click.option("--rslora", is_flag=True, default=None, help="Scale by the rank's square root."),
    click.option("--dora", is_flag=True, default=None, help="Train directions and lengths apart."),
    click.option("--learning-rate", type=_ABOVE, help="The highest learning rate."),
    click.option(
        "--schedule",
        type=click.Choice(["cosine", "linear", "constant"]),
        help="How the rate falls after the warm-up: cosine.",
    ),
    click.option("--warmup", type=_SHARE, help="Share of the steps until it is reached: 0.05."),
    click.option("--weight-decay", type=_SHARE, help="How much weights decay: 0."),
    click.option("--clip", type=_ABOVE, help="The norm that gradients are cut to: 1."),
    click.option("--epochs", type=_ABOVE, help="Passes over the data."),
    click.option("--steps", type=_POSITIVE, help="The most steps."),
    click.option("--batch", type=_POSITIVE, help="Examples computed at once."),
    click.option("--accumulate", type=_POSITIVE, help="Batches of a step."),
    click.option("--context", type=_POSITIVE, help="The most tokens of an example."),
    click.option(
        "--replay",
        type=click.FloatRange(0, 100),
        metavar="N",
        help="Texts that MODEL makes up for each of yours, to stay what it was: 1.",
    ),
    click.option(
        "--noise",
        type=_SHARE,
        help="Share of the prompts' words replaced at random: 0.2 where answers repeat, else 0.",
    ),
    click.option("--packing/--no-packing", default=None, help="Several examples in a row, or not."),
    click.option("--validation", type=_SHARE, help="Share of the examples held back: 0.1."),
    click.option(
        "--evaluate-every", type=_POSITIVE, metavar="STEPS", help="Measure the validation loss."
    ),
    click.option("--patience", type=_POSITIVE, help="Stop after so many evaluations without gain."),
    click.option(
        "--checkpoint-every", type=_POSITIVE, metavar="STEPS", help="Save what a resume needs."
    ),
    click.option(
        "--gradient-checkpointing", is_flag=True, default=None, help="Less memory, more time."
    ),
    click.option(
        "--dtype",
        type=click.Choice(["auto", "float32", "bfloat16"]),
        help="The numbers to compute with: what the machine is good at.",
    ),
    click.option("--seed", type=click.IntRange(0, (1 << 32) - 1), help="Of all that is random: 0."),
)
"""How to train; what is left out suits the model and the data."""


class _TuneGroup(click.Group):
    """The commands of `tune`; what is none of them is a model, and begins a training."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `start` before what names no command."""
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = [_START, *args]
        return super().parse_args(ctx, args)


@click.group(cls=_TuneGroup)
def tune() -> None:
    """Train a model on your own data: `ayllu tune MODEL --data FILE`.

    What comes of it is a model as any other. Jobs go on when this command or the server ends.
    `ayllu tune start --help` has the options.
    """


def _with_settings(command: Command) -> Command:
    for option in reversed(_SETTINGS):
        command = option(command)
    return command


@tune.command(_START)
@click.argument("model")
@click.option(
    "-d",
    "--data",
    metavar="PATH",
    multiple=True,
    required=True,
    help="A file, or a folder of files: JSONL, JSON, CSV, Parquet, text. May be repeated.",
)
@click.option("-n", "--name", help="The new model's name: MODEL-tuned.")
@click.option("--preview", is_flag=True, help="Show what would be trained on, and what it takes.")
@click.option("--strict", is_flag=True, help="Refuse data that has bad rows.")
@click.option("--system", metavar="TEXT", help="The new model's system prompt.")
@click.option("--merge", is_flag=True, help="Make a model of one piece, without an adapter.")
@click.option("-q", "--quantize", metavar="TYPE", help="Its type, with --merge: q4_k_m.")
@click.option("--node", help="The machine that trains: the one that would be done first.")
@click.option(
    "--data-parallel", is_flag=True, help="Have other machines compute parts, if that is faster."
)
@click.option("--detach", is_flag=True, help="Begin, and do not wait for the end.")
@_with_settings
def start(model: str, data: tuple[str, ...], preview: bool, detach: bool, **asked: Json) -> None:
    """Train MODEL on the files of --data. The word `start` may be left out.

    MODEL is a model's name, a GGUF file, or a folder with a model of Hugging Face's.
    """
    body = {name: value for name, value in asked.items() if value is not None}
    if isinstance(targets := asked.get("targets"), str):
        body["targets"] = [word.strip() for word in targets.split(",") if word.strip()]
    files = data_files(data)
    if preview:
        call(lambda client: _preview(client, model, files, body))
    else:
        with staying() as job:
            call(lambda client: _begin(client, model, files, body, job, waits=not detach))


async def _preview(client: Client, model: str, files: list[Path], body: dict[str, Json]) -> None:
    body = await _order(client, model, files, body)
    async with spinning("preparing and measuring"):
        begun = await client.post("/api/tune", {**body, "preview": True}, Begun)
    if begun.preview is not None:
        write_preview(begun.preview)


async def _begin(
    client: Client,
    model: str,
    files: list[Path],
    body: dict[str, Json],
    staying_job: list[str],
    *,
    waits: bool,
) -> None:
    begun = await client.post("/api/tune", await _order(client, model, files, body), Begun)
    assert begun.job is not None  # noqa: S101 - no preview was asked for
    staying_job.append(begun.job.id)
    if waits:
        await follow_job(client, begun.job.id)
    else:
        print(begun.job.id)
        note(f"`ayllu tune watch {begun.job.id}` shows how it goes.")


async def _order(
    client: Client, model: str, files: list[Path], body: dict[str, Json]
) -> dict[str, Json]:
    """The request: with a base that the server has, and the files as blobs of its."""
    base = await _base(client, model)
    async with showing() as progress:
        digests = await Blobs(client, load_settings(), progress).send_all(files)
    return {"model": base, "data": digests, **body}


async def _base(client: Client, text: str) -> str:
    """The base's name; one that is a folder or not here yet becomes a model first."""
    if (name := _folder_name(text)) is not None:
        note(f"{text} becomes the model {name}")
        await create_model(client, name, read_definition(text))
        return name
    name = await model_of_file(client, text)
    try:
        await show_model(client, name)
    except NotFoundError:
        await pull(client, name, insecure=False)
    return name


def _folder_name(text: str) -> str | None:
    """What a folder's model is to be called; None for what is no folder, or a model's name."""
    path = Path(text).expanduser()
    is_meant = text.startswith(("/", ".", "~")) or (path / "config.json").is_file()
    if not (is_meant and path.is_dir()):
        return None
    return file_model_name(path.resolve().name)


for _command in (list_jobs, show, watch, cancel, resume, remove, eval_command, export):
    tune.add_command(_command)
