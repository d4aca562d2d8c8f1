"""The files that a model is made of, found on this machine's disk."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from ayllu.errors import BadRequestError

GGUF_MAGIC = b"GGUF"
ZIP_MAGIC = b"PK\x03\x04"
PIECE = 4 << 20

_WEIGHTS = (
    (("model*.safetensors", "*/model*.safetensors"), b""),
    (("consolidated*.safetensors",), b""),
    (("adapter*.safetensors",), b""),
    (("pytorch_model*.bin",), ZIP_MAGIC),
    (("consolidated*.pth",), ZIP_MAGIC),
    (("*.gguf",), GGUF_MAGIC),
    (("*.bin",), GGUF_MAGIC),
)
_PART = re.compile(r"(.+)-\d{5}-of-(\d{5})\.gguf")
_COMPANIONS = (
    "*.json",
    "*/*.json",
    "chat_template.jinja",
    "tokenizer.model",
    "*/tokenizer.model",
    "merges.txt",
    "vocab.txt",
)


def is_gguf(path: Path) -> bool:
    """Whether a file begins as a GGUF does. Raises BadRequestError when it cannot be read."""
    return _begins_with(path, GGUF_MAGIC)


def model_files(path: Path) -> list[Path]:
    """The file itself with the other parts of its model, or those of a folder that make up a model.

    Raises BadRequestError when a folder has no model, or a link in it leads out of it.
    """
    if not path.is_dir():
        return _parts(path) or [path]
    for patterns, magic in _WEIGHTS:
        found = [file for file in _matching(path, patterns) if _begins_with(file, magic)]
        if found:
            alone = magic == GGUF_MAGIC
            return found if alone else [*found, *_matching(path, _COMPANIONS)]
    raise BadRequestError(f"no Modelfile or safetensors files found in {path}")


def _parts(path: Path) -> list[Path]:
    """The files beside `name-00001-of-00005.gguf` that are parts of the same model, and itself."""
    name = _PART.fullmatch(path.name)
    if name is None:
        return []
    siblings = ((file, _PART.fullmatch(file.name)) for file in path.parent.iterdir())
    return sorted(file for file, other in siblings if other and other.groups() == name.groups())


def _matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    files = sorted(set(chain.from_iterable(map(folder.glob, patterns))))
    return [_inside(folder, file) for file in files if file.is_file()]


def _inside(folder: Path, file: Path) -> Path:
    if not file.resolve().is_relative_to(folder.resolve()):
        raise BadRequestError(
            f"insecure path: {file} leads out of {folder} (`cp -rL` makes a folder without links)"
        )
    return file


def _begins_with(path: Path, magic: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(magic)) == magic
    except OSError as error:
        raise BadRequestError(f"{path} cannot be read: {error.strerror}") from error


def data_files(paths: Sequence[str]) -> list[Path]:
    """The files that are named, and those of the folders, hidden ones apart.

    Raises BadRequestError for what is not there.
    """
    found: dict[Path, None] = {}
    for text in paths:
        path = Path(text).expanduser()
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.is_file())
            shown = [file for file in inside if not _is_hidden(file.relative_to(path))]
            if not shown:
                raise BadRequestError(f"the folder {path} has no files")
            found |= dict.fromkeys(shown)
        elif path.is_file():
            found[path] = None
        else:
            raise BadRequestError(f"there is no file {path}")
    return list(found)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def file_keys(files: Sequence[Path]) -> list[str]:
    """The names that the server sees: relative to the common folder, with POSIX slashes."""
    root = Path(os.path.commonpath([file.absolute().parent for file in files]))
    return [file.absolute().relative_to(root).as_posix() for file in files]


def file_size(path: Path) -> int:
    """The file's bytes. Raises BadRequestError when it is gone."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise BadRequestError(f"{path} cannot be read: {error.strerror}") from error


def read_pieces(path: Path) -> Iterator[bytes]:
    """The file's bytes, PIECE at a time. Raises BadRequestError when it cannot be read."""
    try:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece
    except OSError as error:
        raise BadRequestError(f"{path} cannot be read: {error.strerror}") from error
