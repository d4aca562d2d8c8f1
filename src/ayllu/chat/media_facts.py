"""What the headers of images and sounds say: format, width and height, length. Pure.

Only headers are read here. Images and sounds are decoded in child processes alone.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Literal

Format = Literal["JPEG", "PNG", "GIF", "WebP", "WAV", "MP3", "FLAC"]
SOUNDS = frozenset({"WAV", "MP3", "FLAC"})

_STARTS: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"fLaC", "FLAC"),
    (b"ID3", "MP3"),
)
_RIFF_KINDS: dict[bytes, Format] = {b"WEBP": "WebP", b"WAVE": "WAV"}
_MP3_RATES = (44100, 48000, 32000)
_SHORTEST_MP3_FRAME = 24
"""In bytes: a small file must not claim an hour, which the engine would work on for long."""

_JPEG_MARKER = re.compile(rb"\xff([^\xff\x00\x01\xd0-\xd9])", re.DOTALL)
"""Markers that a length follows; any number of 0xFF may stand before one."""

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MOST_PARTS = 10_000
_MOST_PADDING = 4096
"""A file of nothing but empty segments, or of padding, must not hold up the server."""


class DamagedError(ValueError):
    """A header that ends too early, or that no such file can have."""


def media_format(start: bytes) -> Format | None:
    """The format of a file that starts so; 12 bytes are enough. None for any other."""
    for beginning, name in _STARTS:
        if start.startswith(beginning):
            return name
    if start[:4] == b"RIFF":
        return _RIFF_KINDS.get(start[8:12])
    synchronized = len(start) > 1 and start[0] == 0xFF and start[1] & 0xE0 == 0xE0
    return "MP3" if synchronized else None


def image_size(data: bytes, form: Format) -> tuple[int, int]:
    """Width and height in pixels of a JPEG, PNG or GIF. Raises DamagedError."""
    try:
        if form == "PNG":
            width, height = struct.unpack_from(">II", data, 16)
        elif form == "GIF":
            width, height = struct.unpack_from("<HH", data, 6)
        else:
            width, height = _jpeg_size(data)
    except struct.error as error:
        raise DamagedError from error
    return width, height


def is_lossless(webp: bytes) -> bool:
    """Whether a WebP was compressed without loss. Source: RFC 9649, 2.5 and 2.7."""
    try:
        return any(name == b"VP8L" for name, _, _ in _riff_chunks(webp))
    except struct.error:  # the end, as a rule
        return False


def sound_seconds(data: bytes, form: Format) -> float:
    """How long a sound is; infinite where the header does not tell. Raises DamagedError."""
    read = {"WAV": _wav_seconds, "FLAC": _flac_seconds, "MP3": _mp3_seconds}[form]
    try:
        return read(data)
    except (struct.error, IndexError, ZeroDivisionError) as error:
        raise DamagedError from error


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """The size in the first frame header. Source: ITU T.81, B.1.1.3 and B.2.2."""
    at = 2
    for _ in range(_MOST_PARTS):
        marker = _JPEG_MARKER.search(data, at, at + _MOST_PADDING)
        if marker is None:
            break
        code, at = marker[1][0], marker.end()
        if code in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 3)
            return width, height
        at += struct.unpack_from(">H", data, at)[0]
    raise DamagedError


def _wav_seconds(data: bytes) -> float:
    """Programs that write to a pipe claim the largest size there is: what is there counts."""
    rate = frame_bits = 0
    for name, at, size in _riff_chunks(data):
        if name == b"fmt ":
            channels, rate = struct.unpack_from("<HI", data, at + 2)
            frame_bits = channels * struct.unpack_from("<H", data, at + 14)[0]
        elif name == b"data":
            return min(size, len(data) - at) * 8 / frame_bits / rate
    raise DamagedError


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and size of each chunk."""
    at = 12
    for _ in range(_MOST_PARTS):
        name, size = struct.unpack_from("<4sI", data, at)
        yield name, at + 8, size
        at += 8 + size + size % 2


def _flac_seconds(data: bytes, at: int = 0) -> float:
    """Source: RFC 9639, 8.2."""
    packed: int = struct.unpack_from(">Q", data, at + 18)[0]
    return (packed & ((1 << 36) - 1)) / (packed >> 44)


def _mp3_seconds(data: bytes) -> float:
    """What the Xing header of the first frame claims, for the engine believes it."""
    at = 0
    if data.startswith(b"ID3"):
        at = 10 + sum(byte << 7 * place for place, byte in enumerate(reversed(data[6:10])))
        if data.startswith(b"fLaC", at):
            return _flac_seconds(data, at)
    head = data[at : at + 256]
    tag = max(head.find(b"Xing"), head.find(b"Info"))
    if tag < 0 or not head[tag + 7] & 1:
        return float("inf")
    frames: int = struct.unpack_from(">I", head, tag + 8)[0]
    if frames * _SHORTEST_MP3_FRAME > len(data):
        raise DamagedError
    version, rate = head[1] >> 3 & 3, _MP3_RATES[min(head[2] >> 2 & 3, 2)]
    halvings = {3: 0, 2: 1}.get(version, 2)
    samples = 1152 if version == 3 else 576
    return frames * samples / (rate >> halvings)
