r"""Go's literals as Python values: numbers, characters and strings, as strconv reads them.

A string that is not valid UTF-8 (`"\xff"`) carries its odd bytes as surrogate escapes.
"""

from __future__ import annotations

import math
import re

from ayllu.template.values import from_bytes

_ESCAPES = {
    "a": b"\a",
    "b": b"\b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "v": b"\v",
    "\\": b"\\",
}
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))|(\\)",
    re.DOTALL,
)
_OCTAL = re.compile(r"[+-]?0[0-7_]+\Z")


def read_number(text: str) -> float:
    """An int, or a float where Go would make the constant one. Raises ValueError."""
    if text.endswith("i") and not text.startswith(("0x", "0X")):
        raise ValueError(f"complex numbers are not supported: {text!r}")
    whole = _read_int(text)
    looks_whole = not any(mark in text for mark in ".eEpP") or _is_hex(text)
    if whole is not None:
        if not -(2**63) <= whole < 2**63:
            raise ValueError(f"integer overflow: {text!r}")
        return whole if looks_whole else float(whole)
    if looks_whole:
        raise ValueError(f"bad number syntax: {text!r}")
    return _read_float(text)


def _is_hex(text: str) -> bool:
    # A sign hides the prefix, so that -0x1e is a float: Go's rule, not ours.
    return text[:2] in ("0x", "0X") and not any(mark in text for mark in "pP")


def _read_int(text: str) -> int | None:
    try:
        return int(text, 8) if _OCTAL.match(text) else int(text, 0)
    except ValueError:
        return None


def _read_float(text: str) -> float:
    try:
        is_hex = text.lstrip("+-")[:2] in ("0x", "0X")
        value = float.fromhex(text.replace("_", "")) if is_hex else float(text)
    except (ValueError, OverflowError):
        raise ValueError(f"bad number syntax: {text!r}") from None
    if math.isinf(value):
        raise ValueError(f"bad number syntax: {text!r}")
    return value


def read_rune(text: str) -> int:
    """The code point of `'x'`. Raises ValueError."""
    body = text[1:-1]
    found = _ESCAPE.match(body)
    if found and found.end() == len(body):
        if found[1] or found[4]:
            return _byte(found)
        return ord(_unescape(found, "'").decode())
    if len(body) != 1:
        raise ValueError(f"malformed character constant: {text}")
    return ord(body)


def read_string(text: str) -> str:
    """The value of a `"..."` or backquoted string. Raises ValueError."""
    if text.startswith("`"):
        return text[1:-1].replace("\r", "")
    body = text[1:-1]
    if "\\" not in body:
        return body
    parts: list[bytes] = []
    at = 0
    for found in _ESCAPE.finditer(body):
        parts.append(body[at : found.start()].encode("utf-8", "surrogateescape"))
        parts.append(_unescape(found, '"'))
        at = found.end()
    parts.append(body[at:].encode("utf-8", "surrogateescape"))
    return from_bytes(b"".join(parts))


def _byte(found: re.Match[str]) -> int:
    value = int(found[1], 16) if found[1] else int(found[4], 8)
    if value > 255:
        raise ValueError(f"bad escape: {found[0]}")
    return value


def _unescape(found: re.Match[str], quote: str) -> bytes:
    if found[1] or found[4]:
        return bytes([_byte(found)])
    digits = found[2] or found[3]
    if digits:
        point = int(digits, 16)
        if point > 0x10FFFF or 0xD800 <= point <= 0xDFFF:
            raise ValueError(f"bad escape: {found[0]}")
        return chr(point).encode()
    if found[5] == quote:
        return quote.encode()
    if found[5] not in _ESCAPES:
        raise ValueError(f"bad escape: {found[0]}")
    return _ESCAPES[found[5]]
