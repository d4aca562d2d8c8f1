"""The parser of all formats in which tags stand around thinking and around calls.

A format is data: its tags, and a function that reads the body of a call. Harmony, where every
message has a header, is the one that needs a parser of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, auto

from msgspec import Struct

from ayllu.chat.parsers.holding import MAX_FAILURES, HoldingParser
from ayllu.chat.parsers.parser import Setting
from ayllu.chat.parsers.scan import BodyScan, Quote, first_tag, growing
from ayllu.chat.parsers.values import Arguments, Schemas, schemas_of
from ayllu.types import Event, ThinkingEvent

NamedCall = tuple[str, Arguments]
Read = Callable[[str, Schemas], list[NamedCall]]
"""Reads the calls in a body. Raises ValueError for a text that is none."""


class CallTags(Struct, frozen=True):
    """How calls are written.

    Without a closing tag they end with the bracket that closes the first one; `skipped` are texts
    whose brackets do not count. A call that comes `first` is one only where no text stands before
    it. Where `whole`, the tags belong to the body. `begin` are the letters of which a body begins
    with one, if any. `stray` may follow a call and is dropped; `mend` is what a body may lack at
    its end, though the closing tag is there.
    """

    opening: str
    closing: str
    read: Read
    quotes: tuple[Quote, ...] = ()
    skipped: tuple[str, ...] = ()
    first: bool = False
    whole: bool = False
    begin: str = ""
    stray: str = ""
    mend: str = ""


class TaggedFormat(Struct, frozen=True):
    """A format as tags.

    Thinking counts only before any text, unless `anywhere`. Where the answer `starts_inside`, the
    prompt has opened the thinking, or the model leaves the opening tag out. `noise` is dropped.
    """

    calls: tuple[CallTags, ...] = ()
    thinking: tuple[str, str] | None = None
    starts_inside: bool = False
    anywhere: bool = False
    noise: tuple[str, ...] = ()
    more: Callable[[str], CallTags] | None = None
    """Tags that begin with the name of a tool."""

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that the engine must not hide."""
        calls = [tag for call in self.calls for tag in (call.opening, call.closing, *call.skipped)]
        quotes = [quote for call in self.calls for quote in call.quotes]
        marks = [mark for quote in quotes for mark in (quote.opening, quote.closing)]
        found = dict.fromkeys((*(self.thinking or ()), *self.noise, *calls, *marks))
        return tuple(filter(None, found))


class _Mode(Enum):
    TEXT = auto()
    THINKING = auto()
    CALL = auto()


class TaggedParser(HoldingParser):
    """Reads one answer in a tagged format. Calls are looked for where tools were offered."""

    def __init__(self, format_: TaggedFormat, setting: Setting, *, thinks: bool) -> None:
        super().__init__(format_.tags, thinks=thinks)
        self._schemas = schemas_of(setting.tools)
        names = list(filter(None, self._schemas))
        calls = (*format_.calls, *map(format_.more, names)) if format_.more else format_.calls
        self._calls = {call.opening: call for call in calls if names}
        self._opening, self._closing = format_.thinking or ("", "")
        self._anywhere = format_.anywhere
        self._noise = format_.noise
        self._mode = _Mode.THINKING if _starts_inside(format_, setting) else _Mode.TEXT
        self._outer = self._mode
        self._wrote = setting.prefilled
        self._thought = False
        self._fresh = False
        self._failures = 0
        self._stray = ""
        self._space = ""
        self._call: CallTags | None = None
        self._scan = BodyScan("")
        self._begun = False

    def _run(self, *, last: bool) -> Iterator[Event]:
        while True:
            before = (self._mode, len(self._held), self._taken)
            if self._mode is _Mode.CALL:
                yield from self._in_call(last=last)
            elif not self._wait_for_first_tag(last=last):
                yield from self._between(last=last)
            if before == (self._mode, len(self._held), self._taken):
                return

    def _wait_for_first_tag(self, *, last: bool) -> bool:
        """Take a tag that counts only at the start; True where one may be coming."""
        head = self._held.lstrip()
        for tag in self._first_tags():
            if head.startswith(tag):
                self._enter(tag)
                return True
        coming = any(tag.startswith(head) for tag in self._first_tags())
        return coming and not last

    def _first_tags(self) -> list[str]:
        if self._mode is _Mode.THINKING:
            return [] if self._thought else [self._opening]
        stray = [self._stray] if self._stray else []
        if self._wrote:
            return stray
        thinking = [] if self._thought or not self._opening else [self._opening, self._closing]
        return [*stray, *thinking, *(call.opening for call in self._calls.values() if call.first)]

    def _tags(self) -> list[str]:
        """The tags that count anywhere in this mode."""
        calls = [call.opening for call in self._calls.values() if not call.first]
        if self._mode is _Mode.THINKING:
            return [self._closing, *calls]
        return [*calls, *self._noise, *([self._opening, self._closing] * self._anywhere)]

    def _between(self, *, last: bool) -> Iterator[Event]:
        """Thinking or text, as far as no tag follows."""
        tags = self._tags()
        if tag := first_tag(self._held, tags):
            yield from self._say(self._held[: tag.start].rstrip())
            self._enter(tag.text)
            return
        certain = self._held if last else self._held[: len(self._held) - growing(self._held, tags)]
        # White space goes with a tag where that follows, so it waits for it.
        if tags and not (last and self._mode is _Mode.TEXT):
            certain = certain.rstrip()
        yield from self._say(certain)
        if last:
            self._take(len(self._held))

    def _say(self, text: str) -> Iterator[Event]:
        """Send the front of what is held; the text is it, without the white space at its end."""
        self._take(len(text))
        thinking = self._mode is _Mode.THINKING
        if self._fresh or (thinking and not self._thought):
            text = text.lstrip()
        if not text:
            return
        self._fresh = False
        self._stray = ""
        if thinking:
            self._thought = True
            yield ThinkingEvent(text)
            return
        self._wrote |= bool(text.strip())
        yield self._text(text)

    def _enter(self, tag: str) -> None:
        """Pass a tag and the white space before it."""
        space = self._held[: self._held.index(tag)]
        self._take(len(space) + len(tag))
        self._stray = ""
        if tag in self._calls:
            self._call, self._space, self._outer = self._calls[tag], space, self._mode
            self._scan = BodyScan(self._call.closing, self._call.quotes, self._call.skipped)
            self._mode, self._begun = _Mode.CALL, False
        elif tag == self._opening:
            self._mode = _Mode.THINKING
            self._fresh = True
        elif tag == self._closing:
            self._mode = _Mode.TEXT
            self._fresh = self._thought = True

    def _in_call(self, *, last: bool) -> Iterator[Event]:
        call = self._call
        assert call is not None  # noqa: S101 - this mode has one
        if call.begin and not self._begun:
            head = self._held.lstrip()
            self._begun = bool(head)
            if head and head[0] not in call.begin:
                yield from self._fail(call, 1)
                return
        found = self._scan.end(self._held)
        if not (found or last):
            return
        for body, end in self._bodies(call, found):
            try:
                named = call.read(body, self._schemas)
            except ValueError:
                continue
            self._take(end)
            self._mode, self._fresh, self._stray = _Mode.TEXT, True, call.stray
            for name, arguments in named:
                yield self._called(name, arguments)
            return
        # One that does not end had all of the rest looked through.
        yield from self._fail(call, 1 if found else 5)

    def _fail(self, call: CallTags, weight: int) -> Iterator[Event]:
        """There is no call behind the opening tag: it is what the text before it is."""
        self._failures += weight
        if self._failures >= MAX_FAILURES:
            self._calls = {}
        self._mode = self._outer
        self._fresh = False
        text = self._space + call.opening
        if self._mode is _Mode.THINKING:
            self._thought = True
            yield ThinkingEvent(text)
            return
        self._wrote = True
        yield self._text(text)

    def _bodies(self, call: CallTags, found: tuple[int, int] | None) -> Iterator[tuple[str, int]]:
        """What may be the body and where the text goes on after it.

        A body that did not end may end with the text, or a quote that is open hides its end.
        """
        ends = [found] if found else []
        if not found:
            hidden = self._held.find(call.closing) if call.closing else -1
            ends += [] if self._cut else [(len(self._held), len(self._held))]
            ends += [(hidden, hidden + len(call.closing))] if hidden >= 0 else []
        for body_end, end in ends:
            body = call.opening + self._held[:end] if call.whole else self._held[:body_end]
            yield body, end
            if call.mend and body_end < end:
                yield body + call.mend, end


def _starts_inside(format_: TaggedFormat, setting: Setting) -> bool:
    """Whether the answer goes on with thinking that the prompt began."""
    if format_.thinking is None or setting.prefilled:
        return False
    opening, closing = format_.thinking
    prompt = setting.prompt.rstrip()
    if prompt.endswith(opening.rstrip()):
        return True
    return format_.starts_inside and setting.think is not False and not prompt.endswith(closing)
