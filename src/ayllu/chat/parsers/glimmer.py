"""Muse Glimmer: messages with headers, each sent to the user, to the model itself, or to a tool.

` to=self<|message|>...<|eom|><|start|>assistant to=user<|message|>...<|eot|>`, and for a call
` to=NAME<|message|>` with a block of XML-like elements, whose values the tools' schemas type:
`<atem:function_calls><atem:invoke name="NAME"><atem:parameter name="KEY">VALUE</atem:parameter>
</atem:invoke></atem:function_calls>`. White space in values counts. The prompt ends in
`<|start|>assistant`, so an answer begins within a header.

What is sent to the model itself is its thinking. A message that is such a block is a call, whoever
it is sent to, for models get the recipient wrong; one that holds anything else is text.
"""

from __future__ import annotations

import re

from ayllu.chat.parsers.headed import MESSAGE, HeadedParser, Header
from ayllu.chat.parsers.holding import MAX_FAILURES
from ayllu.chat.parsers.parser import Setting
from ayllu.chat.parsers.scan import BodyScan, Quote
from ayllu.chat.parsers.tagged import NamedCall
from ayllu.chat.parsers.values import Arguments, schemas_of, typed

_OPEN, _CLOSE = "<atem:function_calls>", "</atem:function_calls>"
_VALUE = Quote("<atem:parameter", "</atem:parameter>")
_RECIPIENT = re.compile(r"to=([^\s<]+)")
_INVOKE = re.compile(r'\s*+<atem:invoke name="([^"\n]++)">')
_PARAMETER = re.compile(r'\s*+<atem:parameter name="([^"\n]++)">(.*?)</atem:parameter>', re.DOTALL)
_END = re.compile(r"\s*+</atem:invoke>")


class GlimmerParser(HeadedParser):
    """Reads one answer of Glimmer's. Calls are looked for where tools were offered."""

    starts = ("<|start|>",)
    ends = ("<|eom|>", "<|eot|>")
    words = ("to=",)

    def __init__(self, setting: Setting, *, thinks: bool) -> None:
        super().__init__(setting, (*self.starts, MESSAGE, *self.ends), thinks=thinks)
        self._schemas = schemas_of(setting.tools)
        self._calls = any(self._schemas)
        self._failures = 0
        self._start_message()

    def _start_message(self) -> None:
        self._is_block: bool | None = None if self._calls else False
        self._block_end = 0
        self._scan = BodyScan(_CLOSE, (_VALUE,))

    def _read_header(self, text: str) -> Header:
        recipient = _RECIPIENT.search(text)
        return Header(thinking=recipient is not None and recipient.group(1) == "self")

    def _is_call(self, header: Header, *, last: bool) -> bool | None:
        if header.thinking:
            return False
        if self._is_block is None:
            head = self._held.lstrip()
            if head.startswith(_OPEN):
                self._is_block = True
            elif last or not _OPEN.startswith(head):
                self._is_block = False
        return self._is_block

    def _may_end_from(self, *, last: bool) -> int | None:
        """Behind the block, for its values may hold what looks like an end."""
        if not self._block_end and (found := self._scan.end(self._held)):
            self._block_end = found[1]
        if self._block_end or not last:
            return max(self._block_end, self._looked) or None
        self._failures += 1
        self._calls = self._failures < MAX_FAILURES
        return 0

    def _read_calls(self, header: Header, body: str) -> list[NamedCall]:  # noqa: ARG002 - it may be wrong
        block = body.strip().removeprefix(_OPEN).removesuffix(_CLOSE)
        calls: list[NamedCall] = []
        place = 0
        while invoke := _INVOKE.match(block, place):
            name, place = self._tool_name(invoke.group(1)), invoke.end()
            arguments: Arguments = {}
            while parameter := _PARAMETER.match(block, place):
                key, place = parameter.group(1), parameter.end()
                schema = self._schemas.get(name, {}).get(key)
                arguments[key] = typed(parameter.group(2), schema)
            end = _END.match(block, place)
            if end is None:
                raise ValueError("</atem:invoke> was expected")
            place = end.end()
            calls.append((name, arguments))
        if not calls or block[place:].strip():
            raise ValueError("<atem:invoke> was expected")
        return calls

    def _tool_name(self, written: str) -> str:
        """The tool that is meant: `read` may be called `read.read`, by a namespace of its own."""
        name = written.replace(MESSAGE, "")
        space, _, inner = name.partition(".")
        own = name not in self._schemas and inner in self._schemas
        return inner if own and inner.partition(".")[0] == space else name
