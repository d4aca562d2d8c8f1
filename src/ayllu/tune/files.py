"""The rows in a file of the user's, by what the file is: its ending tells, else its beginning."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

import msgspec
from msgspec import Struct

from ayllu.errors import BadRequestError
from ayllu.tune.json_values import json_values
from ayllu.tune.lines import LONGEST, characters, lines
from ayllu.tune.rows import Text
from ayllu.tune.shapes import LISTS
from ayllu.types import Json

PARQUET = b"PAR1"
_HEAD = 4096
_ENDINGS = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".markdown": "text",
    ".rst": "text",
}
_FOREIGN = (
    (b"%PDF", "a PDF: take its text out first"),
    (b"PK\x03\x04", "an archive or an office document: unpack it, or save it as text"),
    (b"\x1f\x8b", "compressed with gzip: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it first"),
    (b"BZh", "compressed with bzip2: unpack it first"),
    (b"\xfd7zXZ", "compressed with xz: unpack it first"),
    (b"GGUF", "a model, not data"),
)
_BLOCK = 1 << 18
"""Characters of a document that are tokenized at a time."""


class Unusable(Struct, frozen=True):
    """A row that cannot even be read, and why."""

    reason: str


Value = Json | Unusable | Text


def is_parquet(path: Path) -> bool:
    """Whether a file is Parquet; its beginning tells."""
    return _head(path).startswith(PARQUET)


def read_file(path: Path, name: str) -> Iterator[tuple[int, Value]]:
    """The rows with their lines, and the parts of a text at line 0.

    Raises BadRequestError where the file is none that can be read.
    """
    head = _head(path)
    if not head:
        yield 0, Unusable("the file is empty")
        return
    for start, what in _FOREIGN:
        if head.startswith(start):
            yield 0, Unusable(f"the file is {what}")
            return
    kind = _ENDINGS.get(PurePosixPath(name).suffix.lower()) or _sniff(head)
    reader = _READERS.get(kind)
    if reader is None:
        yield 0, Unusable("the file is neither text nor Parquet")
        return
    yield from reader(path, name)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _sniff(head: bytes) -> str:
    marked = head[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}
    start = head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")[:1]
    if 0 in head and not marked:
        return ""
    return "json" if start in {b"{", b"["} else "text"


def _read_json(path: Path, name: str) -> Iterator[tuple[int, Value]]:
    """JSON Lines where the name says so or the first line is a row, else JSON."""
    start = "".join(islice(characters(path, name), 1)).lstrip()[:1]
    lined = PurePosixPath(name).suffix.lower() in {".jsonl", ".ndjson"}
    if start == "[" or (start == "{" and not lined and not _begins_with_row(path, name)):
        yield from json_values(path, name, LISTS)
        return
    for number, line in lines(path, name):
        if line is None:
            yield number, Unusable(f"the line is longer than {LONGEST:,} characters")
        elif line.strip():
            yield number, _decoded(line)


def _begins_with_row(path: Path, name: str) -> bool:
    """Whether the first line is an object, and none around a list of objects."""
    first = next((line for _, line in lines(path, name) if line is None or line.strip()), None)
    value = None if first is None else _decoded(first)
    if not isinstance(value, dict):
        return False
    lists = (item for item in value.values() if isinstance(item, list) and item)
    return bool(LISTS & value.keys()) or not any(isinstance(item[0], dict) for item in lists)


def _decoded(line: str) -> Value:
    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        return Unusable(f"not JSON: {error}")


def _read_csv(path: Path, name: str) -> Iterator[tuple[int, Value]]:
    """The rows by the names in the first one, which tells the delimiter too."""
    csv.field_size_limit(LONGEST)
    _, header = next(lines(path, name), (1, ""))
    tabbed = PurePosixPath(name).suffix.lower() in {".tsv", ".tab"}
    delimiter = "\t" if tabbed else max(",;\t|", key=(header or "").count)
    reader = csv.reader(_whole_lines(path, name), delimiter=delimiter, strict=True)
    try:
        columns = [column.strip() for column in next(reader, [])]
        last = reader.line_num
        for cells in reader:
            line, last = last + 1, reader.line_num
            if len(cells) == len(columns):
                yield line, dict(zip(columns, cells, strict=True))
            elif cells:
                yield line, Unusable(f"it has {len(cells)} fields and the header {len(columns)}")
    except csv.Error as error:
        raise BadRequestError(f"{name}, line {reader.line_num}: {error}") from error


def _whole_lines(path: Path, name: str) -> Iterator[str]:
    for number, line in lines(path, name):
        if line is None:
            raise BadRequestError(f"{name}, line {number}: longer than {LONGEST:,} characters")
        yield line + "\n"


def _read_text(path: Path, name: str) -> Iterator[tuple[int, Value]]:
    """A document, block by block; whatever ends its lines, in it they end as in Unix."""
    held: str | None = None
    begins = True
    for block in characters(path, name):
        if held is not None and len(held) + len(block) > _BLOCK and held.strip():
            cut = held.rfind("\n") + 1 or len(held)
            yield 0, Text(held[:cut], begins=begins, ends=False)
            held, begins = held[cut:], False
        held = ((held or "") + block).replace("\r\n", "\n")
    if held is None or not (held.strip() or not begins):
        yield 0, Unusable("the file has no text")
    else:
        yield 0, Text(held, begins=begins)


_READERS: dict[str, Callable[[Path, str], Iterator[tuple[int, Value]]]] = {
    "json": _read_json,
    "csv": _read_csv,
    "text": _read_text,
}
