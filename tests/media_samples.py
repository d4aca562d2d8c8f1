"""Images and sounds of every kind, real ones made here; those of lossy formats by Pillow, once."""

from __future__ import annotations

import base64
import io
import math
import struct
import wave
import zlib

RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
LOW, HIGH = 200, 5000
"""Hz."""

JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI//////////////////////////"
    "//////////////////////////2wBDAVVaWnhpeOuCguv/////////////////////////////////////////////////"
    "////////////////////////wAARCAAgACADASIAAhEBAxEB/8QAFQABAQAAAAAAAAAAAAAAAAAAAAP/xAAUEAEAAAAAAA"
    "AAAAAAAAAAAAAA/8QAFgEBAQEAAAAAAAAAAAAAAAAAAAME/8QAFBEBAAAAAAAAAAAAAAAAAAAAAP/aAAwDAQACEQMRAD8A"
    "kAm2AAAAAAP/2Q=="
)
"""32 x 32 pixels of red."""

JPEG_CMYK = base64.b64decode(
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwBQNzxGPDJQRkFGWlVQX3jIgnhubnj1r7mRyP//////////////////////////////"
    "/////////////////////8AAFAgAIAAgBEMRAE0RAFkRAEsRAP/EABUAAQEAAAAAAAAAAAAAAAAAAAAE/8QAFBABAAAAAAAA"
    "AAAAAAAAAAAAAP/aAA4EQwBNAFkASwAAPwC1EiWgAAAAAAAAAAAAAAAAAAAP/9k="
)
"""The same in four colours."""

WEBP = base64.b64decode("UklGRhwAAABXRUJQVlA4TA8AAAAvH8AHAAfQ/4j+ByKi/wEA")
"""32 x 32 pixels of green."""

WEBP_LOSSY = base64.b64decode(
    "UklGRkIAAABXRUJQVlA4IDYAAAAwAwCdASogACAAP83i624/tzEqKAgD8DmJZQB2AACBxLwAAP5TH/13i0aX/6+AKeRohkAAAAA="
)
"""The same with loss."""

GIF = base64.b64decode(
    "R0lGODdhIAAgAIEAAAAA/wAAAAAAAAAAACwAAAAAIAAgAEAINQABCBxIsKDBgwgTKlzIsKHDhxAjSpxIsaLFixgzatzIsaPH"
    "jyBDihxJsqTJkyhTqlzJUmRAADs="
)
"""32 x 32 pixels of blue."""


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def png(
    width: int = 32,
    height: int = 32,
    colour: tuple[int, ...] = RED,
    *,
    depth: int = 8,
    level: int = -1,
) -> bytes:
    """A PNG of one colour; `depth` is bits of each of its numbers, `level` 0 is uncompressed."""
    pixel = b"".join(number.to_bytes(1) * (depth // 8) for number in colour)
    rows = (b"\0" + pixel * width) * height
    return _png(width, height, depth, {1: 0, 3: 2, 4: 6}[len(colour)], zlib.compress(rows, level))


def png_bomb(width: int, height: int) -> bytes:
    """A small PNG that claims to be of any size."""
    return _png(width, height, 8, 2, zlib.compress(bytes(1 << 20)))


def apng(first: tuple[int, ...], second: tuple[int, ...]) -> bytes:
    """An animation of two pictures of 32 x 32 pixels. Source: W3C's PNG, 11.3.6."""
    still = png(colour=first)
    control = struct.pack(">IIIIHHBB", 32, 32, 0, 0, 1, 10, 0, 0)
    frames = (zlib.compress((b"\0" + bytes(c) * 32) * 32) for c in (first, second))
    one, other = (
        _chunk(b"fcTL", struct.pack(">I", number) + control)
        + _chunk(kind, struct.pack(">I", number + 1) * (kind == b"fdAT") + data)
        for number, kind, data in zip((0, 1), (b"IDAT", b"fdAT"), frames, strict=True)
    )
    head = still[:33] + _chunk(b"acTL", struct.pack(">II", 2, 0))
    return head + one + other + _chunk(b"IEND", b"")


def wav(
    hz: float = LOW, seconds: float = 0.5, *, rate: int = 16_000, silent: bool = False
) -> bytes:
    """A tone, or silence."""
    count = round(seconds * rate)
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        data = b"" if silent else struct.pack(f"<{count}h", *_tone(hz, seconds, rate))
        sound.writeframes(data or bytes(2 * count))
    return out.getvalue()


def flac(hz: float = LOW, seconds: float = 0.5, *, claims: int = 0) -> bytes:
    """A tone, not compressed; it may claim any number of samples. Source: RFC 9639."""
    rate, block = 16_000, 4096
    samples = _tone(hz, seconds, rate)
    total = claims or len(samples)
    packed = (rate << 44) | (15 << 36) | total
    info = struct.pack(">HH6xQ16x", block, block, packed)
    data = b"fLaC\x80" + len(info).to_bytes(3) + info
    for number, at in enumerate(range(0, len(samples), block)):
        part = samples[at : at + block]
        head = struct.pack(">HBBBH", 0xFFF8, 0x70, 0, number, len(part) - 1)
        frame = head + bytes([_crc(head, 8, 0x07), 0x02]) + struct.pack(f">{len(part)}h", *part)
        data += frame + _crc(frame, 16, 0x8005).to_bytes(2)
    return data


def mp3(frames: int = 20, *, tag: bytes = b"") -> bytes:
    """Silence of 36 ms a frame: 16 kHz, 64 kbit/s. `tag` goes into a frame before them."""
    head = bytes.fromhex("fff388c0") + bytes(9)
    first = (head + tag).ljust(288, b"\0") if tag else b""
    return first + head.ljust(288, b"\0") * frames


def mp3_of_one_sample() -> bytes:
    """An MP3 whose tag leaves one sample of it. The engine does not survive that.

    Its encoder's delay and padding take away the other 575 of its only frame.
    """
    padding = (46 + 529).to_bytes(2)
    lame = b"L" * 21 + bytes([0, padding[0], padding[1]])
    return mp3(tag=b"Info\0\0\0\x01\0\0\0\x01" + lame.ljust(40, b"\0"))


def _png(width: int, height: int, depth: int, kind: int, data: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = _chunk(b"IHDR", head) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _tone(hz: float, seconds: float, rate: int) -> list[int]:
    turn = 2 * math.pi * hz / rate
    return [round(20_000 * math.sin(turn * place)) for place in range(round(seconds * rate))]


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    value = 0
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = (value << 1) ^ (polynomial if value >> (bits - 1) else 0)
            value &= (1 << bits) - 1
    return value
