"""What the parsers share: text that is held back until it is certain, and counted calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from ayllu.chat.parsers.values import Arguments
from ayllu.chat.tools import new_call
from ayllu.types import Event, TextEvent, ToolCallEvent


class HoldingParser(ABC):
    """A parser whose `_run` takes from the front of what is `_held` all that is certain."""

    def __init__(self) -> None:
        self._held = ""
        self._taken = 0
        self._count = 0
        self.text_start: int | None = None

    def feed(self, text: str) -> Iterator[Event]:
        """The Events that are certain by now."""
        self._held += text
        return self._run(last=False)

    def finish(self) -> Iterator[Event]:
        """What was held back when the answer ends."""
        return self._run(last=True)

    @abstractmethod
    def _run(self, *, last: bool) -> Iterator[Event]:
        """The Events that are certain; all that is held is, where it is the `last` call."""

    def _take(self, count: int) -> str:
        text, self._held = self._held[:count], self._held[count:]
        self._taken += count
        return text

    def _text(self, text: str) -> TextEvent:
        """Text that ends where the last `_take` did."""
        if self.text_start is None and text.strip():
            self.text_start = self._taken - len(text)
        return TextEvent(text)

    def _called(self, name: str, arguments: Arguments) -> ToolCallEvent:
        self._count += 1
        return ToolCallEvent((new_call(name, arguments, self._count - 1),))
