"""Text for people: sizes, counts, times and tables as Ollama writes them.

Pure functions, apart from the two that write. What a server or a model sent is cleaned of control
characters before a terminal sees it.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from fractions import Fraction

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SECOND = 1_000_000_000
_HOUR = 3600
_YEAR_HOURS = 24 * 365


def clean(text: str) -> str:
    """The text without control characters, newlines and tabs apart.

    A model could otherwise retitle, recolour or reprogram the terminal that shows its answer.
    """
    return _CONTROL.sub("", text)


def clean_line(text: str) -> str:
    """The text on one line, without control characters."""
    return clean(" ".join(text.split()))


def note(text: str) -> None:
    """Say something that is not an answer: on stderr."""
    print(text, file=sys.stderr, flush=True)


def width_of(text: str) -> int:
    """How many terminal cells the text takes."""
    if text.isascii():
        return len(text)
    return sum(_cells(char) for char in text)


def _cells(char: str) -> int:
    if unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def human_number(count: int) -> str:
    """A count of parameters: `7B`, `6.7B`, `22.57M`, `125K`."""
    if count >= 10**9:
        return f"{count // 10**9}B" if count % 10**9 == 0 else f"{count / 10**9:.1f}B"
    if count >= 10**6:
        return f"{count // 10**6}M" if count % 10**6 == 0 else f"{count / 10**6:.2f}M"
    return f"{count / 1000:.0f}K" if count >= 1000 else str(count)


def human_duration(seconds: float) -> str:
    """Roughly how long: `Less than a second`, `About a minute`, `3 weeks`."""
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return "1 second" if seconds < 2 else f"{int(seconds)} seconds"
    if seconds < _HOUR:
        return "About a minute" if seconds < 120 else f"{int(seconds / 60)} minutes"
    hours = int(seconds / _HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    for limit, hours_per_unit, unit in (
        (48, 1, "hours"),
        (24 * 14, 24, "days"),
        (24 * 60, 24 * 7, "weeks"),
        (_YEAR_HOURS * 2, 24 * 30, "months"),
    ):
        if hours < limit:
            return f"{hours // hours_per_unit} {unit}"
    return f"{hours // _YEAR_HOURS} years"


def parse_time(text: str) -> datetime | None:
    """The moment in an RFC 3339 text; None when it is absent, zero (Go's year 1) or no time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.year <= 1 or moment.tzinfo is None else moment


def relative_time(text: str, now: datetime) -> str:
    """An RFC 3339 time seen from `now`: `3 days ago`, `4 minutes from now`, `Forever`, `Never`."""
    moment = parse_time(text)
    if moment is None:
        return "Never"
    ago = (now - moment).total_seconds()
    if ago >= 0:
        return f"{human_duration(ago)} ago"
    if -ago > 21 * _YEAR_HOURS * _HOUR:
        return "Forever"
    return f"{human_duration(-ago)} from now"


def go_duration(nanoseconds: int) -> str:
    """A duration as Go prints it: `1m2.5s`, `523.4ms`, `12µs`, `0s`."""
    if nanoseconds < _SECOND:
        for unit, name in ((1_000_000, "ms"), (1000, "µs"), (1, "ns")):
            if nanoseconds >= unit:
                return _decimal(nanoseconds, unit) + name
        return "0s"
    minutes, rest = divmod(nanoseconds, 60 * _SECOND)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{start}{_decimal(rest, _SECOND)}s"


def _decimal(value: int, unit: int) -> str:
    """The exact quotient, without zeros at its end."""
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    digits = str(int(Fraction(rest, unit) * 10**9)).rjust(9, "0").rstrip("0")
    return f"{whole}.{digits}"


def pad(text: str, width: int) -> str:
    """The text with spaces up to a width in cells."""
    return text + " " * (width - width_of(text))


def table(rows: Iterable[Sequence[str]], gap: int = 4) -> str:
    """Rows in columns, each column followed by spaces: four, as in Ollama's tables."""
    cells = [[clean_line(cell) for cell in row] for row in rows]
    count = max((len(row) for row in cells), default=0)
    full = [row + [""] * (count - len(row)) for row in cells]
    widths = [max((width_of(row[column]) for row in full), default=0) for column in range(count)]
    return "".join(
        "".join(pad(cell, width + gap) for cell, width in zip(row, widths, strict=True)) + "\n"
        for row in full
    )


def write_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table with its header to stdout."""
    print(table([header, *rows]), end="")
