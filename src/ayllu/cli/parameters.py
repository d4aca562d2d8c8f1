"""Values that a user types, turned into what the API takes. Pure.

Everything here raises BadRequestError for a value that it cannot use.
"""

from __future__ import annotations

import msgspec

from ayllu.errors import BadRequestError
from ayllu.gotime import parse_keep_alive
from ayllu.types import Json

THINK_LEVELS = ("low", "medium", "high", "max")


def parse_think(text: str) -> bool | str:
    """The value of `--think` and `/set think`."""
    if text in {"true", "false"}:
        return text == "true"
    if text in THINK_LEVELS:
        return text
    raise BadRequestError(
        f'invalid think value: "{text}" (must be true, false, low, medium, high, or max)'
    )


def parse_format(text: str) -> Json:
    """The value of `--format`: `json`, or a JSON schema."""
    if text == "json":
        return text
    try:
        schema = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadRequestError(f"--format is neither 'json' nor a JSON schema: {error}") from error
    if not isinstance(schema, dict):
        raise BadRequestError("--format is neither 'json' nor a JSON schema")
    return schema


def parse_keepalive(text: str) -> Json:
    """The value of `--keepalive`: a Go duration or a number of seconds."""
    try:
        parse_keep_alive(text)
    except ValueError as error:
        raise BadRequestError(f"--keepalive: {error}") from error
    try:
        return float(text)
    except ValueError:
        return text
