"""The parser for models of which nothing is known but their Go template: it shows their tags."""

from __future__ import annotations

from collections.abc import Iterator

from ayllu.chat.parsers.parser import Setting
from ayllu.chat.thinking import ThinkingParser
from ayllu.chat.tools import ToolParser
from ayllu.template import Template, thinking_tags, tool_tag
from ayllu.types import Event, TextEvent, ThinkingEvent, ToolCallEvent


class InferredParser:
    """Reads one answer by the tags that a Go template writes around earlier turns.

    Without a template the answer is a call's JSON.
    """

    def __init__(self, template: Template | None, setting: Setting) -> None:
        tags = thinking_tags(template) if template and setting.think is not False else None
        names = [tool["function"]["name"] for tool in setting.tools]
        tag = (tool_tag(template) if template else None) or "{"
        self._tools = ToolParser(tag, names) if names else None
        inside = tags is not None and setting.prompt.rstrip().endswith(tags[0])
        self._thinking = ThinkingParser(*tags, inside=inside) if tags else None
        self._fed = 0
        self.thinks = tags is not None
        self.tags = (*(tags or ()), *((tag,) if names else ()))
        self.text_start: int | None = None

    def feed(self, text: str) -> Iterator[Event]:
        """The Events that are certain by now."""
        self._fed += len(text)
        if self._thinking is not None:
            thinking, text = self._thinking.feed(text)
            if thinking:
                yield ThinkingEvent(thinking)
        if text and self.text_start is None:
            self.text_start = self._fed - len(text)
        yield from self._answer(text)

    def finish(self, *, cut: bool = False) -> Iterator[Event]:  # noqa: ARG002 - JSON tells its end
        """What was held back when the answer ends."""
        if self._thinking is not None:
            thinking, text = self._thinking.finish()
            if thinking:
                yield ThinkingEvent(thinking)
            yield from self._answer(text)
        if self._tools is not None and (text := self._tools.finish()):
            yield TextEvent(text)

    def _answer(self, text: str) -> Iterator[Event]:
        if self._tools is None:
            if text:
                yield TextEvent(text)
            return
        found = self._tools.feed(text)
        if found.text:
            yield TextEvent(found.text)
        if found.calls:
            yield ToolCallEvent(found.calls)
