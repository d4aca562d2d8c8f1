"""Word wrap of text that arrives in pieces.

A word that turns out too long for the line has already been printed, so it is erased and printed
again on the next line.
"""

from __future__ import annotations

from ayllu.cli.print import width_of

MARGIN = 5
NARROWEST = 10


class Wrapper:
    """Wraps one answer for a terminal of `columns` cells; narrower ones than 10 are left alone."""

    def __init__(self, columns: int) -> None:
        self._limit = columns - MARGIN if columns >= NARROWEST else 0
        self._column = 0
        self._word = ""

    def feed(self, text: str) -> str:
        """What to print for the next piece of text."""
        return "".join(map(self._place, text)) if self._limit else text

    def _place(self, char: str) -> str:
        if char == "\n":
            self._column, self._word = 0, ""
            return char
        char = " " if char == "\t" else char
        width = width_of(char)
        if self._column + width <= self._limit:
            return self._put(char, width)
        if char == " ":
            self._column, self._word = 0, ""
            return "\n"
        return self._break() + self._put(char, width)

    def _put(self, char: str, width: int) -> str:
        """Wide characters may be broken between, so they belong to no word."""
        self._column += width
        self._word = "" if char == " " or width > 1 else self._word + char
        return char

    def _break(self) -> str:
        """Go to the next line, and take the word along unless it began the line."""
        word, width = self._word, width_of(self._word)
        if not word or width >= self._column:
            self._column, self._word = 0, ""
            return "\n"
        self._column = width
        return f"\x1b[{width}D\x1b[K\n{word}"
