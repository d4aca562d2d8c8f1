"""Ollama's request fields, read as Ollama reads them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from msgspec import structs

from ayllu.chat.placing import PLACE, unplaced
from ayllu.chat.request import Level, Think
from ayllu.errors import BadRequestError
from ayllu.gotime import parse_keep_alive
from ayllu.server.schemas import MAX_TOP_LOGPROBS
from ayllu.types import Json, Message

_NAMED = re.compile(r"\[img-([0-9]{1,6})\]")
_LEVEL_WORDS = '"high", "medium", "low", "max", true, or false'


def read_keep_alive(value: Json) -> float | None:
    """Seconds, or None where nobody said. Raises BadRequestError."""
    if value is None:
        return None
    try:
        return parse_keep_alive(value)
    except ValueError as error:
        raise BadRequestError(str(error)) from error


def read_think(value: Json) -> Think | None:
    """Whether to think, or how hard. Raises BadRequestError."""
    if value is None:
        return None
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise BadRequestError(f"think must be a boolean or string ({_LEVEL_WORDS})")
    try:
        level: Level = msgspec.convert(value, type=Level)
    except msgspec.ValidationError as error:
        words = f'invalid think value: "{value}" (must be {_LEVEL_WORDS})'
        raise BadRequestError(words) from error
    return level


def read_format(value: Json) -> Literal["json"] | Mapping[str, Json] | None:
    """None, "json" or a JSON schema. Raises BadRequestError."""
    if value is None or value == "":
        return None
    if value == "json":
        return "json"
    if isinstance(value, dict):
        return value
    shown = msgspec.json.encode(value).decode()
    raise BadRequestError(f'invalid format: {shown}; expected "json" or a valid JSON Schema object')


def read_top_logprobs(value: int) -> int:
    """How many alternatives per token. Raises BadRequestError."""
    if not 0 <= value <= MAX_TOP_LOGPROBS:
        raise BadRequestError(f"top_logprobs must be between 0 and {MAX_TOP_LOGPROBS}")
    return value


def read_places(messages: Sequence[Message]) -> list[Message]:
    """The messages, where `[img]` in a text stands for its first image, the next for the next."""
    return [_placed(message) if message.images else message for message in messages]


def read_raw_places(prompt: str, images: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """A raw prompt, where `[img-0]` stands for the first image, and the images as they come in it.

    Those that it does not name go before it.
    """
    if not images:
        return prompt, ()
    named = [number for number in map(int, _NAMED.findall(prompt)) if number < len(images)]
    others = [image for number, image in enumerate(images) if number not in named]

    def place(found: re.Match[str]) -> str:
        return PLACE if int(found[1]) < len(images) else found[0]

    placed = _NAMED.sub(place, unplaced(prompt))
    return PLACE * len(others) + placed, (*others, *(images[number] for number in named))


def _placed(message: Message) -> Message:
    """The message with its images in the order of its text; those without a place come first."""
    content = unplaced(message.content)
    places = min(content.count("[img]"), len(message.images))
    return structs.replace(
        message,
        content=content.replace("[img]", PLACE, places),
        images=message.images[places:] + message.images[:places],
    )
