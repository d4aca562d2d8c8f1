"""Looks for tags in text that grows: what is certain, and what might still become a tag.

Every answer depends on the text alone, never on how it was cut into pieces.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from msgspec import Struct

from ayllu.chat.thinking import partial_suffix


class Tag(Struct, frozen=True):
    """A tag and where it starts."""

    start: int
    text: str

    @property
    def end(self) -> int:
        """The place after the tag."""
        return self.start + len(self.text)


def first_tag(text: str, tags: Iterable[str], start: int = 0) -> Tag | None:
    """The first of some tags in a text from a place on, the longest where two start together."""
    found = _pattern(tuple(tags)).search(text, start)
    return Tag(found.start(), found.group()) if found else None


def growing(text: str, tags: Iterable[str]) -> int:
    """Length of the longest end of a text that could be the start of one of the tags."""
    return max((partial_suffix(text, tag) for tag in tags), default=0)


class Quote(Struct, frozen=True):
    """A pair of marks between which no tag counts; with `escapes` a backslash frees a letter."""

    opening: str
    closing: str
    escapes: bool = False


JSON_QUOTES = (Quote('"', '"', escapes=True),)
PYTHON_QUOTES = (*JSON_QUOTES, Quote("'", "'", escapes=True))


class BodyScan:
    """Finds the end of one call's body, looking at every letter about once.

    The body ends at the closing tag, or where there is none, at the bracket that closes the first
    one; `skipped` are texts whose own brackets do not count.
    """

    def __init__(
        self, closing: str, quotes: tuple[Quote, ...] = (), skipped: tuple[str, ...] = ()
    ) -> None:
        self._closing = closing
        self._quotes = {quote.opening: quote for quote in quotes}
        brackets = () if closing else ("{", "[", "}", "]")
        self._marks = (*filter(None, (closing,)), *self._quotes, *skipped, *brackets)
        self._pattern = _pattern(self._marks)
        self._longest = max(map(len, self._marks), default=1)
        self._inside: Quote | None = None
        self._place = 0
        self._depth = 0

    def end(self, text: str) -> tuple[int, int] | None:
        """Where the body ends and where the text goes on after it; None while it is open."""
        while True:
            if self._inside is not None:
                if not self._leave_quote(text, self._inside):
                    return None
                continue
            found = self._pattern.search(text, self._place)
            if found is None or len(text) - found.start() < self._longest:
                limit = len(text) - growing(text[self._place :][-self._longest :], self._marks)
                if found is None or found.start() >= limit:
                    self._place = limit
                    return None
            self._place = found.end()
            if found.group() == self._closing:
                return found.start(), found.end()
            self._inside = self._quotes.get(found.group())
            self._depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(found.group(), 0)
            if found.group() in "}]" and self._depth <= 0:
                return found.end(), found.end()

    def _leave_quote(self, text: str, quote: Quote) -> bool:
        escape = (r"\\.",) if quote.escapes else ()
        for found in _inner(quote.closing, escape).finditer(text, self._place):
            self._place = found.end()
            if found.group() == quote.closing:
                self._inside = None
                return True
        rest = text[self._place :]
        # What a backslash at the end escapes is still to come.
        keep = int(quote.escapes and rest.endswith("\\"))
        self._place = len(text) - max(keep, partial_suffix(rest, quote.closing))
        return False


@cache
def _pattern(marks: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(marks, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


@cache
def _inner(closing: str, escape: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join((*escape, re.escape(closing))), re.DOTALL)
