"""Messages put together from typed lines: three double quotes open and close one of several.

Pure.
"""

from __future__ import annotations

import re

_OPENING = re.compile(r'(/set\s+system\s+)?"""')
QUOTES = '"""'


class Composer:
    """Takes lines one by one and gives messages back whole."""

    def __init__(self) -> None:
        self._lines: list[str] | None = None
        self._command = ""

    @property
    def is_open(self) -> bool:
        """Whether a message was begun and not closed."""
        return self._lines is not None

    def add(self, line: str) -> str | None:
        """The message that this line completes; None while it is open.

        A slash command before the quotes, `/set system`, is given back before the text.
        """
        if self._lines is not None:
            return self._append(line)
        match = _OPENING.match(line)
        if match is None:
            return line
        self._command = match.group(1) or ""
        self._lines = []
        return self._append(line[match.end() :])

    def reset(self) -> None:
        """Forget what was begun."""
        self._lines, self._command = None, ""

    def _append(self, line: str) -> str | None:
        lines = self._lines or []
        self._lines = lines
        if not line.rstrip().endswith(QUOTES):
            lines.append(line)
            return None
        lines.append(line.rstrip().removesuffix(QUOTES))
        text = "\n".join(lines)
        command = self._command
        self.reset()
        return command + text.removeprefix("\n").removesuffix("\n")
