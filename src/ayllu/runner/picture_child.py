"""A program: reads a picture from its standard input and writes it to its output as another format.

Called with the format, a JPEG's quality, the most pixels, the most bytes of memory and the most
seconds of CPU. Exits with 3 where there are more pixels. Imports nothing of ours, for it must start
soon.
"""

from __future__ import annotations

import io
import sys

from PIL import Image

if sys.platform != "win32":
    import resource

FORMATS = ("WEBP", "JPEG", "PNG", "GIF")
TOO_LARGE = 3


def main(form: str, quality: int, max_pixels: int, memory: int, seconds: int) -> int:
    """Convert one picture; returns the exit status."""
    _limit(memory, seconds)
    Image.MAX_IMAGE_PIXELS = None  # the next lines look after that
    with Image.open(io.BytesIO(sys.stdin.buffer.read()), formats=FORMATS) as picture:
        if picture.width * picture.height > max_pixels:
            return TOO_LARGE
        # Each format takes what it knows of the two.
        plain = picture.convert("RGB")
        plain.save(sys.stdout.buffer, form, quality=quality, compress_level=1)
    return 0


def _limit(memory: int, seconds: int) -> None:
    """Bound this process, where the system has bounds."""
    if sys.platform != "win32":
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
