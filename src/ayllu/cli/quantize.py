"""`ayllu quantize`: a smaller model of a model, what it costs, and what would fit this machine."""

from __future__ import annotations

import re
from pathlib import Path

import click
from msgspec import Struct

from ayllu.cli.blobs import Blobs
from ayllu.cli.client import Client, call
from ayllu.cli.print import write_table
from ayllu.cli.progress import Progress, follow, showing
from ayllu.cli.wire import PerplexityLine, PlanReply, ProgressLine, Quantization
from ayllu.config import load_settings
from ayllu.errors import BadRequestError
from ayllu.models.name import parse_name, short_name
from ayllu.types import Json, ModelName
from ayllu.values import human_bytes

BUILT_IN = ""
LONGEST_TEXT = 16 << 20
_TYPE_AT_END = re.compile(r"(^|-)(b?f(p)?(16|32)|i?q\d\w*|tq\d\w*|mxfp4\w*)$", re.IGNORECASE)


@click.command()
@click.argument("model")
@click.argument("kind", metavar="[TYPE]", required=False)
@click.argument("name", required=False)
@click.option(
    "--imatrix",
    metavar="[FILE]",
    is_flag=False,
    flag_value=BUILT_IN,
    help="Use an importance matrix: FILE is one, or a text to compute it from; without FILE it is "
    "computed from a text of Ayllu's. Put it last, or write --imatrix=FILE.",
)
@click.option("--requantize", is_flag=True, help="Even a model that is quantized already.")
@click.option("--measure", is_flag=True, help="Measure perplexity before and after.")
@click.option("--text", metavar="FILE", help="Measure on this text, not on Ayllu's own.")
@click.option("--chunks", type=int, metavar="N", help="Read so many chunks of the text: 40.")
@click.option("--context", type=int, metavar="N", help="Tokens of a chunk, or of a plan's context.")
@click.option("--plan", is_flag=True, help="Say which types fit this machine's memory.")
def quantize(  # noqa: PLR0913 - one for each option
    model: str,
    kind: str | None,
    name: str | None,
    imatrix: str | None,
    text: str | None,
    chunks: int | None,
    context: int | None,
    *,
    requantize: bool,
    measure: bool,
    plan: bool,
) -> None:
    """Make MODEL smaller: a model NAME, whose weights are of TYPE (q4_k_m).

    Without NAME, its tag says the type: mini becomes mini:q4_k_m. With --measure and no TYPE, MODEL
    itself is measured.
    """
    if plan:
        if kind or measure:
            raise click.UsageError("--plan makes nothing and measures nothing: give it MODEL alone")
        call(lambda client: _print_plan(client, model, context))
        return
    if kind is None and not measure:
        raise click.UsageError("give a TYPE, such as q4_k_m, or --plan to see what fits here")
    if (text or chunks or context) and not measure:
        raise click.UsageError("--text, --chunks and --context are for --measure")
    measured = {"text": _read_text(text) if text else None, "chunks": chunks, "context": context}
    order = Order(
        model=model,
        target=name or (quantized_name(parse_name(model), kind) if kind else ""),
        body={"from": model, "quantize": kind, "requantize": requantize},
        matrix=_file(imatrix) if imatrix else imatrix,
        measured=measured if measure else None,
    )
    _print_measured(call(lambda client: _quantize(client, order)))


class Order(Struct, frozen=True, kw_only=True):
    """What is to be done: `target` is empty where nothing is made.

    `body` is what /api/create is asked for, `measured` what /api/perplexity is, if at all.
    """

    model: str
    target: str
    body: dict[str, Json]
    matrix: Path | str | None
    measured: dict[str, Json] | None


def quantized_name(name: ModelName, kind: str) -> str:
    """What a model is called as another type: its tag ends in that type, in place of its own."""
    kind = kind.lower()
    bare = _TYPE_AT_END.sub("", name.tag)
    tag = kind if bare in {"", "latest"} else f"{bare}-{kind}"
    return short_name(ModelName(name.host, name.namespace, name.model, tag))


async def _quantize(client: Client, order: Order) -> dict[str, PerplexityLine]:
    """Make the model; returns what was measured, by the models' names."""
    found = {}
    async with showing() as progress:
        if order.measured is not None:
            found[order.model] = await _measure(client, order.model, order.measured, progress)
        if order.target:
            body = {"model": order.target, **order.body}
            if isinstance(order.matrix, Path):
                blobs = Blobs(client, load_settings(), progress)
                (body["imatrix"],) = (await blobs.send_all([order.matrix])).values()
            elif order.matrix is not None:
                body["imatrix"] = True
            await follow(client.stream("/api/create", body, ProgressLine), progress)
            if order.measured is not None:
                found[order.target] = await _measure(client, order.target, order.measured, progress)
    return found


async def _measure(
    client: Client, model: str, measured: dict[str, Json], progress: Progress
) -> PerplexityLine:
    lines = client.stream("/api/perplexity", {"model": model, **measured}, PerplexityLine)
    return await follow(lines, progress)


def _print_measured(found: dict[str, PerplexityLine]) -> None:
    if found:
        before = next(iter(found.values())).perplexity
        rows = [_measured_row(name, line, before) for name, line in found.items()]
        write_table(("NAME", "TYPE", "SIZE", "BITS/WEIGHT", "PERPLEXITY", "CHANGE"), rows)


def _measured_row(name: str, line: PerplexityLine, before: float) -> tuple[str, ...]:
    change = line.perplexity / before - 1 if before else 0
    return (
        name,
        line.quantization,
        human_bytes(line.size),
        f"{line.bits_per_weight:.2f}",
        f"{line.perplexity:.4f} ± {line.perplexity_error:.4f}",
        f"{change:+.2%}" if change else "",
    )


async def _print_plan(client: Client, model: str, context: int | None) -> None:
    body: dict[str, Json] = {"model": model, "context": context}
    plan = await client.post("/api/quantizations", body, PlanReply)
    header = ("TYPE", "SIZE", "BITS/WEIGHT", "MEMORY", "FITS", "IMATRIX")
    write_table(header, [_plan_row(row, plan) for row in plan.types])
    free, total = human_bytes(plan.memory_available), human_bytes(plan.memory_total)
    print(f"\nWith {plan.context} tokens of context; {free} of {total} of memory are free.")
    if not plan.recommended:
        print("None of the usual types fits: take a smaller model.")
    elif plan.recommended == plan.quantization:
        print(f"The model is {plan.recommended} already, which fits.")
    else:
        print(f"The best that fits with room to spare: ayllu quantize {model} {plan.recommended}")


def _plan_row(row: Quantization, plan: PlanReply) -> tuple[str, ...]:
    fits = "yes" if row.fits_now else "not now" if row.fits else "no"
    mark = " (now)" if row.type == plan.quantization else ""
    return (
        f"{row.type}{mark}",
        human_bytes(row.size),
        f"{row.bits_per_weight:.2f}",
        human_bytes(row.memory),
        fits,
        "needed" if row.needs_imatrix else "",
    )


def _file(path: str) -> Path:
    file = Path(path).expanduser()
    if not file.is_file():
        raise BadRequestError(
            f"there is no file {path}: --imatrix goes last, or is written as --imatrix=FILE"
        )
    return file


def _read_text(path: str) -> str:
    try:
        with Path(path).expanduser().open("rb") as file:
            data = file.read(LONGEST_TEXT + 1)
    except OSError as error:
        raise BadRequestError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > LONGEST_TEXT:
        raise BadRequestError(
            f"{path} is larger than {LONGEST_TEXT >> 20} MiB: a few hundred kilobytes will do"
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadRequestError(f"{path} is not UTF-8 (byte {error.start + 1})") from error
