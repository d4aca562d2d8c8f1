"""The user's data, looked through once before anything is made of it. (Its readers follow.)"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

MOST_BAD = 20
"""Bad rows that are told one by one; of the others only how many there are."""


class BadRow(Struct, frozen=True):
    """What cannot be trained on, and why. `line` counts from 1; 0 stands for the whole file."""

    file: str
    line: int
    reason: str


class Data(Struct, frozen=True, kw_only=True):
    """What the files hold. `shapes` says how many rows there are of each, in words.

    `bad` are the first of the `bad_count` rows that were left out. `digest` is of all files and
    their names.
    """

    files: Mapping[str, Path]
    rows: int
    shapes: dict[str, int]
    bad: tuple[BadRow, ...] = ()
    bad_count: int = 0
    digest: str = ""


async def read(
    files: Mapping[str, Path], folder: Path, *, strict: bool = False, python: str = ""
) -> Data:
    """Look through files, named by their relative paths: what they hold, and what is wrong.

    What has to be unpacked goes to `folder`, which must be there as long as the Data is used.
    `python` is the setting `torch_python`: Parquet is read there. Raises BadRequestError where
    nothing can be trained on, or anything is bad and it is to be `strict`.
    """
    raise NotImplementedError
