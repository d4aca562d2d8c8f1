"""What harmony and glimmer share: messages, each behind a header that says where it goes.

The prompt ends within the first header, and a tag after a message's body ends it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from msgspec import Struct

from ayllu.chat.parsers.holding import HoldingParser
from ayllu.chat.parsers.parser import Setting
from ayllu.chat.parsers.scan import first_tag, growing
from ayllu.chat.parsers.tagged import NamedCall
from ayllu.types import Event, ThinkingEvent

MESSAGE = "<|message|>"
"""Stands between a header and its body."""

LONGEST_HEADER = 400
"""A model that writes more than this without MESSAGE does not write such messages."""


class Header(Struct, frozen=True):
    """Where a message goes: `text` is what the model wrote, `tool` the one that is called."""

    text: str = ""
    thinking: bool = False
    tool: str = ""


class HeadedParser(HoldingParser):
    """Reads one answer. A model that does not write headers has its text passed on.

    `starts` begin a header, `ends` end a message and belong to it; `words` are what else the first
    header may go on with. A header that no message follows is dropped.
    """

    starts: ClassVar[tuple[str, ...]]
    ends: ClassVar[tuple[str, ...]]
    words: ClassVar[tuple[str, ...]]

    def __init__(self, setting: Setting, tags: tuple[str, ...], *, thinks: bool) -> None:
        super().__init__(tags, thinks=thinks)
        self._heads = (*tags, *self.words)
        begun = setting.prefilled or setting.prompt.endswith(MESSAGE)
        self._header: Header | None = Header() if begun else None
        self._first = True
        self._looked = 0

    @abstractmethod
    def _read_header(self, text: str) -> Header:
        """What a header says."""

    @abstractmethod
    def _read_calls(self, header: Header, body: str) -> list[NamedCall]:
        """The calls in a whole message. Raises ValueError."""

    def _start_message(self) -> None:
        """A header was read, or there is none to be read."""

    def _is_call(self, header: Header, *, last: bool) -> bool | None:  # noqa: ARG002 - for others
        """Whether the message is a call, which is told when it is whole; None while it may be."""
        return bool(header.tool)

    def _may_end_from(self, *, last: bool) -> int | None:  # noqa: ARG002 - for others
        """The place in a call from which a tag ends it; None while that is not known."""
        return self._looked

    def _run(self, *, last: bool) -> Iterator[Event]:
        while True:
            before = (len(self._held), self._header)
            if self._header is None:
                yield from self._in_header(last=last)
            else:
                yield from self._in_message(self._header, last=last)
            if before == (len(self._held), self._header):
                return

    def _in_header(self, *, last: bool) -> Iterator[Event]:
        end = self._held.find(MESSAGE)
        if 0 <= end <= LONGEST_HEADER and self._may_be_header():
            self._header = self._read_header(self._take(end + len(MESSAGE)))
            self._first = False
            self._start_message()
        elif not self._may_be_header() or (last and self._first and not self._is_header()):
            self._header = Header()
            self._start_message()
            if tag := next(filter(self._held.startswith, self.tags), ""):
                yield from self._say(self._header, self._take(len(tag)))
        elif last:
            self._take(len(self._held))

    def _is_header(self) -> bool:
        """Whether what is held when the answer ends is one: there is a tag in it."""
        has_tag = first_tag(self._held, self.tags) is not None
        return has_tag and self._held.lstrip().startswith(self._heads)

    def _may_be_header(self) -> bool:
        """Whether a header may come; the first one is in the middle of one and so a tag is next."""
        head = self._held.lstrip()[:LONGEST_HEADER]
        if self._first and not any(head.startswith(h) or h.startswith(head) for h in self._heads):
            return False
        end = self._held.find(MESSAGE)
        return (end if end >= 0 else len(self._held) - len(MESSAGE)) <= LONGEST_HEADER

    def _in_message(self, header: Header, *, last: bool) -> Iterator[Event]:
        """The message as far as it is certain."""
        is_call = self._is_call(header, last=last)
        start = self._may_end_from(last=last) if is_call else 0
        if is_call is None or start is None:
            return
        tag = first_tag(self._held, (*self.ends, *self.starts), start)
        if tag is None and not last:
            certain = len(self._held) - growing(self._held, self.tags)
            if is_call:
                self._looked = certain
            else:
                yield from self._say(header, self._take(certain))
            return
        body = self._take(tag.start if tag else len(self._held))
        self._looked = 0
        if is_call:
            yield from self._call(header, body, whole=tag is not None)
        else:
            yield from self._say(header, body)
        if tag or is_call:
            self._header = None
        if tag and tag.text in self.ends:
            self._take(len(tag.text))

    def _call(self, header: Header, body: str, *, whole: bool) -> Iterator[Event]:
        """The calls of a message, or the message as text where there is none."""
        try:
            named = self._read_calls(header, body) if whole or not self._cut else []
        except ValueError:
            named = []
        if not named:
            yield from self._say(Header(), header.text + body)
        for name, arguments in named:
            yield self._called(name, arguments)

    def _say(self, header: Header, text: str) -> Iterator[Event]:
        if text:
            yield ThinkingEvent(text) if header.thinking else self._text(text)
