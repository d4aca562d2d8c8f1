"""`ayllu tune eval`: how much better a tuned model is than the model that it was trained from."""

from __future__ import annotations

import click
import msgspec

from ayllu.cli.blobs import Blobs
from ayllu.cli.client import Client, call
from ayllu.cli.files import data_files
from ayllu.cli.print import clean_line, pad, width_of, write_table
from ayllu.cli.progress import follow, showing
from ayllu.cli.wire_tune_eval import Evaluated, Figures, Sample
from ayllu.config import load_settings
from ayllu.types import Json

SAMPLES = 3
_SHOWN = 400
"""Characters of a text of a sample."""

_POSITIVE = click.IntRange(min=1)
_COUNT = click.IntRange(min=0)


@click.command("eval")
@click.argument("model")
@click.option(
    "-d",
    "--data",
    metavar="PATH",
    multiple=True,
    help="A file or a folder of examples; those that the training held back unless told otherwise.",
)
@click.option("--base", help="Compare with this model, not with the one it was trained from.")
@click.option("--examples", type=_POSITIVE, metavar="N", help="The most examples to read: 200.")
@click.option("--answers", type=_COUNT, metavar="N", help="Examples to answer as well: 20.")
@click.option("--longest", type=_POSITIVE, metavar="N", help="The most tokens of an answer: 256.")
@click.option("--context", type=_POSITIVE, metavar="N", help="The most tokens of an example.")
@click.option("--samples", type=_COUNT, metavar="N", help="Answers to show: 3.", default=SAMPLES)
@click.option("--strict", is_flag=True, default=None, help="Refuse data that has bad rows.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all answers.")
def eval_command(
    model: str, data: tuple[str, ...], samples: int, *, as_json: bool, **asked: Json
) -> None:
    """Compare a tuned MODEL with its base on examples that it has not seen.

    Both read the same tokens: perplexity and loss are of the assistant's parts (1 and 0 are the
    best). Then both answer some of the prompts, and the answers are compared with the data's.
    """
    body = {name: value for name, value in asked.items() if value is not None}
    found = call(lambda client: _evaluate(client, {"model": model, **body}, data))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
        return
    _print_figures(found.base, found.tuned)
    for sample in found.samples[:samples]:
        _print_sample(sample, found.base.model, found.tuned.model)


async def _evaluate(client: Client, body: dict[str, Json], data: tuple[str, ...]) -> Evaluated:
    async with showing() as progress:
        if data:
            blobs = Blobs(client, load_settings(), progress)
            body = {**body, "data": await blobs.send_all(data_files(data))}
        lines = client.stream("/api/tune/evaluate", body, Evaluated)
        return await follow(lines, progress)


def _print_figures(base: Figures, tuned: Figures) -> None:
    both = (base, tuned)
    rows = [
        ("perplexity", *(f"{one.perplexity:.4f}" for one in both)),
        ("loss", *(f"{one.loss:.4f}" for one in both)),
    ]
    if tuned.answers:
        rows += [
            ("exact answers", *(_share(one.exact, one.answers) for one in both)),
            ("but for case and spaces", *(_share(one.matching, one.answers) for one in both)),
        ]
    write_table(("", base.model, tuned.model), rows)


def _share(count: int, of: int) -> str:
    return f"{count} of {of} ({count / of:.0%})" if of else ""


def _print_sample(sample: Sample, base: str, tuned: str) -> None:
    texts = {
        "PROMPT": sample.prompt[-_SHOWN:],
        "DATA": sample.expected[:_SHOWN],
        base: sample.base[:_SHOWN],
        tuned: sample.tuned[:_SHOWN],
    }
    width = max(map(width_of, texts)) + 4
    print()
    for name, text in texts.items():
        print(pad(name, width) + clean_line(text))
