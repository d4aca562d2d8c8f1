"""How the texts of settings are read: each reader raises ValueError for a text that is none."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from ayllu.gotime import FOREVER, parse_duration

MIB = 1 << 20
SHORTEST_SECRET = 12


def boolean(text: str) -> bool:
    """Go's ParseBool, with anything else that is not empty meaning true."""
    return text not in {"", "0", "f", "F", "false", "FALSE", "False"}


def whether(text: str) -> bool | None:
    """A boolean, or None where nobody decides."""
    return boolean(text) if text else None


def size(text: str) -> int:
    """Bytes in `512`, `64K`, `64M` or `4G` (binary multiples)."""
    unit = {"K": 1 << 10, "M": MIB, "G": 1 << 30}.get(text[-1:].upper(), 1)
    try:
        return int(float(text if unit == 1 else text[:-1]) * unit)
    except OverflowError as error:
        raise ValueError("it is too large") from error


def human_bytes(size: int) -> str:
    """Decimal units: `999 B`, `1.5 KB`, `12 GB`."""
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "KB")):
        if size >= unit:
            whole = size >= 10 * unit or size % unit == 0
            return f"{size // unit} {name}" if whole else f"{size / unit:.1f} {name}"
    return f"{size} B"


class Portion(Struct, frozen=True):
    """A part of something: `size` bytes, or where that is zero `percent` of all; `text` says it."""

    text: str = ""
    size: int = 0
    percent: float = 100.0

    def of(self, total: int) -> int:
        """Its bytes where there are `total` in all; 0 where it is no limit."""
        if not self.text:
            return 0
        return min(self.size or int(total * self.percent / 100), total)


def portion(text: str) -> Portion:
    """A size as above, or a percentage as `50%`; empty: no limit."""
    if text.endswith("%"):
        percent = float(text[:-1])
        if not 0 < percent <= 100:
            raise ValueError("it is no percentage above 0% and up to 100%")
        return Portion(text, percent=percent)
    found = Portion(text, size(text)) if text else Portion()
    if text and found.size <= 0:
        raise ValueError("it is not more than nothing")
    return found


class Hours(Struct, frozen=True):
    """Hours of the day, each of `spans` from one to before another; none: always."""

    text: str = ""
    spans: tuple[tuple[int, int], ...] = ()

    def has(self, hour: int) -> bool:
        """Whether an hour, 0 to 23, is one of them."""
        return not self.spans or any(
            start <= hour < end if start < end else hour >= start or hour < end
            for start, end in self.spans
        )


def hours(text: str) -> Hours:
    """Hours in `22-7` or `9-12,14-18`; empty: always."""
    spans = []
    for word in words(text):
        found = re.fullmatch(r"([0-9]{1,2})-([0-9]{1,2})", word)
        start, end = map(int, found.groups()) if found else (0, 0)
        if start == end or start > 23 or end > 24:
            raise ValueError(f"{word!r} are no hours of a day, as 22-7 or 0-24 are")
        spans.append((start, end))
    return Hours(",".join(words(text)), tuple(spans))


def timeout(text: str) -> float:
    """Seconds; zero or less means no limit."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = parse_duration(text)
    return seconds if seconds > 0 else FOREVER


def count(usual: int) -> Callable[[str], int]:
    """Reads a number of things; 0 means the usual one, as it does in Ollama."""

    def parse(text: str) -> int:
        number = int(text)
        if number < 0:
            raise ValueError("it is negative")
        return number or usual

    return parse


def one_of(*allowed: str, **synonyms: str) -> Callable[[str], str]:
    """Reads one of some words or of their synonyms, in any case."""

    def parse(text: str) -> str:
        word = synonyms.get(text.lower(), text.lower())
        if word not in allowed:
            raise ValueError(f"it is none of {', '.join(allowed)}")
        return word

    return parse


def words(text: str) -> tuple[str, ...]:
    """The words between commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def paths(text: str) -> tuple[Path, ...]:
    """Folders between commas, or as in PATH where each is absolute and the whole is none itself."""
    pieces = words(text)
    if len(pieces) == 1 and not Path(text).expanduser().exists():
        parted = [piece.strip() for piece in text.split(os.pathsep) if piece.strip()]
        if all(Path(piece).expanduser().is_absolute() for piece in parted):
            pieces = tuple(parted)
    return tuple(dict.fromkeys(Path(piece).expanduser().absolute() for piece in pieces))


def web_address(text: str) -> str:
    """An address that begins with http:// or https://, without a slash at its end."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("it is no web address")
    return text.rstrip("/")


def port(text: str) -> int:
    """The first of the cluster's four ports; 0 lets the system choose them."""
    first = int(text)
    if not (first == 0 or 1024 <= first <= 65532):
        raise ValueError("it is no port from 1024 to 65532")
    return first


def node_name(text: str) -> str:
    """A machine's name for people, the host's where none is given."""
    name = " ".join((text or socket.gethostname()).split())[:64]
    if not name.isprintable():
        raise ValueError("it has characters that cannot be shown")
    return name or "ayllu"


def secret(text: str) -> str:
    """A secret that others cannot guess, or none."""
    if text and len(text) < SHORTEST_SECRET:
        raise ValueError(f"it is shorter than {SHORTEST_SECRET} characters, and easily guessed")
    return text
