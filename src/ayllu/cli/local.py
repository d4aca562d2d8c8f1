"""A GGUF file that is run by its path: taken into the store under its own name, once."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ayllu.cli.client import Client
from ayllu.cli.create import create_model, read_definition
from ayllu.cli.files import is_gguf
from ayllu.cli.print import parse_time
from ayllu.cli.wire import ListReply
from ayllu.errors import BadRequestError

LARGEST_CONFIG = 1 << 16
"""A model made of one file is larger than the file by its config, which is smaller than this."""


async def model_of_file(client: Client, text: str) -> str:
    """The model's name for what a user wants to run: the text, or that of the GGUF it names.

    The model is made where there is none of the file's name and size that is newer than the file.
    Raises BadRequestError for the path of a GGUF that does not exist.
    """
    path = _gguf(text)
    if path is None:
        return text
    name = file_model_name(path.name)
    if not await _is_current(client, name, path.stat()):
        await create_model(client, name, read_definition(str(path)))
    return name


def _gguf(text: str) -> Path | None:
    path = Path(text).expanduser()
    if path.is_file() and is_gguf(path):
        return path
    if text.lower().endswith(".gguf"):
        raise BadRequestError(f"{path} is no GGUF file" if path.exists() else f"there is no {path}")
    return None


def file_model_name(file: str) -> str:
    """A model's name made of a file's: `Llama 3.2-Q4_K_M.gguf` becomes `llama-3.2-q4_k_m`."""
    stem = file.lower().removesuffix(".gguf")
    name = re.sub(r"[^a-z0-9_.-]+", "-", stem).strip("-.")
    return name[:80] or "model"


async def _is_current(client: Client, name: str, facts: os.stat_result) -> bool:
    reply = await client.get("/api/tags", ListReply)
    for row in reply.models or ():
        if row.name == f"{name}:latest" and 0 <= row.size - facts.st_size < LARGEST_CONFIG:
            made = parse_time(row.modified_at)
            return made is not None and made.timestamp() >= facts.st_mtime
    return False
