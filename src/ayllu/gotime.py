"""Durations and times as Go writes them, which is how Ollama's API, Modelfiles and settings do.

Syntax: https://pkg.go.dev/time#ParseDuration and RFC 3339 with the fraction's zeros trimmed.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from functools import lru_cache

FOREVER = float("inf")
LONGEST = 100 * 365 * 86400.0
"""Seconds; what is longer is as good as for ever, and no date."""

_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


def parse_duration(text: str) -> float:
    """Seconds in a Go duration such as `1h30m`, `-1m`, `0` or `1.5s`.

    Raises ValueError when the text is no duration.
    """
    sign, rest = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    parts = _PART.findall(rest)
    if not parts or "".join(number + unit for number, unit in parts) != rest:
        raise ValueError(f'time: invalid duration "{text}"')
    return sign * sum(float(number) * _UNITS[unit] for number, unit in parts)


def parse_keep_alive(value: object) -> float:
    """Seconds to keep a model loaded; FOREVER when the value is negative.

    A number is seconds, a string a Go duration or a number. Raises ValueError otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        shown = json.dumps(value)
        raise ValueError(f"Unsupported type: '{shown}'")  # noqa: TRY004 - one kind for callers
    if isinstance(value, str):
        try:
            seconds = float(value)
        except ValueError:
            seconds = parse_duration(value.strip())
    else:
        seconds = float(min(max(value, -1.0), 2 * LONGEST))
    if seconds != seconds:  # noqa: PLR0124 - the test for NaN
        raise ValueError(f"Unsupported type: '{value}'")
    return FOREVER if seconds < 0 or seconds > LONGEST else seconds


def format_time(nanoseconds: int, *, utc: bool = True) -> str:
    """RFC 3339 with up to nine digits of fraction, in UTC (`Z`) or the machine's own zone.

    `nanoseconds` is a Unix time.
    """
    whole, fraction = divmod(nanoseconds, 1_000_000_000)
    second, zone = _second(whole, utc=utc)
    digits = f".{fraction:09d}".rstrip("0").rstrip(".")
    return f"{second}{digits}{zone}"


@lru_cache(maxsize=16)
def _second(whole: int, *, utc: bool) -> tuple[str, str]:
    """A second's date and time, and its zone; the lines of a stream share them."""
    moment = datetime.fromtimestamp(whole, UTC)
    if utc or not (moment := moment.astimezone()).utcoffset():
        return f"{moment:%Y-%m-%dT%H:%M:%S}", "Z"
    offset = moment.strftime("%z")
    return f"{moment:%Y-%m-%dT%H:%M:%S}", f"{offset[:3]}:{offset[3:]}"
