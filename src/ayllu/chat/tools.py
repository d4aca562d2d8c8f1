"""Finds tool calls in streamed text for models whose Go template says how they are written.

The generic reading: a tag, then a known tool's name and a JSON object with its arguments, in any
order and wrapping. Models with a Jinja template do not come here: the engine parses theirs.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple

from ayllu.chat.calls import new_call, read_json
from ayllu.chat.thinking import partial_suffix
from ayllu.types import Json, ToolCall

_BRACKETS = {"{": "}", "[": "]"}
_MARK = re.compile(r'[{}"\\]')


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
        self._names = sorted(filter(None, names), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self._names)) or r"(?!)")
        self._longest = len(self._names[0]) if self._names else 0
        self._held = ""
        self._state = _State.TEXT
        self._seen_text = False
        self._opening = ""
        self._count = 0
        self._looked = 0
        self._scan = _Scan()

    def feed(self, text: str) -> Found:
        """The text and the calls that are certain by now."""
        held, self._held = self._held, ""  # with one reference a text grows where it lies
        held += text
        self._held = held
        answer = self._take_text() if self._state is _State.TEXT else ""
        calls = tuple(self._take_calls()) if self._state is _State.CALLS else ()
        if self._state is _State.OFF:
            answer, self._held = answer + self._held, ""
        return Found(answer, calls)

    def finish(self) -> str:
        """Held-back text when the answer ends: unless it was the rest of a tagged call."""
        held, self._held = self._held, ""
        if self._state is not _State.CALLS:
            return held
        if self._tag in _BRACKETS:
            return "" if self._count else held
        return "" if self._count or self._scan.open else self._opening + held

    def _take_text(self) -> str:
        if self._tag in _BRACKETS:
            return self._take_until_bracket()
        before, found, after = self._held.partition(self._tag)
        end = len(before) if found else len(before) - partial_suffix(before, self._tag)
        # White space goes with the tag where that follows, so it waits for it.
        answer = before[:end].rstrip()
        if found:
            self._state, self._held = _State.CALLS, after
            self._opening = before[len(answer) :] + self._tag
            return answer if self._seen_text else answer.lstrip()
        self._held = self._held[len(answer) :]
        self._seen_text |= bool(answer)
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
                self._scan = _Scan(end)
                continue
            yield self._call(name, value)
            self._held = self._held[max(end, self._held.find(name) + len(name)) :]
            self._looked, self._scan = 0, _Scan()
        if self._tag in _BRACKETS and self._count and not self._held.strip(" \t\r\n,;]}"):
            self._held = ""

    def _name(self) -> str | None:
        """The first known name in the text, the longest where two start together."""
        found = self._pattern.search(self._held, self._looked)
        # What was looked at already can only be a name that went on growing at its end.
        seen = found.start() if found else len(self._held)
        self._looked = max(self._looked, seen - self._longest + 1)
        if found is None:
            return None
        name = found.group()
        # Another tool's name may still be growing at the end of the text.
        growing = found.end() == len(self._held) and any(
            other.startswith(name) and other != name for other in self._names
        )
        return None if growing else name

    def _call(self, name: str, value: dict[str, Json]) -> ToolCall:
        index, self._count = self._count, self._count + 1
        return new_call(name, _arguments(value, name), index)


class _Scan:
    """Finds the end of the first object in a text that grows, looking at every letter once."""

    def __init__(self, start: int = 0) -> None:
        self.start = start
        self._place = start
        self._depth = 0
        self._quoted = False

    @property
    def open(self) -> bool:
        """Whether an object has begun."""
        return self._depth > 0

    def end(self, text: str) -> int:
        """Where the object ends, or 0 while it does not."""
        if self._depth == 0:
            self.start = text.find("{", self._place)
            if self.start < 0:
                self.start = self._place = len(text)
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
    pending = deque[Json]([value])
    while pending:
        item = pending.popleft()
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
        value = read_json(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
