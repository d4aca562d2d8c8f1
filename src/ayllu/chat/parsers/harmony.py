"""gpt-oss's harmony: messages with headers, each sent to a channel and perhaps to a tool.

`<|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...`, and for
a call ` to=functions.NAME<|channel|>commentary <|constrain|>json<|message|>{...}<|call|>`, with the
recipient before or after the channel. The prompt ends in `<|start|>assistant`, so an answer begins
within a header. Source: github.com/openai/harmony, docs/format.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from ayllu.chat.parsers.holding import HoldingParser
from ayllu.chat.parsers.parser import Setting
from ayllu.chat.parsers.scan import first_tag, growing
from ayllu.chat.parsers.values import read_arguments, schemas_of
from ayllu.types import Event, ThinkingEvent

_MESSAGE = "<|message|>"
_ENDS = ("<|end|>", "<|call|>", "<|return|>")
_STARTS = ("<|start|>", "<|channel|>")
HARMONY_TAGS = (*_STARTS, "<|constrain|>", _MESSAGE, *_ENDS)
_HEADS = (*HARMONY_TAGS, "to=")
LONGEST_HEADER = 400
"""A model that writes more than this without `<|message|>` does not write harmony."""

_TOOL = re.compile(r"to=functions\.([^\s<]+)")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_UNSAFE = re.compile(r"\W")


class _Header(Struct, frozen=True):
    """Where a message goes; `text` is what the model wrote, `tool` the one that is called."""

    text: str = ""
    channel: str = "final"
    tool: str = ""


class HarmonyParser(HoldingParser):
    """Reads one answer in harmony. A model that does not write it has its text passed on.

    A header that no message follows is dropped.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        names = list(filter(None, schemas_of(setting.tools)))
        # The model may write a name as the identifier that TypeScript would make of it.
        self._names = {_UNSAFE.sub("_", name): name for name in names} | {n: n for n in names}
        begun = setting.prefilled or setting.prompt.endswith(_MESSAGE)
        self._header: _Header | None = _Header() if begun else None
        self._first = True

    def _run(self, *, last: bool) -> Iterator[Event]:
        while True:
            before = (len(self._held), self._header)
            if self._header is None:
                yield from self._read_header(last=last)
            else:
                yield from self._in_message(self._header, last=last)
            if before == (len(self._held), self._header):
                return

    def _read_header(self, *, last: bool) -> Iterator[Event]:
        end = self._held.find(_MESSAGE)
        if 0 <= end <= LONGEST_HEADER and self._may_be_header():
            text = self._take(end + len(_MESSAGE))
            channel, tool = _CHANNEL.search(text), _TOOL.search(text)
            self._header = _Header(
                text, channel.group(1) if channel else "final", tool.group(1) if tool else ""
            )
            self._first = False
        elif not self._may_be_header() or (last and self._first and not self._is_header()):
            self._header = _Header()
            if tag := next(filter(self._held.startswith, HARMONY_TAGS), ""):
                yield from self._say(self._header, self._take(len(tag)))
        elif last:
            self._take(len(self._held))

    def _is_header(self) -> bool:
        return self._held.lstrip().startswith(_HEADS)

    def _may_be_header(self) -> bool:
        """Whether a header may come; the first one is in the middle of one and so a tag is next."""
        head = self._held.lstrip()[:LONGEST_HEADER]
        if self._first and not any(head.startswith(tag) or tag.startswith(head) for tag in _HEADS):
            return False
        end = self._held.find(_MESSAGE)
        return (end if end >= 0 else len(self._held) - len(_MESSAGE)) <= LONGEST_HEADER

    def _in_message(self, header: _Header, *, last: bool) -> Iterator[Event]:
        """The message as far as it is certain; a call is told when it is whole."""
        tag = first_tag(self._held, (*_ENDS, *_STARTS))
        if tag is None:
            size = len(self._held) if last else len(self._held) - growing(self._held, HARMONY_TAGS)
            if last and header.tool:
                yield from self._call(header, self._take(size))
                self._header = None
            elif not header.tool:
                yield from self._say(header, self._take(size))
            return
        body = self._take(tag.start)
        yield from self._call(header, body) if header.tool else self._say(header, body)
        self._header = None
        if tag.text in _ENDS:
            self._take(len(tag.text))

    def _call(self, header: _Header, body: str) -> Iterator[Event]:
        try:
            arguments = read_arguments(body)
        except ValueError:
            yield from self._say(_Header(), header.text + body)
            return
        name = self._names.get(header.tool, header.tool)
        yield self._called(name, arguments)

    def _say(self, header: _Header, text: str) -> Iterator[Event]:
        if not text:
            return
        if header.channel == "analysis":
            yield ThinkingEvent(text)
            return
        yield self._text(text)
