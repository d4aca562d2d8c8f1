"""The rows of a JSON file: of a list, of an object with one list, or of values one after another.

A list is read value by value, so a file may be larger than the memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ayllu.errors import BadRequestError
from ayllu.tune.lines import LONGEST, characters
from ayllu.types import Json

_SPACE = " \t\r\n"
_MARGIN = 64
"""What is wrong so close to what was read so far may be right with what follows."""
_PASSED = 1 << 20
"""Characters that are kept though they were passed."""

_decoder = json.JSONDecoder()


def json_values(path: Path, name: str, whole: frozenset[str]) -> Iterator[tuple[int, Json]]:
    """The rows with their lines. An object with a member of the names `whole` is a row itself.

    Raises BadRequestError where the file is not JSON, with the line.
    """
    scan = _Scan(path, name)
    if scan.peek() == "[":
        yield from _items(scan)
    else:
        yield from _objects(scan, whole)
    if scan.peek():
        raise scan.wrong("there is more after the list")


def _items(scan: _Scan) -> Iterator[tuple[int, Json]]:
    scan.take("[")
    if scan.peek() == "]":
        scan.take("]")
        return
    while True:
        scan.peek()
        yield scan.line, scan.value()
        if scan.peek() != ",":
            break
        scan.take(",")
    scan.take("]")


def _objects(scan: _Scan, whole: frozenset[str]) -> Iterator[tuple[int, Json]]:
    """Values one after another; the first may be an object around the list that has the rows."""
    if scan.peek() == "{" and scan.find_list(whole):
        yield from _items(scan)
        scan.finish_object()
        return
    while scan.peek():
        yield scan.line, scan.value()


class _Scan:
    """A place in a text that is read on as needed."""

    def __init__(self, path: Path, name: str) -> None:
        self._blocks = characters(path, name)
        self._name = name
        self._text = ""
        self._at = 0
        self._ended = False
        self.line = 1

    def peek(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            while self._at < len(self._text):
                letter = self._text[self._at]
                if letter not in _SPACE:
                    return letter
                self._move(self._at + 1)
            if not self._more():
                return ""

    def take(self, letter: str) -> None:
        """Go past a character that has to be there."""
        if self.peek() != letter:
            raise self.wrong(f"a {letter} is missing")
        self._move(self._at + 1)

    def value(self) -> Json:
        """Go past a value."""
        self.peek()
        if self._at > _PASSED:
            self._text, self._at = self._text[self._at :], 0
        value, end = self._decode(self._at)
        self._move(end)
        return value

    def find_list(self, whole: frozenset[str]) -> bool:
        """Go to the first list of objects in the object that begins here.

        Where there is none, or where the object is a row itself, nothing moves.
        """
        at = self._at + 1
        while True:
            key, at = self._after(at, "}")
            if not isinstance(key, str) or key in whole:
                return False
            at = self._skip(at)
            if self._text[at : at + 1] != ":":
                return False
            at = self._skip(at + 1)
            if self._text[at : at + 1] == "[":
                inner = self._skip(at + 1)
                if self._text[inner : inner + 1] == "{":
                    self._move(at)
                    return True
            _, at = self._decode(at)
            at = self._skip(at)
            if self._text[at : at + 1] != ",":
                return False
            at += 1

    def finish_object(self) -> None:
        """Go past the members after the list, none of which may be another one."""
        while self.peek() == ",":
            self.take(",")
            key = self.value()
            self.take(":")
            if self.peek() == "[":
                raise self.wrong(f"the file has another list, {key!r}: only one can be the rows")
            self.value()
        self.take("}")

    def wrong(self, what: str) -> BadRequestError:
        """A sentence for what is wrong here."""
        return BadRequestError(f"{self._name}, line {self.line}: this is not JSON: {what}")

    def _after(self, at: int, end: str) -> tuple[Json, int]:
        at = self._skip(at)
        return (None, at) if self._text[at : at + 1] in {"", end} else self._decode(at)

    def _skip(self, at: int) -> int:
        while True:
            while at < len(self._text) and self._text[at] in _SPACE:
                at += 1
            if at < len(self._text) or not self._more():
                return at

    def _decode(self, at: int) -> tuple[Json, int]:
        """The value that begins at a place of the text, and its end."""
        while True:
            try:
                value, end = _decoder.raw_decode(self._text, at)
                if end < len(self._text) or self._ended or isinstance(value, dict | list | str):
                    return value, end
            except json.JSONDecodeError as error:
                open_text = error.msg.startswith(("Unterminated", "Invalid \\"))
                if self._ended or (error.pos < len(self._text) - _MARGIN and not open_text):
                    self._move(error.pos)
                    raise self.wrong(error.msg) from error
            except RecursionError as error:
                raise self.wrong("it is nested too deep") from error
            if len(self._text) - at > LONGEST:
                raise BadRequestError(
                    f"{self._name}, line {self.line}: a row is longer than {LONGEST:,} characters"
                )
            # Twice as much each time, or a long value would be tried again and again.
            wanted = max(len(self._text), 2 * len(self._text) - at) + 1
            while len(self._text) < wanted and self._more():
                pass

    def _move(self, at: int) -> None:
        self.line += self._text.count("\n", self._at, at)
        self._at = at

    def _more(self) -> bool:
        """Read on."""
        block = next(self._blocks, "")
        self._ended = not block
        self._text += block
        return bool(block)
