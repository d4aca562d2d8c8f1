"""Pictures are converted in a child: real ones, and what a child must not get away with."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import media_samples as samples
import pytest
from serving import children

from ayllu.chat.media_facts import image_size
from ayllu.errors import BadRequestError, TooLargeError
from ayllu.runner import picture
from ayllu.runner.picture import convert_picture

PROGRAM = Path(picture.__file__).with_name("picture_child.py")


def convert(data: bytes, form: str = "PNG", max_pixels: int = 10_000) -> bytes:
    return asyncio.run(convert_picture(data, form, quality=90, max_pixels=max_pixels, name="it"))  # type: ignore[arg-type] # one of two words


@pytest.mark.parametrize(
    "data",
    [
        samples.WEBP,
        samples.WEBP_LOSSY,
        samples.JPEG,
        samples.JPEG_CMYK,
        samples.GIF,
        samples.png(32, 32),
    ],
)
def test_every_kind_becomes_a_png_or_a_jpeg(data: bytes) -> None:
    assert image_size(convert(data), "PNG") == (32, 32)
    assert image_size(convert(data, "JPEG"), "JPEG") == (32, 32)


def test_transparency_goes_and_an_animation_is_its_first_picture() -> None:
    opaque = convert(samples.png(colour=(0, 255, 0, 9)))
    assert opaque == convert(samples.png(colour=samples.GREEN))
    moving = convert(samples.apng(samples.BLUE, samples.RED))
    assert moving == convert(samples.png(colour=samples.BLUE))


@pytest.mark.parametrize(
    "data", [b"", b"text", samples.WEBP[:20], samples.WEBP[:-9], samples.wav()]
)
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequestError, match=r"^it cannot be decoded$"):
        convert(data)


def test_pixels_are_counted_before_they_are_decoded() -> None:
    with pytest.raises(TooLargeError, match=r"^it has more than 1,023 pixels$"):
        convert(samples.WEBP, max_pixels=1023)
    with pytest.raises(TooLargeError, match="more than 10,000 pixels"):
        convert(samples.png_bomb(50_000, 50_000))


def child(data: bytes, max_pixels: int, memory: int, seconds: int) -> int:
    command = [
        sys.executable,
        "-P",
        str(PROGRAM),
        "PNG",
        "90",
        *map(str, (max_pixels, memory, seconds)),
    ]
    return subprocess.run(command, input=data, capture_output=True, check=False).returncode


def test_the_child_is_bounded_in_memory_and_time() -> None:
    large = samples.png(4000, 4000)
    assert child(large, 1 << 30, picture.MEMORY, picture.SECONDS) == 0
    assert child(large, 1 << 30, 64 << 20, picture.SECONDS) not in {0, 3}
    assert child(samples.png(9000, 9000), 1 << 30, picture.MEMORY, 1) < 0


def test_who_gives_up_leaves_no_child() -> None:
    async def give_up() -> None:
        task = asyncio.create_task(
            convert_picture(
                samples.png(9000, 9000), "PNG", quality=90, max_pixels=1 << 30, name="it"
            )
        )
        while not children():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert not children()

    asyncio.run(give_up())
