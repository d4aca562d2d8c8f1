"""`ayllu create`: a model from a Modelfile, a GGUF file or a folder.

Files are hashed here and uploaded only where the server does not have them yet.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import click

from ayllu.cli.client import Client, call
from ayllu.cli.definition import Definition, define
from ayllu.cli.files import file_keys, file_size, is_gguf, read_pieces
from ayllu.cli.progress import Progress, follow, showing
from ayllu.cli.wire import ProgressLine
from ayllu.errors import BadRequestError
from ayllu.models.modelfile import Command, Modelfile, parse_modelfile
from ayllu.models.name import parse_name
from ayllu.types import Json

DEFAULT_FILE = "Modelfile"
LONGEST_MODELFILE = 64 << 20
SHOWN_DIGITS = 12


@click.command()
@click.argument("model")
@click.argument("source", required=False)
@click.option("-f", "--file", metavar="PATH", help="The same as SOURCE.")
@click.option("-q", "--quantize", metavar="TYPE", help="Quantize the weights to this type: Q4_K_M.")
@click.option("--draft-quantize", metavar="TYPE", help="The same for the DRAFT model.")
def create(
    model: str,
    source: str | None,
    file: str | None,
    quantize: str | None,
    draft_quantize: str | None,
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
    call(lambda client: create_model(client, model, definition))


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


async def create_model(client: Client, model: str, definition: Definition) -> None:
    """Upload what the server lacks of the definition's files, and make the model."""
    async with showing() as progress:
        body: dict[str, Json] = {"model": model, **definition.body}
        sent = {
            "files": definition.files,
            "adapters": definition.adapters,
            "draft_files": definition.drafts,
        }
        for key, files in sent.items():
            if files:
                progress.status("gathering model components")
                body[key] = await _upload_all(client, files, progress)
        await follow(client.stream("/api/create", body, ProgressLine), progress)


async def _upload_all(client: Client, files: Sequence[Path], progress: Progress) -> dict[str, str]:
    """Bring the files to the server and return their digests by the names they get there."""
    keys = file_keys(files)
    return {
        key: await upload(client, file, progress) for key, file in zip(keys, files, strict=True)
    }


async def upload(client: Client, file: Path, progress: Progress) -> str:
    """The digest of a file that the server has, or has now."""
    digest = f"sha256:{await _digest(file, progress)}"
    path = f"/api/blobs/{digest}"
    if await client.head(path) != 200:
        await client.upload(path, _sent(file, digest, progress), file_size(file))
    return digest


async def _digest(file: Path, progress: Progress) -> str:
    hashed = hashlib.sha256()
    async for piece in _moved(file, f"hashing {file.name}", progress):
        await asyncio.to_thread(hashed.update, piece)
    return hashed.hexdigest()


def _sent(file: Path, digest: str, progress: Progress) -> AsyncIterator[bytes]:
    start = len("sha256:") + SHOWN_DIGITS
    return _moved(file, f"copying file {digest[:start]}", progress)


async def _moved(file: Path, label: str, progress: Progress) -> AsyncIterator[bytes]:
    """The file's pieces, read beside the event loop, with a bar of how many went by."""
    done = 0
    pieces, total = read_pieces(file), file_size(file)
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece
        done += len(piece)
        progress.bar(f"{label} {file}", label, done, total)
