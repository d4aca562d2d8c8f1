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

from ayllu.types import Json, Message, ToolCall

Ask = Callable[[Sequence[Message]], Awaitable[str]]

_FIRST = 3
_EACH = 64
"""Prompts that are compared: the first of each form, and then one of so many."""

_MOST = 1024
"""Forms that are kept; conversations that have nothing in common are for the engine."""

_ALIKE = """ "q" 'r' \\s <t> &u; {{v}} {w} [x] (y) %z% #1 $2 *_~`^=+-/:;,.?!@|3 é\t4\n\n  5\r\n"""
"""What stands in for a text: all that a template might escape, replace or strip."""

_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 _.,:;/()+-]*[A-Za-z0-9_.)])?")
"""An argument of a call that is written in JSON, or anywhere, as it is."""

_NUMBER = 918_273_640_000_000
_LEAST_ID = 6

_HOLE = r"\u0000"
"""How JSON writes what begins what stands for a leaf in a form."""

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
        forms: list[str] = []
        leaves: list[_Leaf] = []
        for one in messages:
            shown, found = self._taken_apart(one, _hole)
            forms.append(msgspec.json.encode(shown).decode())
            leaves += found
        texts = [leaf.value for leaf in leaves if leaf.kind == "text"]
        holes = sum(form.count(_HOLE) for form in forms)
        if not self._quick or not leaves or holes > len(leaves) or len(set(texts)) < len(texts):
            return await ask(messages)
        skeleton = await self._skeleton((*way, *forms), messages, ask)
        if skeleton is None:
            return await ask(messages)
        prompt = skeleton.fill([str(leaf.value) for leaf in leaves])
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
        leaves: list[_Leaf] = []
        shown = []
        for one in messages:
            marked, found = self._taken_apart(one, _mark, len(leaves))
            shown.append(marked)
            leaves += found
        marks = [str(_mark(leaf, number)) for number, leaf in enumerate(leaves)]
        prompt = await ask(shown)
        pieces = re.split(f"({'|'.join(map(re.escape, marks))})", prompt)
        rest = "".join(pieces[::2]).lower()
        for number, leaf in enumerate(leaves):
            changed = any(f"qz{number}{end}" in rest for end in ("begin", "end"))
            if changed or (leaf.kind == "number" and marks[number] not in pieces):
                return None
        return _Skeleton(pieces[::2], [marks.index(mark) for mark in pieces[1::2]])

    def _taken_apart(
        self, message: Message, put: Callable[[_Leaf, int], Json], first: int = 0
    ) -> tuple[Message, list[_Leaf]]:
        """A message with something else in place of what is passed on, and that, in its order."""
        leaves: list[_Leaf] = []

        def leaf(kind: str, value: Json) -> Json:
            leaves.append(_Leaf(kind, value))
            return put(leaves[-1], first + len(leaves) - 1)

        def text(value: str) -> str:
            return str(leaf("text", value)) if self._passes(value) else value

        def name(value: str) -> str:
            return str(leaf("id", value)) if len(value) >= _LEAST_ID and value.isalnum() else value

        def argument(value: Json) -> Json:
            if isinstance(value, dict):
                return {key: argument(item) for key, item in value.items()}
            if isinstance(value, list):
                return [argument(item) for item in value]
            if isinstance(value, str) and _WORD.fullmatch(value) and self._passes(value):
                return leaf("word", value)
            is_number = isinstance(value, int) and not isinstance(value, bool)
            return leaf("number", value) if is_number and 0 <= value < _NUMBER else value

        def call(one: ToolCall) -> ToolCall:
            arguments = argument(one.function.arguments)
            function = structs.replace(one.function, arguments=arguments)
            return structs.replace(one, function=function, id=name(one.id))

        shown = structs.replace(
            message,
            content=text(message.content),
            thinking=text(message.thinking),
            tool_calls=tuple(map(call, message.tool_calls)),
            tool_call_id=name(message.tool_call_id),
        )
        return shown, leaves

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


class _Leaf(Struct, frozen=True):
    """What is passed on: a text, a word or a number of a call's arguments, or an id."""

    kind: str
    value: Json


def _hole(leaf: _Leaf, _number: int) -> str:
    """What stands for a leaf in a form; templates may look at how long an id is."""
    return f"\0{leaf.kind}{len(leaf.value) if leaf.kind == 'id' else ''}"


def _mark(leaf: _Leaf, number: int) -> Json:
    """What stands for a leaf in a skeleton's prompt."""
    if leaf.kind == "number":
        return _NUMBER + number
    if leaf.kind == "id":
        return f"{number}Qz{'x' * len(leaf.value)}"[: len(leaf.value)]
    return f"Qz{number}begin{_ALIKE if leaf.kind == 'text' else ''}Qz{number}end"


def _names(jinja: str) -> frozenset[str]:
    """The texts that a template names, and so may look for: words alone are roles and members."""
    found = (
        _ESCAPE.sub(lambda escape: _ESCAPES.get(escape[1], escape[1]), one or other).strip()
        for one, other in _LITERAL.findall(jinja)
    )
    # What stands in every mark shows there what becomes of it; "" does so too.
    return frozenset(name for name in found if not name.isalnum() and name not in _ALIKE)
