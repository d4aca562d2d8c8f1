"""How messages of other machines are read: msgpack, of which nothing is believed before."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ayllu.errors import BadRequestError

_T = TypeVar("_T")


def read(decoder: msgspec.msgpack.Decoder[_T], data: bytes, refusal: str) -> _T:
    """A message by its decoder. Raises BadRequestError that begins with `refusal`."""
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f"{refusal}: {error}") from error
