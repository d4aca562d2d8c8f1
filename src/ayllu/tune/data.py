"""The user's data: looked through once for what it is and what is wrong, then read row by row."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct, field

from ayllu.errors import BadRequestError
from ayllu.models.files import using
from ayllu.tune.files import Unusable, is_parquet, read_file
from ayllu.tune.parquet import unpack_parquet
from ayllu.tune.rows import BadRow, Row, RowError, Text
from ayllu.tune.shapes import DOCUMENT, read_row

MOST_BAD = 20
"""Bad rows that are told one by one; of the others only how many there are."""

_TOLD = 3
"""Reasons in a refusal."""


class Data(Struct, frozen=True, kw_only=True):
    """What the files hold. `shapes` says how many rows there are of each.

    `bad` are the first of the `bad_count` rows that are left out. `digest` is of all files and
    their names. `files` are where they can be read, which Parquet cannot.
    """

    files: Mapping[str, Path]
    rows: int
    shapes: dict[str, int]
    bad: tuple[BadRow, ...] = ()
    bad_count: int = 0
    digest: str = ""

    def read(self) -> Iterator[Row]:
        """The rows that can be used, in the order of the files' names. Raises StoreError."""
        with using(next(iter(self.files.values())).parent):
            yield from (row for row in _rows(self.files) if isinstance(row, Row))


async def read(
    files: Mapping[str, Path], folder: Path, *, strict: bool = False, python: str = ""
) -> Data:
    """Look through files, named by their relative paths: what they hold, and what is wrong.

    What has to be unpacked goes to `folder`, which must be there as long as the Data is used.
    `python` is the setting `torch_python`: Parquet is read there. Raises BadRequestError where
    nothing can be trained on, or anything is bad and it is to be `strict`.
    """
    if not files:
        raise BadRequestError("there is no data")
    readable = {}
    with using(folder):
        for name, path in sorted(files.items()):
            readable[name] = path
            if await asyncio.to_thread(is_parquet, path):
                readable[name] = folder / f"{len(readable)}.jsonl"
                await unpack_parquet(python, path, readable[name], name)
        digest = await asyncio.to_thread(_digest, files)
        found = await asyncio.to_thread(_look_through, readable)
    if strict:
        check_strict(found.bad, found.bad_count)
    if not found.rows:
        raise BadRequestError(f"there is nothing to train on: {_told(found.bad, found.bad_count)}")
    if found.rows == 1 and not {DOCUMENT, "text"} & found.shapes.keys():
        raise BadRequestError(
            "the data has only one example, which would be learned by heart: give two at least, "
            "better hundreds"
        )
    return Data(
        files=readable,
        rows=found.rows,
        shapes=found.shapes,
        bad=tuple(found.bad),
        bad_count=found.bad_count,
        digest=digest,
    )


def check_strict(bad: list[BadRow], count: int) -> None:
    """Raise BadRequestError, with the first reasons, where anything is bad."""
    if count:
        raise BadRequestError(f"the data has bad rows ({count:,}): {_told(bad, count)}")


class _Found(Struct):
    rows: int = 0
    shapes: dict[str, int] = field(default_factory=dict)
    bad: list[BadRow] = field(default_factory=list)
    bad_count: int = 0


def _look_through(files: Mapping[str, Path]) -> _Found:
    found = _Found()
    for name, path in files.items():
        places: dict[str, _Places] = {}
        for row in _rows({name: path}):
            if isinstance(row, BadRow):
                found.bad_count += 1
                if len(found.bad) < MOST_BAD:
                    found.bad.append(row)
                continue
            begins = not isinstance(row.example, Text) or row.example.begins
            found.rows += begins
            found.shapes[row.shape] = found.shapes.get(row.shape, 0) + begins
            places.setdefault(row.shape, _Places()).add(row.line)
        if len(places) > 1:
            mixed = ", ".join(f"{place.text} as `{shape}`" for shape, place in places.items())
            raise BadRequestError(
                f"{name} mixes shapes: it has {mixed}; put each shape into a file of its own"
            )
    return found


class _Places(Struct):
    """The lines that have something, as ranges of which the first are kept."""

    ranges: list[tuple[int, int]] = field(default_factory=list)
    more: bool = False

    def add(self, line: int) -> None:
        """Take a line up; they come in their order."""
        if self.ranges and self.ranges[-1][1] + 1 >= line and not self.more:
            self.ranges[-1] = self.ranges[-1][0], line
        elif len(self.ranges) < _TOLD:
            self.ranges.append((line, line))
        else:
            self.more = True

    @property
    def text(self) -> str:
        """For people: `lines 1-3, 7 and more`."""
        shown = [str(a) if a == b else f"{a}-{b}" for a, b in self.ranges]
        word = "line" if len(shown) == 1 and shown[0].isdecimal() and not self.more else "lines"
        return f"{word} {', '.join(shown)}" + (" and more" if self.more else "")


def _rows(files: Mapping[str, Path]) -> Iterator[Row | BadRow]:
    for name, path in files.items():
        for line, value in read_file(path, name):
            if isinstance(value, Unusable):
                yield BadRow(name, line, value.reason)
            elif isinstance(value, Text):
                yield Row(name, line, DOCUMENT, value)
            else:
                try:
                    yield Row(name, line, *read_row(value))
                except RowError as error:
                    yield BadRow(name, line, str(error))


def _digest(files: Mapping[str, Path]) -> str:
    """A digest of the files' digests and names."""
    whole = hashlib.sha256()
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            whole.update(f"{hashlib.file_digest(file, 'sha256').hexdigest()} {name}\n".encode())
    return f"sha256:{whole.hexdigest()}"


def _told(bad: list[BadRow], count: int) -> str:
    """The first reasons, and how many more there are."""
    if not bad:
        return "the files have no rows"
    shown = "; ".join(row.sentence for row in bad[:_TOLD])
    return shown + (f"; and {count - _TOLD:,} more" if count > _TOLD else "")
