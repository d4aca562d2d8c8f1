"""OpenAI's messages become ours: parts, data URLs, tool calls with JSON in strings. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from msgspec import structs

from ayllu.chat.media import Kind, media_kind
from ayllu.chat.placing import joined
from ayllu.errors import BadRequestError
from ayllu.server.wire_openai import Call, ChatMessage
from ayllu.types import Json, Message, Role, ToolCall, ToolFunction

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
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
    role = _ROLES.get(message.role.lower())
    if role is None:
        raise BadRequestError(
            f"{where} has the unknown role {message.role!r}: there are {', '.join(_ROLES)}"
        )
    text, images = _read_content(message.content, f"{where}.content")
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


def _read_content(content: Json, where: str) -> tuple[str, tuple[str, ...]]:
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
        if kind in ("text", "refusal") and isinstance(part.get(kind), str):
            texts.append(part[kind])
        elif kind in _ATTACHMENTS:
            attached.append(_ATTACHMENTS[kind](part.get(kind), place))
            texts.append(None)
        elif kind == "file":
            raise BadRequestError(f"{place} has the type file, which is not supported yet")
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


_ATTACHMENTS = {"image_url": _read_image, "input_audio": _read_sound}
_WORDS = {"image": "image", "audio": "WAV, MP3 or FLAC sound"}


def _read_calls(calls: Sequence[Call], where: str) -> tuple[ToolCall, ...]:
    return tuple(
        _read_call(call, f"{where}.tool_calls[{number}]") for number, call in enumerate(calls)
    )


def _read_call(call: Call, where: str) -> ToolCall:
    if not call.function.name:
        raise BadRequestError(f"{where} has no function with a name")
    arguments = call.function.arguments
    if isinstance(arguments, str):
        arguments = _parse(arguments)
    if not isinstance(arguments, dict):
        raise BadRequestError(f"{where}.function.arguments is not a JSON object in a string")
    return ToolCall(id=call.id, function=ToolFunction(call.function.name, arguments))


def _parse(text: str) -> Json:
    """What a text says in JSON; an empty one stands for no arguments."""
    if not text.strip():
        return {}
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
