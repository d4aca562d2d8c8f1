"""OpenAI's messages become ours: parts, data URLs, tool calls with JSON in strings. Pure.

/v1/responses has other names for the same parts; both are read here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import structs

from ayllu.chat.calls import read_arguments
from ayllu.chat.media import Kind, media_kind
from ayllu.chat.placing import joined
from ayllu.errors import BadRequestError
from ayllu.server.schemas_openai import ROLES
from ayllu.server.wire_openai import Call, ChatMessage
from ayllu.types import Json, Message, Role, ToolCall, ToolFunction

_TEXTS = ("text", "input_text", "output_text", "refusal")
_UNREADABLE = ("file", "input_file")
_DATA_URL = re.compile(r"data:(?:image/(?:jpeg|jpg|png|webp|gif))?;base64,", re.IGNORECASE)


def read_messages(messages: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """The conversation. Raises BadRequestError, with the place of what is wrong."""
    if not messages:
        raise BadRequestError("[] is too short - 'messages'")
    names: dict[str, str] = {}
    read = []
    for number, message in enumerate(messages):
        read.append(_read_message(message, f"messages[{number}]", names))
        names |= {call.id: call.function.name for call in read[-1].tool_calls if call.id}
    return tuple(read)


def _read_message(message: ChatMessage, where: str, names: Mapping[str, str]) -> Message:
    """One turn; `names` are the tools of the calls before it, by the calls' ids."""
    role = read_role(message.role, where)
    text, images = read_content(message.content, f"{where}.content")
    read = Message(role=role, content=text, images=images)
    if role == "assistant":
        thinking = message.reasoning or message.reasoning_content
        return structs.replace(
            read, thinking=thinking, tool_calls=_read_calls(message.tool_calls, where)
        )
    if role == "tool":
        name = names.get(message.tool_call_id, message.name)
        return structs.replace(read, tool_name=name, tool_call_id=message.tool_call_id)
    return read


def read_role(name: str, where: str) -> Role:
    """The role that a name stands for. Raises BadRequestError."""
    role = ROLES.get(name.lower())
    if role is None:
        raise BadRequestError(
            f"{where} has the unknown role {name!r}: there are {', '.join(ROLES)}"
        )
    return role


def read_content(content: Json, where: str) -> tuple[str, tuple[str, ...]]:
    """Text with the places of images and sounds, and those; several texts are lines."""
    if content is None:
        return "", ()
    if isinstance(content, str):
        return content, ()
    if not isinstance(content, list):
        raise BadRequestError(f"{where} is neither a text nor a list of parts")
    texts: list[str | None] = []
    attached: list[str] = []
    for number, part in enumerate(content):
        place = f"{where}[{number}]"
        kind = part.get("type") if isinstance(part, Mapping) else None
        text = part.get("refusal" if kind == "refusal" else "text") if kind in _TEXTS else None
        if isinstance(text, str):
            texts.append(text)
        elif isinstance(kind, str) and kind in _ATTACHMENTS:
            field, read = _ATTACHMENTS[kind]
            attached.append(read(part.get(field), place))
            texts.append(None)
        elif kind in _UNREADABLE:
            raise BadRequestError(f"{place} has the type {kind}, which is not supported yet")
        else:
            raise BadRequestError(f"{place} is no part of type text, image_url or input_audio")
    return joined(texts), tuple(attached)


def _read_image(value: Json, where: str) -> str:
    """The base64 of an image, out of its data URL."""
    url = value.get("url") if isinstance(value, Mapping) else value
    if not isinstance(url, str):
        raise BadRequestError(f"{where} has no url")
    if url[:8].lower().startswith(("http://", "https://")):
        raise BadRequestError(
            "image URLs are not currently supported, please use base64 encoded data instead"
        )
    start = _DATA_URL.match(url)
    if start is None:
        raise BadRequestError(
            f"{where} is not a data URL of a JPEG, PNG, WebP or GIF image in base64"
        )
    return _checked(url[start.end() :], "image", where)


def _read_sound(value: Json, where: str) -> str:
    """The base64 of a sound. Its bytes tell its format."""
    data = value.get("data") if isinstance(value, Mapping) else None
    if not isinstance(data, str):
        raise BadRequestError(f"{where} has no data")
    return _checked(data, "audio", where)


def _checked(data: str, kind: Kind, where: str) -> str:
    """Base64 that is what its part says; the rest of it is looked at later."""
    if not data:
        raise BadRequestError(f"{where} is empty")
    if media_kind(data) != kind:
        raise BadRequestError(f"{where} is no {_WORDS[kind]}")
    return data


_ATTACHMENTS = {
    "image_url": ("image_url", _read_image),
    "input_image": ("image_url", _read_image),
    "input_audio": ("input_audio", _read_sound),
}
"""The kinds of parts, each with the field that has what is attached."""

_WORDS = {"image": "image", "audio": "WAV, MP3 or FLAC sound"}


def _read_calls(calls: Sequence[Call], where: str) -> tuple[ToolCall, ...]:
    return tuple(
        _read_call(call, f"{where}.tool_calls[{number}]") for number, call in enumerate(calls)
    )


def _read_call(call: Call, where: str) -> ToolCall:
    if not call.function.name:
        raise BadRequestError(f"{where} has no function with a name")
    arguments = read_arguments(call.function.arguments, f"{where}.function")
    return ToolCall(id=call.id, function=ToolFunction(call.function.name, arguments))
