"""Images and sounds on their way to the engine: checked by their headers, changed where need be.

The engine decodes JPEG, PNG, GIF, WAV, MP3 and FLAC. WebP becomes PNG where it is lossless, else
JPEG, and so does what is too large for the engine: in a child process. Nothing is decoded here.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct, structs

from ayllu.chat.media_facts import (
    SOUNDS,
    DamagedError,
    Format,
    image_size,
    is_lossless,
    media_format,
    sound_seconds,
)
from ayllu.errors import BadRequestError, TooLargeError
from ayllu.runner.picture import convert_picture
from ayllu.types import Message

Kind = Literal["image", "audio"]

MAX_BYTES = 100_000_000
"""Of one image, as in Ollama."""

MAX_ENGINE_BYTES = 75_000_000
"""Of all together: the engine takes requests of 100 MiB, and base64 is a third longer."""

MAX_PIXELS = 100_000_000
MAX_PIXELS_TOGETHER = 400_000_000
"""The engine keeps three bytes per pixel of all images, and decodes with up to twenty."""

MAX_ASPECT = 200
"""Beyond it a line of pixels may become a thousand tokens, whatever the projector allows."""

MIN_SECONDS = 0.01
"""A sound of a single sample ends the engine."""

MAX_SECONDS = 3600.0
MAX_MP3_BYTES = 25_000_000
"""Whose length nobody tells beforehand."""

_WORTH_SHRINKING = 1_000_000
_START = 16
"""Characters of base64 that tell the format."""

_PIECE = 4 << 20


def media_kind(data: str) -> Kind:
    """Whether base64 holds a sound; anything else is taken for an image."""
    try:
        start = base64.b64decode(data[:_START])
    except ValueError:
        return "image"
    return "audio" if media_format(start) in SOUNDS else "image"


async def usable_media(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages with attachments that the engine can take.

    Raises BadRequestError for what is none or is damaged, TooLargeError for what is too large.
    """
    count = sum(len(message.images) for message in messages)
    if not count:
        return tuple(messages)
    attached: list[_Attached] = []
    for message in messages:
        for data in message.images:
            number = len(attached) + 1
            name = f"attachment {number}" if count > 1 else "the attachment"
            attached.append(await _read(data, name))
    if sum(item.pixels for item in attached) > MAX_PIXELS_TOGETHER:
        raise TooLargeError(
            f"the images have more than {MAX_PIXELS_TOGETHER:,} pixels together: send smaller ones"
        )
    images = iter(await _fitting(attached))
    return tuple(
        structs.replace(message, images=tuple(next(images) for _ in message.images))
        for message in messages
    )


def without_data(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages with no more of each attachment than tells its kind: to render a prompt."""
    return tuple(
        structs.replace(message, images=tuple(data[:_START] for data in message.images))
        for message in messages
    )


class _Attached(Struct, frozen=True):
    """An attachment that was looked at: base64, bytes without it, pixels (none of a sound)."""

    data: str
    size: int
    pixels: int = 0


async def _read(data: str, name: str) -> _Attached:
    """Look at one attachment; `name` is what an error calls it."""
    data, raw = await _decoded(data, name)
    form = media_format(raw[:12])
    if form is None:
        raise BadRequestError(
            f"{name} is no JPEG, PNG, WebP or GIF image and no WAV, MP3 or FLAC sound"
        )
    if len(raw) > MAX_BYTES:
        raise TooLargeError(f"{name} has more than {MAX_BYTES:,} bytes")
    if form == "WebP":
        form = "PNG" if is_lossless(raw) else "JPEG"
        raw = await _converted(raw, form, 95, name)
        data = base64.b64encode(raw).decode()
    try:
        if form not in SOUNDS:
            return _Attached(data, len(raw), _checked_pixels(raw, form, name))
        _check_sound(raw, form, name)
    except DamagedError as error:
        raise BadRequestError(f"{name} is a damaged {form} file") from error
    return _Attached(data, len(raw))


async def _decoded(data: str, name: str) -> tuple[str, bytes]:
    """The base64 without line breaks, which Go's decoder skips too, and its bytes.

    Piece by piece, for others wait meanwhile.
    """
    if "\n" in data or "\r" in data:
        data = data.replace("\n", "").replace("\r", "")
    pieces = []
    for at in range(0, len(data), _PIECE):
        try:
            pieces.append(binascii.a2b_base64(data[at : at + _PIECE], strict_mode=True))
        except ValueError as error:
            raise BadRequestError(f"{name} is not valid base64") from error
        await asyncio.sleep(0)
    raw = b"".join(pieces)
    if not raw:
        raise BadRequestError(f"{name} is empty")
    return data, raw


def _checked_pixels(raw: bytes, form: Format, name: str) -> int:
    """How many pixels an image claims to have."""
    width, height = image_size(raw, form)
    pixels, short = width * height, min(width, height)
    if not pixels:
        raise DamagedError
    if pixels > MAX_PIXELS:
        raise TooLargeError(f"{name} has {width} x {height} pixels: {MAX_PIXELS:,} is the most")
    if max(width, height) > MAX_ASPECT * short:
        raise BadRequestError(
            f"{name} has {width} x {height} pixels: one side may be {MAX_ASPECT} times the other"
        )
    return pixels


def _check_sound(raw: bytes, form: Format, name: str) -> None:
    seconds = sound_seconds(raw, form)
    if seconds < MIN_SECONDS:
        raise BadRequestError(f"{name} is a sound without length")
    if MAX_SECONDS < seconds < math.inf:
        raise TooLargeError(f"{name} is longer than {MAX_SECONDS / 60:.0f} minutes")
    if form == "MP3" and len(raw) > MAX_MP3_BYTES:
        raise TooLargeError(f"{name} has more than {MAX_MP3_BYTES:,} bytes, the most of an MP3")


async def _fitting(attached: Sequence[_Attached]) -> list[str]:
    """Their base64, the larger images made smaller where all together are too large."""
    if sum(item.size for item in attached) <= MAX_ENGINE_BYTES:
        return [item.data for item in attached]
    smaller = [await _shrunk(item) for item in attached]
    if sum(item.size for item in smaller) > MAX_ENGINE_BYTES:
        raise TooLargeError(
            f"the images and sounds have more than {MAX_ENGINE_BYTES:,} bytes together"
        )
    return [item.data for item in smaller]


async def _shrunk(item: _Attached) -> _Attached:
    if not item.pixels or item.size < _WORTH_SHRINKING:
        return item
    _, raw = await _decoded(item.data, "an image")
    raw = await _converted(raw, "JPEG", 85, "an image")
    if len(raw) >= item.size:
        return item
    return _Attached(base64.b64encode(raw).decode(), len(raw), item.pixels)


async def _converted(raw: bytes, form: Literal["PNG", "JPEG"], quality: int, name: str) -> bytes:
    return await convert_picture(raw, form, quality=quality, max_pixels=MAX_PIXELS, name=name)
