"""The text of a file as characters and as lines, within bounds of memory.

UTF-8 is read, with a byte order mark or without, and UTF-16 with one. Anything else is refused: a
text that was read wrongly would be learned wrongly.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

from ayllu.errors import BadRequestError

LONGEST = 8_000_000
"""Characters of a line, or of a JSON value in a list."""

_BLOCK = 1 << 18
_HEAD = 4096
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; that of UTF-32 begins with that of UTF-16."""


def characters(path: Path, name: str) -> Iterator[str]:
    """A file's text, block by block. Raises BadRequestError for another encoding, with the line."""
    with path.open("rb") as file:
        encoding = _encoding(file.read(_HEAD), name)
        file.seek(0)
        decoder = codecs.getincrementaldecoder(encoding)()
        line = 1
        while True:
            data = file.read(_BLOCK)
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                raise _refusal(name, line, encoding, error) from error
            line += text.count("\n")
            if text:
                yield text
            if not data:
                return


def lines(path: Path, name: str) -> Iterator[tuple[int, str | None]]:
    """The lines with their numbers, from 1; None for one that is longer than LONGEST."""
    number, rest = 1, ""
    too_long = False
    for block in characters(path, name):
        first, *others = block.split("\n")
        rest = "" if too_long else rest + first
        too_long = too_long or len(rest) > LONGEST
        for following in others:
            yield number, None if too_long else rest.removesuffix("\r")
            number, rest, too_long = number + 1, following, False
    if rest or too_long:
        yield number, None if too_long else rest


def _encoding(head: bytes, name: str) -> str:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            if encoding == "UTF-32":
                raise BadRequestError(f"{name} is in UTF-32: save it as UTF-8")
            return encoding
    # Of a text in a Latin script every second byte is 0 then.
    if head.count(0) * 3 > len(head):
        raise BadRequestError(
            f"{name}, line 1: this is UTF-16 without a byte order mark: save it as UTF-8"
        )
    return "utf-8"


def _refusal(name: str, line: int, encoding: str, error: UnicodeDecodeError) -> BadRequestError:
    data, at = error.object, error.start
    line += data[:at].count(b"\n")
    if encoding == "utf-16":
        return BadRequestError(f"{name}, line {line}: the file is damaged: this is no UTF-16")
    alone = all(byte < 0x80 for byte in data[at + 1 : at + 2])
    guess = "as in Windows-1252 or Latin-1" if alone else "of some other encoding"
    return BadRequestError(
        f"{name}, line {line}: the byte 0x{data[at]:02x} is not UTF-8 but {guess}: "
        "save the file as UTF-8"
    )
