"""`ayllu create`: a model from a Modelfile, a GGUF file or a folder.

Files are hashed here, and brought to the server only where it does not have them yet.
"""

from __future__ import annotations

from pathlib import Path

import click

from ayllu.cli.blobs import Blobs
from ayllu.cli.client import Client, call
from ayllu.cli.definition import Definition, define
from ayllu.cli.files import is_gguf
from ayllu.cli.progress import follow, showing
from ayllu.cli.wire import ProgressLine
from ayllu.config import load_settings
from ayllu.errors import BadRequestError
from ayllu.models.modelfile import Command, Modelfile, parse_modelfile
from ayllu.models.name import parse_name
from ayllu.types import Json

DEFAULT_FILE = "Modelfile"
LONGEST_MODELFILE = 64 << 20


@click.command()
@click.argument("model")
@click.argument("source", required=False)
@click.option("-f", "--file", metavar="PATH", help="The same as SOURCE.")
@click.option("-q", "--quantize", metavar="TYPE", help="Quantize the weights to this type: Q4_K_M.")
@click.option("--draft-quantize", metavar="TYPE", help="The same for the DRAFT model.")
@click.option("--link", is_flag=True, help="Link files into the models folder, never change them.")
def create(
    model: str,
    source: str | None,
    file: str | None,
    quantize: str | None,
    draft_quantize: str | None,
    link: bool,
) -> None:
    """Create MODEL from SOURCE: a Modelfile, a GGUF file or a folder with weights.

    Without SOURCE, from the file Modelfile here, or else from the weights here.
    """
    if source and file:
        raise click.UsageError("give the file once: as SOURCE or with -f")
    parse_name(model)
    definition = read_definition(source or file)
    if quantize:
        definition.body["quantize"] = quantize
    if draft_quantize:
        definition.body["draft_quantize"] = draft_quantize
    call(lambda client: create_model(client, model, definition, link=link))


def read_definition(source: str | None) -> Definition:
    """What the source says, with its paths seen from where it lies."""
    path = Path(source or DEFAULT_FILE).expanduser()
    if source is None and not path.exists():
        return define(_from_path("."), Path())
    if not path.exists():
        raise BadRequestError(f"there is no file {path}")
    if path.is_dir() or (path.is_file() and is_gguf(path)):
        return define(_from_path(str(path)), Path())
    return define(parse_modelfile(_read_modelfile(path)), path.parent)


def _from_path(path: str) -> Modelfile:
    return Modelfile((Command("from", path),))


def _read_modelfile(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST_MODELFILE + 1)
    except OSError as error:
        raise BadRequestError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > LONGEST_MODELFILE:
        raise BadRequestError(f"{path} is neither a Modelfile nor a GGUF file")
    return data


async def create_model(
    client: Client, model: str, definition: Definition, *, link: bool = False
) -> None:
    """Bring the server what it lacks of the definition's files, and make the model."""
    async with showing() as progress:
        blobs = Blobs(client, load_settings(), progress, link=link)
        body: dict[str, Json] = {"model": model, **definition.body}
        sent = {
            "files": definition.files,
            "adapters": definition.adapters,
            "draft_files": definition.drafts,
        }
        for key, files in sent.items():
            if files:
                progress.status("gathering model components")
                body[key] = await blobs.send_all(files)
        await follow(client.stream("/api/create", body, ProgressLine), progress)
