"""What identifies the beginning of a conversation, told from a request's body.

Of the body's JSON only the few fields are looked at that begin a prompt in any dialect: the system
prompt, and the messages up to the first of the user. What follows is new each time.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec
from msgspec import Raw, Struct

from ayllu.deploy.route import Work

BEGINNING = 4096
"""Bytes of text that count: about a thousand tokens."""
_TOKEN = 4
"""Bytes of a token, about."""
_MOST_TOKENS = 1 << 15
"""A longer body has images in it."""


class _Message(Struct, frozen=True):
    role: str = ""


class _Body(Struct, frozen=True):
    system: Raw = Raw()
    instructions: Raw = Raw()
    prompt: Raw = Raw()
    input: Raw = Raw()
    messages: list[Raw] = []


def work_of(model: str, body: bytes | bytearray) -> Work:
    """The work that a request is; `model` is its manifest's digest, or its name.

    A body that is no plain JSON (it may be compressed) has a key of none, and any machine will do.
    """
    size = len(body)
    tokens = min(size // _TOKEN, _MOST_TOKENS)
    try:
        begins = b"\0".join(_beginning(msgspec.json.decode(body, type=_Body)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Work(prompt=tokens, length=size)
    key = blake2b(model.encode() + b"\0" + begins[:BEGINNING], digest_size=16).digest()
    return Work(key, tokens, size)


def _beginning(body: _Body) -> list[bytes]:
    parts = [bytes(one) for one in (body.system, body.instructions, body.prompt)]
    messages = body.messages or _items(body.input)
    if not messages:
        parts.append(bytes(body.input))
    for message in messages:
        parts.append(bytes(message))
        if msgspec.json.decode(message, type=_Message).role == "user":
            break
    return parts


def _items(given: Raw) -> list[Raw]:
    """The items of a list of objects; none where it is another thing, as one text."""
    return msgspec.json.decode(given, type=list[Raw]) if bytes(given).startswith(b"[{") else []
