"""Go's ways of writing a text down: JSON as encoding/json does, quoting, and the escapers.

See https://pkg.go.dev/encoding/json#Marshal, https://pkg.go.dev/strconv#Quote and the functions
HTMLEscapeString, JSEscapeString and URLQueryEscaper of https://pkg.go.dev/text/template.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from urllib.parse import quote_plus

from ayllu.template.values import SURROGATE, Record, Value, clean, rejoin, to_bytes

_JSON_UNSAFE = "<>&\u2028\u2029"
_HTML = {
    "&": "&amp;",
    '"': "&#34;",
    "'": "&#39;",
    "<": "&lt;",
    ">": "&gt;",
    "\0": "\N{REPLACEMENT CHARACTER}",
}
_QUOTES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
}


class _Table(dict[int, str]):
    """A table for str.translate that works out each character once."""

    def __init__(self, escape: Callable[[str], str]) -> None:
        super().__init__()
        self.escape = escape

    def __missing__(self, code: int) -> str:
        self[code] = self.escape(chr(code))
        return self[code]


class NotJSONError(ValueError):
    """A value that JSON cannot hold: an infinity, or NaN."""


def to_json(value: Value) -> str:
    r"""Compact JSON with `<`, `>`, `&`, U+2028 and U+2029 escaped; a map's keys are sorted.

    Control characters are written as since Go 1.22 (`\b`, not `\u0008`). Raises NotJSONError.
    """
    parts: list[str] = []
    _write(value, parts)
    return "".join(parts)


def _write(value: Value, parts: list[str]) -> None:
    if isinstance(value, str):
        parts.append(_json_string(value))
    elif isinstance(value, Record):
        _write_members(list(value.wire.items()), parts)
    elif isinstance(value, dict):
        _write_members(sorted(value.items()), parts)
    elif isinstance(value, list):
        _write_items(value, parts)
    else:
        parts.append(_json_scalar(value))


def _write_members(members: list[tuple[str, Value]], parts: list[str]) -> None:
    mark = "{"
    for name, value in members:
        parts.append(f"{mark}{_json_string(name)}:")
        _write(value, parts)
        mark = ","
    parts.append("}" if members else "{}")


def _write_items(items: list[Value], parts: list[str]) -> None:
    mark = "["
    for item in items:
        parts.append(mark)
        _write(item, parts)
        mark = ","
    parts.append("]" if items else "[]")


def _json_string(text: str) -> str:
    plain = json.dumps(rejoin(text), ensure_ascii=False)
    for char in _JSON_UNSAFE:
        plain = plain.replace(char, f"\\u{ord(char):04x}")
    return SURROGATE.sub(r"\\ufffd", plain)  # a byte that is no UTF-8


def _json_scalar(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _json_float(value)
    return "null"


def _json_float(value: float) -> str:
    if not math.isfinite(value):
        raise NotJSONError(f"unsupported value: {value}")
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        return shortest(value, "f")
    text = shortest(value, "e")
    return f"{text[:-2]}{text[-1]}" if text[-4:-1] == "e-0" else text


def shortest(value: float, form: str) -> str:
    """The fewest digits that read back as the same float, as strconv's `e`, `f` or `g`."""
    if not math.isfinite(value):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")
    mantissa, _, exponent = f"{value!r}e0".partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    padded = f"{whole}{fraction}"
    digits = padded.lstrip("0")
    point = len(whole) + int(exponent.partition("e")[0]) - (len(padded) - len(digits))
    digits = digits.rstrip("0")
    if not digits:
        digits, point = "0", 1
    if form == "f" or (form == "g" and -4 <= point - 1 < 6):
        return sign + _fixed(digits, point)
    rest = f".{digits[1:]}" if digits[1:] else ""
    return f"{sign}{digits[0]}{rest}e{'-' if point < 1 else '+'}{abs(point - 1):02d}"


def _fixed(digits: str, point: int) -> str:
    if point <= 0:
        return f"0.{'0' * -point}{digits}"
    if point >= len(digits):
        return digits + "0" * (point - len(digits))
    return f"{digits[:point]}.{digits[point:]}"


def quote(text: str, mark: str = '"', *, only_ascii: bool = False) -> str:
    """A Go literal of a text, in double quotes or, for a rune, single ones."""

    def escape(char: str) -> str:
        if char == mark:
            return f"\\{char}"
        plain = char.isprintable() and (char.isascii() or not only_ascii)
        return _QUOTES.get(char) or (char if plain else _coded(ord(char)))

    return f"{mark}{text.translate(_Table(escape))}{mark}"


def _coded(code: int) -> str:
    if code < 0x80:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def escape_html(text: str) -> str:
    """What the function `html` makes of a text."""
    for char, entity in _HTML.items():
        text = text.replace(char, entity)
    return text


def escape_js(text: str) -> str:
    """What the function `js` makes of a text."""
    return clean(text).translate(_Table(_js_char))


def _js_char(char: str) -> str:
    if char in "\\'\"":
        return f"\\{char}"
    if char in "<>&=" or not (char.isprintable() or char == "\x7f"):
        return f"\\u{ord(char):04X}"
    return char


def escape_query(text: str) -> str:
    """What the function `urlquery` makes of a text."""
    return quote_plus(to_bytes(text))
