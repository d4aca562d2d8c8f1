"""What is done to images and sounds before the engine gets them."""

from __future__ import annotations

import asyncio
import base64

import media_samples as samples
import pytest
from media_samples import b64

from ayllu.chat.media import MAX_ENGINE_BYTES, media_kind, usable_media, without_data
from ayllu.chat.media_facts import image_size
from ayllu.errors import TooLargeError
from ayllu.types import Message


def usable(*images: bytes) -> tuple[bytes, ...]:
    message = Message("user", images=tuple(map(b64, images)))
    (ready,) = asyncio.run(usable_media([message]))
    return tuple(map(base64.b64decode, ready.images))


def test_what_the_engine_knows_stays_as_it_is() -> None:
    known = (samples.JPEG, samples.png(), samples.GIF, samples.wav(), samples.mp3(), samples.flac())
    assert usable(*known) == known
    message = Message("user", "hello")
    assert asyncio.run(usable_media([message])) == (message,)


def test_webp_becomes_png_or_jpeg() -> None:
    png, jpeg, other = usable(samples.WEBP, samples.WEBP_LOSSY, samples.JPEG)
    assert image_size(png, "PNG") == (32, 32)
    assert image_size(jpeg, "JPEG") == (32, 32)
    assert other == samples.JPEG


def test_images_that_are_too_large_together_are_made_smaller() -> None:
    large = samples.png(5200, 5000, level=0)
    assert len(large) > MAX_ENGINE_BYTES
    smaller, small = usable(large, samples.JPEG)
    assert (image_size(smaller, "JPEG"), small) == ((5200, 5000), samples.JPEG)
    with pytest.raises(TooLargeError, match="more than 75,000,000 bytes together"):
        usable(samples.wav(seconds=1180, rate=32_000, silent=True))


def test_the_kind_is_told_by_the_first_bytes_alone() -> None:
    message = Message("user", images=(b64(samples.wav()), b64(samples.png()), "?"))
    (short,) = without_data([message])
    assert list(map(media_kind, short.images)) == ["audio", "image", "image"]
    assert max(map(len, short.images)) == 16
