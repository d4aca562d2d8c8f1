"""What the parsers share: text that is held back until it is certain, and counted calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from ayllu.chat.calls import new_call
from ayllu.chat.parsers.values import Arguments
from ayllu.types import Event, TextEvent, ToolCallEvent

MAX_FAILURES = 20
"""What looks like a call and is none, in one answer, before no more are looked for."""


class HoldingParser(ABC):
    """A parser whose `_run` takes from the front of what is `_held` all that is certain."""

    def __init__(self, tags: tuple[str, ...], *, thinks: bool) -> None:
        self.tags = tags
        self.thinks = thinks
        self._held = ""
        self._waits_on_space = False
        self._cut = False
        self._taken = 0
        self._count = 0
        self.text_start: int | None = None

    def feed(self, text: str) -> Iterator[Event]:
        """The Events that are certain by now."""
        held, self._held = self._held, ""  # with one reference a text grows where it lies
        held += text
        self._held = held
        if self._waits_on_space and text.isspace():
            return
        yield from self._run(last=False)
        self._waits_on_space = self._held.isspace()

    def finish(self, *, cut: bool = False) -> Iterator[Event]:
        """What was held back when the answer ends."""
        self._cut = cut
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
