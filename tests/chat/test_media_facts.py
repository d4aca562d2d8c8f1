from __future__ import annotations

import struct

import media_samples as samples
import pytest

from ayllu.chat.media_facts import DamagedError, image_size, media_format, sound_seconds


@pytest.mark.parametrize(
    ("data", "form"),
    [
        (samples.JPEG, "JPEG"),
        (samples.png(), "PNG"),
        (samples.GIF, "GIF"),
        (samples.WEBP, "WebP"),
        (samples.wav(), "WAV"),
        (samples.mp3(), "MP3"),
        (b"ID3\3\0", "MP3"),
        (samples.flac(), "FLAC"),
        (b"RIFF\0\0\0\0AVI ", None),
        (b"\xff", None),
        (b"BM", None),
        (b"", None),
    ],
)
def test_the_first_bytes_tell_the_format(data: bytes, form: str | None) -> None:
    assert media_format(data[:12]) == form


def segment(code: int, length: int = 2) -> bytes:
    return bytes([0xFF, code]) + length.to_bytes(2) + bytes(length - 2)


def frame(code: int, width: int, height: int) -> bytes:
    return bytes([0xFF, code]) + struct.pack(">HBHH", 17, 8, height, width)


SIZED = frame(0xC2, 40, 30)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (samples.JPEG, (32, 32)),
        (samples.JPEG_CMYK, (32, 32)),
        (b"\xff\xd8" + SIZED, (40, 30)),
        (b"\xff\xd8" + segment(0xE1, 60_000) + segment(0xC4, 30) + SIZED, (40, 30)),
        (b"\xff\xd8" + b"\xff" * 9 + SIZED, (40, 30)),
        (b"\xff\xd8\x00\x00" + SIZED, (40, 30)),
        (b"\xff\xd8" + segment(0xE0) * 5000 + SIZED, (40, 30)),
        (b"\xff\xd8" + segment(0xE0) * 20_000 + SIZED, None),
        (b"\xff\xd8" + b"\xff" * 9000 + SIZED, None),
        (b"\xff\xd8" + SIZED[:-1], None),
        (b"\xff\xd8\xff", None),
    ],
)
def test_a_jpeg_has_the_size_of_its_frame(data: bytes, size: tuple[int, int] | None) -> None:
    if size is None:
        with pytest.raises(DamagedError):
            image_size(data, "JPEG")
    else:
        assert image_size(data, "JPEG") == size


def test_pngs_and_gifs_say_their_size_at_once() -> None:
    assert image_size(samples.png_bomb(70_000, 3), "PNG") == (70_000, 3)
    assert image_size(samples.GIF, "GIF") == (32, 32)
    for data, form in ((samples.png()[:23], "PNG"), (samples.GIF[:9], "GIF")):
        with pytest.raises(DamagedError):
            image_size(data, form)  # type: ignore[arg-type] # one of the formats


def test_sounds_say_how_long_they_are() -> None:
    assert sound_seconds(samples.wav(seconds=0.25, rate=8000), "WAV") == 0.25
    cut = samples.wav(seconds=1)[: 44 + 8000]
    assert sound_seconds(cut, "WAV") == 0.25
    assert sound_seconds(samples.flac(seconds=0.25), "FLAC") == 0.25
    tag = b"Info\0\0\0\1" + (15).to_bytes(4)
    assert sound_seconds(samples.mp3(20, tag=tag), "MP3") == pytest.approx(15 * 576 / 16_000)
    assert sound_seconds(samples.mp3(), "MP3") == float("inf")
    tagged = b"ID3\3\0\0\0\0\1\0" + bytes(128)
    assert sound_seconds(tagged + samples.mp3(20, tag=tag), "MP3") == pytest.approx(0.54)
    assert sound_seconds(tagged + samples.flac(seconds=0.25), "MP3") == 0.25


def test_other_chunks_of_a_wav_are_passed_over() -> None:
    whole = samples.wav(seconds=0.25)
    listed = whole[:12] + b"LIST\3\0\0\0abc\0" + whole[12:]
    assert sound_seconds(listed, "WAV") == 0.25
    for data in (whole[:36], whole[:12] + whole[36:], whole[:12] + b"LIST\0\0\0\0" * 20_000):
        with pytest.raises(DamagedError):
            sound_seconds(data, "WAV")
