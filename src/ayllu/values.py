"""How the texts of settings are read: each function raises ValueError for a text that is none."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

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
    return int(float(text if unit == 1 else text[:-1]) * unit)


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
