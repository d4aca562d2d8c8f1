"""Finds tool calls in streamed text for models whose Go template says how they are written.

The generic reading: a tag, then a known tool's name and a JSON object with its arguments, in any
order and wrapping. Models with a Jinja template do not come here: the engine parses theirs.
"""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple

from ayllu.chat.thinking import partial_suffix
from ayllu.types import Json, ToolCall, ToolFunction

_BRACKETS = {"{": "}", "[": "]"}
_MARK = re.compile(r'[{}"\\]')
_ID_LETTERS = string.ascii_lowercase + string.digits


class Found(NamedTuple):
    """What a piece of text turned out to be."""

    text: str
    calls: tuple[ToolCall, ...]


class _State(Enum):
    TEXT = auto()
    CALLS = auto()
    OFF = auto()


class ToolParser:
    """Reads one answer of a model that was offered the tools `names`."""

    def __init__(self, tag: str, names: Sequence[str]) -> None:
        self._tag = tag or "{"
        self._names = sorted(names, key=len, reverse=True)
        self._held = ""
        self._state = _State.TEXT
        self._seen_text = False
        self._count = 0
        self._scan = _Scan()

    def feed(self, text: str) -> Found:
        """The text and the calls that are certain by now."""
        self._held += text
        answer = self._take_text() if self._state is _State.TEXT else ""
        calls = tuple(self._take_calls()) if self._state is _State.CALLS else ()
        if self._state is _State.OFF:
            answer, self._held = answer + self._held, ""
        return Found(answer, calls)

    def finish(self) -> str:
        """Held-back text when the answer ends: unless it was the rest of a tagged call."""
        held, self._held = self._held, ""
        unread = self._state is _State.CALLS and (self._count or self._tag not in _BRACKETS)
        return "" if unread else held

    def _take_text(self) -> str:
        if self._tag in _BRACKETS:
            return self._take_until_bracket()
        before, found, after = self._held.partition(self._tag)
        if found:
            self._state, self._held = _State.CALLS, after
            return before.rstrip() if self._seen_text else before.strip()
        keep = partial_suffix(self._held, self._tag)
        certain = len(self._held) - keep
        answer, self._held = self._held[:certain], self._held[certain:]
        self._seen_text |= bool(answer.strip())
        return answer

    def _take_until_bracket(self) -> str:
        """A bare bracket is a tag only where it is the first thing the model writes."""
        start = self._held.lstrip()
        if start:
            self._state = _State.CALLS if start.startswith(self._tag) else _State.OFF
        return ""

    def _take_calls(self) -> Iterator[ToolCall]:
        while (name := self._name()) is not None and (end := self._scan.end(self._held)):
            value = _object(self._held[self._scan.start : end])
            if value is None:
                self._scan = _Scan(self._scan.start + 1)
                continue
            yield self._call(name, value)
            self._held = self._held[max(end, self._held.find(name) + len(name)) :]
            self._scan = _Scan()
        if self._tag in _BRACKETS and self._count and not self._held.strip(" \t\r\n,;]}"):
            self._held = ""

    def _name(self) -> str | None:
        """The first known name in the text, the longest where two start together."""
        places = [(self._held.find(name), -len(name), name) for name in self._names]
        present = [place for place in places if place[0] >= 0]
        if not present:
            return None
        name = min(present)[2]
        # Another tool's name may still be growing at the end of the text.
        growing = any(
            other.startswith(name) and other != name and self._held.endswith(name)
            for other in self._names
        )
        return None if growing else name

    def _call(self, name: str, value: dict[str, Json]) -> ToolCall:
        index, self._count = self._count, self._count + 1
        return new_call(name, _arguments(value, name), index)


def new_call(name: str, arguments: dict[str, Json], index: int) -> ToolCall:
    """A call with an id of its own, in Ollama's form."""
    return ToolCall(
        id="call_" + "".join(secrets.choice(_ID_LETTERS) for _ in range(8)),
        function=ToolFunction(name=name, arguments=arguments, index=index),
    )


class _Scan:
    """Finds the end of the first object in a text that grows, looking at every letter once."""

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self._place = start
        self._depth = 0
        self._quoted = False

    def end(self, text: str) -> int:
        """Where the object ends, or 0 while it does not."""
        if self._depth == 0:
            self.start = text.find("{", self._place)
            if self.start < 0:
                self.start = self._place
                return 0
            self._place = self.start
        while found := _MARK.search(text, self._place):
            mark = found.group()
            if mark == "\\" and self._quoted:
                if found.end() == len(text):
                    return 0  # what it escapes is still to come
                self._place = found.end() + 1
                continue
            self._place = found.end()
            if mark == '"':
                self._quoted = not self._quoted
            elif not self._quoted:
                self._depth += (mark == "{") - (mark == "}")
                if self._depth == 0:
                    return self._place
        self._place = len(text)
        return 0


def _arguments(value: dict[str, Json], name: str) -> dict[str, Json]:
    """The arguments within an object that was found beside a tool's name."""
    pending: list[Json] = [value]
    while pending:
        item = pending.pop(0)
        if isinstance(item, list):
            pending += item
        if not isinstance(item, dict):
            continue
        for key in ("arguments", "parameters", name):
            inner = item.get(key)
            if isinstance(inner, str):
                inner = _object(inner)
            if isinstance(inner, dict) and (key == name or "name" in item or name in item.values()):
                return inner
        pending += item.values()
    return value


def _object(text: str) -> dict[str, Json] | None:
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
