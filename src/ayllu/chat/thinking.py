"""Splits streamed text into thinking and answer by a pair of tags, whatever the chunks' borders."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple


class Split(NamedTuple):
    """What a piece of text turned out to be."""

    thinking: str
    text: str


class _State(Enum):
    BEFORE = auto()
    THINKING = auto()
    AFTER = auto()
    ANSWER = auto()


class ThinkingParser:
    """Reads one answer. Thinking counts only where the opening tag comes first.

    Where the prompt itself ends with the opening tag, the answer starts `inside`.
    """

    def __init__(self, opening: str, closing: str, *, inside: bool = False) -> None:
        self._opening = opening
        self._closing = closing
        self._held = ""
        self._state = _State.THINKING if inside else _State.BEFORE
        self._fresh = True

    def feed(self, text: str) -> Split:
        """What of the text so far can be told for certain."""
        self._held += text
        thinking = ""
        if self._state is _State.BEFORE:
            self._look_for_opening()
        if self._state is _State.THINKING:
            thinking = self._take_thinking()
        answer = self._take_answer()
        return Split(thinking, answer)

    def finish(self) -> Split:
        """What was held back when the answer ends."""
        held, self._held = self._held, ""
        return Split(held, "") if self._state is _State.THINKING else Split("", held)

    def _look_for_opening(self) -> None:
        seen = self._held.lstrip()
        if seen.startswith(self._opening):
            self._held = seen.removeprefix(self._opening)
            self._state = _State.THINKING
        elif not self._opening.startswith(seen):
            self._state = _State.ANSWER

    def _take_thinking(self) -> str:
        if self._fresh:
            self._held = self._held.lstrip()
            self._fresh = not self._held
        thinking, closed, rest = self._held.partition(self._closing)
        if closed:
            self._held = rest
            self._state = _State.AFTER
            return thinking.rstrip()
        keep = partial_suffix(self._held, self._closing)
        # White space goes with the closing tag where that follows, so it waits for it.
        body = self._held[: len(self._held) - keep].rstrip()
        self._held = self._held[len(body) :]
        return body

    def _take_answer(self) -> str:
        if self._state is _State.AFTER:
            self._held = self._held.lstrip()
            if self._held:
                self._state = _State.ANSWER
        if self._state is not _State.ANSWER:
            return ""
        answer, self._held = self._held, ""
        return answer


def partial_suffix(text: str, tag: str) -> int:
    """Length of the longest end of `text` that could be the start of `tag`."""
    start = text.find(tag[0], max(len(text) - len(tag) + 1, 0))
    while start >= 0 and not tag.startswith(text[start:]):
        start = text.find(tag[0], start + 1)
    return len(text) - start if start >= 0 else 0
