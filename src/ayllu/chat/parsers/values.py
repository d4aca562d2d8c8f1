"""Reads what models write as arguments: JSON, JSON-like and Python-like values, typed by a schema.

Nothing here raises but ValueError, and every value that it gives can be written as JSON again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping

from ayllu.chat.calls import read_json
from ayllu.types import Json

Arguments = dict[str, Json]
Schema = Mapping[str, Json]
Schemas = Mapping[str, Mapping[str, Schema]]
"""The schemas of a tool's arguments, by the names of both."""

MAX_DEPTH = 64

_INTEGER = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"[+-]?(?:\d++\.?\d*+|\.\d++)(?:[eE][+-]?\d++)?")
_WORDS = {"true": True, "false": False, "null": None, "none": None}


def read_arguments(value: Json) -> Arguments:
    """A call's arguments: an object, its JSON text, or nothing. Raises ValueError."""
    if isinstance(value, str):
        value = read_json(value) if value.strip() else {}
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("arguments are an object")  # noqa: TRY004 - the model's mistake
    return value


def schemas_of(tools: Iterable[Mapping[str, Json]]) -> Schemas:
    """The schemas of all tools' arguments."""
    found: dict[str, Mapping[str, Schema]] = {}
    for tool in tools:
        function = _dict(tool.get("function"))
        properties = _dict(_dict(function.get("parameters")).get("properties"))
        found[str(function.get("name", ""))] = {k: _dict(v) for k, v in properties.items()}
    return found


def _dict(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def typed(text: str, schema: Schema | None, *, guess: bool = False) -> Json:
    """An argument that was written without quotes, as the first type of its schema that fits.

    Without a schema it is text, or with `guess` JSON where it reads as that.
    """
    types = _types(schema or {})
    if not types:
        return _guessed(text) if guess else text
    for name, read in _READERS.items():
        if name in types:
            try:
                return read(text.strip())
            except ValueError:
                continue
    return text


def _types(schema: Schema) -> set[str]:
    given = schema.get("type")
    found = {given} if isinstance(given, str) else set(given if isinstance(given, list) else ())
    for key in ("anyOf", "oneOf"):
        options = schema.get(key)
        for option in options if isinstance(options, list) else ():
            found |= _types(_dict(option))
    return {name for name in found if isinstance(name, str)}


def _guessed(text: str) -> Json:
    try:
        return read_json(text)
    except ValueError:
        return text


def _null(text: str) -> None:
    if text.lower() not in {"null", "none"}:
        raise ValueError(text)


def _boolean(text: str) -> bool:
    value = _WORDS.get(text.lower())
    if not isinstance(value, bool):
        raise ValueError(text)  # noqa: TRY004 - the model's mistake
    return value


def _integer(text: str) -> int:
    value = number(text)
    if not isinstance(value, int):
        raise ValueError(text)  # noqa: TRY004 - the model's mistake
    return value


def number(text: str) -> int | float:
    """A number, whole where it has no fraction. Raises ValueError."""
    if _INTEGER.fullmatch(text):
        return int(text)
    if not _NUMBER.fullmatch(text) or not math.isfinite(value := float(text)):
        raise ValueError(text)
    return int(value) if value.is_integer() and abs(value) < 1 << 53 else value


def _array(text: str) -> list[Json]:
    value = read_value(text)
    if not isinstance(value, list):
        raise ValueError(text)  # noqa: TRY004 - the model's mistake
    return value


def _object(text: str) -> dict[str, Json]:
    value = read_value(text)
    if not isinstance(value, dict):
        raise ValueError(text)  # noqa: TRY004 - the model's mistake
    return value


_READERS: dict[str, Callable[[str], Json]] = {
    "null": _null,
    "boolean": _boolean,
    "integer": _integer,
    "number": number,
    "array": _array,
    "object": _object,
}
"""In order of precedence; a string takes what no other type reads."""


def read_value(text: str) -> Json:
    """A value in JSON or as Python writes it. Raises ValueError."""
    try:
        return read_json(text)
    except ValueError:
        reader = Reader(text)
        value = reader.value()
        if not reader.at_end():
            raise
        return value


class Reader:
    """Reads JSON-like values from the front of a text.

    `mark` is a quotation mark beside `"` and `'` within which everything stands for itself. Keys
    need no quotes. Where `bare`, neither do strings. Every method raises ValueError.
    """

    def __init__(self, text: str, *, mark: str = "", bare: bool = False) -> None:
        self._text = text
        self._mark = mark
        self._bare = bare
        self._place = 0

    def at_end(self) -> bool:
        """Whether only white space is left."""
        self.take("")
        return self._place == len(self._text)

    def take(self, *options: str) -> str:
        """The first of the options that comes next, white space before it left out, or ""."""
        while self._place < len(self._text) and self._text[self._place].isspace():
            self._place += 1
        for option in options:
            if option and self._text.startswith(option, self._place):
                self._place += len(option)
                return option
        return ""

    def match(self, pattern: re.Pattern[str]) -> str:
        """The text that a pattern matches next, white space before it left out, or ""."""
        self.take("")
        found = pattern.match(self._text, self._place)
        if not found:
            return ""
        self._place = found.end()
        return found.group()

    def value(self, depth: int = 0) -> Json:
        """The next value."""
        if depth > MAX_DEPTH:
            raise ValueError("values are nested too deep")
        if opening := self.take(self._mark, '"', "'"):
            return self._quoted(opening)
        if self.take("{"):
            return self.pairs("}", ":", depth)
        if self.take("["):
            return self._items("]", depth)
        if self.take("("):
            return self._items(")", depth)
        return self._literal()

    def pairs(self, closing: str, between: str, depth: int = 0) -> Arguments:
        """Keys and values up to a closing bracket."""
        found: Arguments = {}
        while not self.take(closing):
            if opening := self.take(self._mark, '"', "'"):
                key = self._quoted(opening)
            else:
                key = self.match(_KEY).strip()
            if not key or not self.take(between):
                raise ValueError("a key and its value were expected")
            found[key] = self.value(depth + 1)
            self._comma(closing)
        return found

    def _items(self, closing: str, depth: int) -> list[Json]:
        found: list[Json] = []
        while not self.take(closing):
            found.append(self.value(depth + 1))
            self._comma(closing)
        return found

    def _comma(self, closing: str) -> None:
        if not self.take(",") and not self._text.startswith(closing, self._place):
            raise ValueError("a comma was expected")

    def _quoted(self, mark: str) -> str:
        if mark == self._mark:
            end = self._text.find(mark, self._place)
            if end < 0:
                raise ValueError("a string does not end")
            text, self._place = self._text[self._place : end], end + len(mark)
            return text
        found = _BODIES[mark].match(self._text, self._place)
        if not found:
            raise ValueError("a string does not end")
        self._place = found.end()
        return _unescape(found.group()[:-1])

    def _literal(self) -> Json:
        text = self.match(_BARE_TEXT if self._bare else _BARE).strip()
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        try:
            return number(text) if _INTEGER.fullmatch(text) else _float(text)
        except ValueError:
            if self._bare and text:
                return text
            raise


_KEY = re.compile(r"[^:=,{}\[\]()\"']+")
_BARE = re.compile(r"[^,{}\[\]()\"']*")
_BARE_TEXT = re.compile(r"[^,{}\[\]]*")
_BODIES = {
    mark: re.compile(rf"[^{mark}\\]*(?:\\.[^{mark}\\]*)*{mark}", re.DOTALL) for mark in "\"'"
}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": ""}


def _float(text: str) -> int | float:
    value = number(text)
    return float(value) if "." in text or "e" in text.lower() else value


def _unescape(text: str) -> str:
    def letter(found: re.Match[str]) -> str:
        code = found.group(1)
        return chr(int(code[1:], 16)) if len(code) > 1 else _LETTERS.get(code, code)

    plain = _ESCAPE.sub(letter, text)
    # Pairs of surrogates are one letter; half of one is none.
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
