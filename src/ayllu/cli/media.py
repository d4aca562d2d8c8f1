"""Pictures and sounds named in a prompt: found, read, and taken out of its text."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from msgspec import Struct

from ayllu.errors import BadRequestError
from ayllu.values import human_bytes

LARGEST = 100 * 1_000_000

_PATH = re.compile(
    r"(?:[a-zA-Z]:)?(?:\./|/|\\)[\S\\ ]+?\.(?:jpg|jpeg|png|webp|wav)\b", re.IGNORECASE
)
_ESCAPE = re.compile(r"\\([ ()\[\]{}$&;'\\*?~])")


class Attached(Struct, frozen=True):
    """A prompt without the paths in it, the files' contents in base64, and a line about each."""

    prompt: str
    images: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def attach(prompt: str) -> Attached:
    """Read the media files that the prompt names; a path that leads nowhere stays text.

    Raises BadRequestError for a file that is too large or is not what its name says.
    """
    images: list[str] = []
    notes: list[str] = []
    for found in _PATH.findall(prompt):
        path = Path(_ESCAPE.sub(r"\1", found))
        if not path.is_file():
            continue
        data = _read(path)
        prompt = prompt.replace(f"'{found}'", "").replace(found, "")
        images.append(base64.b64encode(data).decode())
        notes.append(f"Added {_kind(data, path)} '{path}'")
    return Attached(prompt.strip() if images else prompt, tuple(images), tuple(notes))


def begins_with_file(line: str) -> bool:
    """Whether a line that begins with a slash names a file rather than a command."""
    match = _PATH.match(line)
    return match is not None and Path(_ESCAPE.sub(r"\1", match.group())).is_file()


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise BadRequestError(f"'{path}' has {human_bytes(size)}, more than 100 MB")
        return path.read_bytes()
    except OSError as error:
        raise BadRequestError(f"'{path}' cannot be read: {error.strerror}") from error


def _kind(data: bytes, path: Path) -> str:
    """`image` or `audio`, by the file's first bytes."""
    if data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
        return "image"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image"
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "audio"
    raise BadRequestError(f"'{path}' is no JPEG, PNG or WebP image and no WAV sound")
