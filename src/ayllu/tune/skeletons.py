"""Prompts by substitution: what a Jinja template makes of one conversation, it makes of its like.

The engine takes milliseconds for a prompt, for it looks into the template anew each time. Here it
is asked once for each form of conversation, with marks in place of the texts; the texts of others
are put in there. That is right as long as a template passes texts on as they are, and looks at them
only for what it names itself. So texts at which it might look are left to it, and the first prompts
and some of the later ones are compared with the engine's own.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from msgspec import Struct, structs

from ayllu.types import Message

Ask = Callable[[Sequence[Message]], Awaitable[str]]

_FIRST = 3
_EACH = 64
"""Prompts that are compared: the first of each form, and then one of so many."""

_MOST = 1024
"""Forms that are kept; conversations that have nothing in common are for the engine."""

_ALIKE = """ "q" 'r' \\s <t> &u; {{v}} {w} [x] (y) %z% #1 $2 *_~`^=+-/:;,.?!@|3 é\t4\n\n  5\r\n"""
"""What stands in for a text: all that a template might escape, replace or strip."""

_LITERAL = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class OtherwiseError(Exception):
    """A template does something else with a text than passing it on."""


class Skeletons:
    """What is known of a template's prompts. `quick` is False where each is asked of the engine."""

    def __init__(self, jinja: str, *, quick: bool = True) -> None:
        self._names = _names(jinja)
        self._quick = quick
        self._kept: dict[tuple[str, ...], _Skeleton | None] = {}
        self._learning = asyncio.Lock()

    async def render(self, way: tuple[str, ...], messages: Sequence[Message], ask: Ask) -> str:
        """The prompt of some messages, `ask` the engine's. A `way` is all else that it depends on.

        Raises OtherwiseError where it turns out that prompts were not the engine's.
        """
        texts = [text for one in messages if _is_plain(one) for text in _texts(one)]
        forms = [*map(self._form, messages)]
        known = [text for text in texts if self._passes(text)]
        if not (self._quick and known) or len(set(known)) < len(known):
            return await ask(messages)
        skeleton = await self._skeleton((*way, *forms), messages, ask)
        if skeleton is None:
            return await ask(messages)
        prompt = skeleton.fill(known)
        skeleton.used += 1
        compared = skeleton.used <= _FIRST or skeleton.used % _EACH == 0
        if compared and await ask(messages) != prompt:
            raise OtherwiseError
        return prompt

    async def _skeleton(
        self, key: tuple[str, ...], messages: Sequence[Message], ask: Ask
    ) -> _Skeleton | None:
        if key not in self._kept:
            async with self._learning:
                if key not in self._kept and len(self._kept) < _MOST:
                    self._kept[key] = await self._learn(messages, ask)
        return self._kept.get(key)

    async def _learn(self, messages: Sequence[Message], ask: Ask) -> _Skeleton | None:
        marks: list[str] = []

        def marked(text: str) -> str:
            if not self._passes(text):
                return text
            marks.append(f"Qz{len(marks)}begin{_ALIKE}Qz{len(marks)}end")
            return marks[-1]

        prompt = await ask([_with_texts(one, marked) for one in messages])
        pieces = re.split(f"({'|'.join(map(re.escape, marks))})", prompt)
        rest = "".join(pieces[::2]).lower()
        if any(
            f"qz{number}{end}" in rest for number in range(len(marks)) for end in ("begin", "end")
        ):
            return None
        return _Skeleton(pieces[::2], [marks.index(mark) for mark in pieces[1::2]])

    def _form(self, message: Message) -> str:
        """All of a message that counts, but for the texts that are passed on."""
        shown = _with_texts(message, lambda text: "\0" if self._passes(text) else text)
        return msgspec.json.encode(shown).decode()

    def _passes(self, text: str) -> bool:
        """Whether a template has no reason to look at a text."""
        if not text or text != text.strip() or "\0" in text or "Qz" in text:
            return False
        return not any(name in text for name in self._names)


class _Skeleton(Struct):
    """A prompt's own words, and the number of the text behind each."""

    words: list[str]
    order: list[int]
    used: int = 0

    def fill(self, texts: Sequence[str]) -> str:
        """The prompt with these texts."""
        parts = [self.words[0]]
        for number, word in zip(self.order, self.words[1:], strict=True):
            parts += texts[number], word
        return "".join(parts)


def _is_plain(message: Message) -> bool:
    return not (message.tool_calls or message.tool_call_id or message.images)


def _texts(message: Message) -> tuple[str, str]:
    return message.content, message.thinking


def _with_texts(message: Message, change: Callable[[str], str]) -> Message:
    if not _is_plain(message):
        return message
    content, thinking = map(change, _texts(message))
    return structs.replace(message, content=content, thinking=thinking)


def _names(jinja: str) -> frozenset[str]:
    """The texts that a template names, and so may look for: words alone are roles and members."""
    found = (
        _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[1]), one or other).strip()
        for one, other in _LITERAL.findall(jinja)
    )
    # What stands in every mark shows there what becomes of it; "" does so too.
    return frozenset(name for name in found if not name.isalnum() and name not in _ALIKE)
