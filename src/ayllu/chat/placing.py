"""Where in a text its images and sounds stand, from a message's content to the engine's prompt.

A dialect writes PLACE where an attachment belongs; those without a place come first. While a prompt
is rendered, marks that nobody can guess hold the places: no text of a user's is taken for one.
Pure.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

from msgspec import Struct, structs

from ayllu.types import Json, Message

PLACE = "\ufffc"
"""The character that Unicode has for an object within a text."""

_SECRET = secrets.token_hex(8)
_MARK = re.compile(f"{_SECRET}x([0-9]+)x")


class Attachment(Struct, frozen=True):
    """An image or a sound within a text, in base64."""

    data: str


Part = str | Attachment


def joined(parts: Sequence[str | None]) -> str:
    """One text of several, None standing for an attachment; neighbours that are text are lines.

    So llama.cpp joins the parts of a message.
    """
    if None not in parts:
        return "\n".join(part for part in parts if part)
    text = ""
    for part in parts:
        if part is None:
            text += PLACE
        elif part:
            text += ("\n" if text and not text.endswith(PLACE) else "") + unplaced(part)
    return text


def unplaced(text: str) -> str:
    """A user's text without the character that stands for attachments."""
    return text.replace(PLACE, "")


def marked(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages with marks in their contents, numbered through all of them."""
    count = 0
    result = []
    for message in messages:
        content = mark_content(message.content, range(count, count + len(message.images)))
        count += len(message.images)
        result.append(structs.replace(message, content=content) if message.images else message)
    return tuple(result)


def mark_content(content: str, numbers: Sequence[int]) -> str:
    """A content with the marks in their order: the last at each PLACE, those before in front."""
    in_front = max(len(numbers) - content.count(PLACE), 0)
    for number in numbers[in_front:]:
        content = content.replace(PLACE, _mark(number), 1)
    return "".join(map(_mark, numbers[:in_front])) + content


def attachments(messages: Sequence[Message]) -> tuple[str, ...]:
    """All images and sounds of the messages, in base64, as `marked` numbers them."""
    return tuple(image for message in messages for image in message.images)


def split(text: str, attached: Sequence[str]) -> list[Part]:
    """A marked text as texts and attachments; no text is empty."""
    pieces = _MARK.split(text)
    parts: list[Part] = []
    for place, piece in enumerate(pieces):
        if place % 2:
            parts.append(Attachment(attached[int(piece)]))
        elif piece:
            parts.append(piece)
    return parts


def with_marks(text: str, marker: str) -> str:
    """A text in which an engine put its own marker for each attachment, in their order."""
    first, *others = text.split(marker)
    return first + "".join(_mark(number) + piece for number, piece in enumerate(others))


def numbered(text: str) -> str:
    """A marked text for people: `[img-0]` stands for the first attachment, as in Ollama."""
    return _MARK.sub(r"[img-\1]", text)


def without_marks(text: str) -> str:
    """A marked text without its marks."""
    return _MARK.sub("", text)


def engine_prompt(text: str, attached: Sequence[str], marker: str) -> Json:
    """A prompt for the engine's /completion; just the text where nothing is attached.

    An attachment at the very end would end the engine: a line break comes after it.
    Source: llama.cpp tools/server/README.md, "POST /completion", `multimodal_data`.
    """
    parts = split(text, attached)
    data = [part.data for part in parts if isinstance(part, Attachment)]
    if not data:
        return text
    if isinstance(parts[-1], Attachment):
        parts.append("\n")
    prompt = "".join(part if isinstance(part, str) else marker for part in parts)
    return {"prompt_string": prompt, "multimodal_data": data}


def ends_attached(parts: Sequence[Part]) -> bool:
    """Whether the last part is an attachment."""
    return bool(parts) and isinstance(parts[-1], Attachment)


def _mark(number: int) -> str:
    return f"{_SECRET}x{number}x"
