"""Pictures that the engine cannot take become such that it can, each in a short-lived child.

The child (`picture_child.py`) decodes with Pillow. It is bounded in time and memory and knows
nothing of ours; what a hostile file does to it hits nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Literal

import structlog

from ayllu.errors import BadRequestError, TooLargeError
from ayllu.system import child_environment

SECONDS = 60
MEMORY = 3 << 30
"""Of the child's address space, in bytes: what 100 million pixels take, and its libraries."""

AT_ONCE = 2
"""Children beside each other, of all requests."""

_PROGRAM = Path(__file__).with_name("picture_child.py")
_TOO_LARGE = 3
_turns = asyncio.Semaphore(AT_ONCE)
_log = structlog.get_logger(__name__)


async def convert_picture(
    data: bytes, form: Literal["PNG", "JPEG"], *, quality: int, max_pixels: int, name: str
) -> bytes:
    """A JPEG, PNG, GIF or WebP file as a file of another format, without transparency.

    Of an animation the first picture counts. `quality` is a JPEG's, to 100. `name` is what an error
    calls the file. Raises TooLargeError beyond `max_pixels`, BadRequestError for what cannot be
    decoded in `SECONDS`.
    """
    async with _turns:
        bounds = map(str, (quality, max_pixels, MEMORY, SECONDS))
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            _PROGRAM,
            form,
            *bounds,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=child_environment(),
        )
        try:
            async with asyncio.timeout(SECONDS):
                converted, words = await child.communicate(data)
        except TimeoutError:
            raise BadRequestError(f"{name} took longer than {SECONDS} s to decode") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    if child.returncode == 0:
        return converted
    if child.returncode == _TOO_LARGE:
        raise TooLargeError(f"{name} has more than {max_pixels:,} pixels")
    _log.info("a picture was not decoded", reason=words.decode("utf-8", "replace").strip()[-200:])
    raise BadRequestError(f"{name} cannot be decoded")
