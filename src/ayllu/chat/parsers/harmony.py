"""gpt-oss's harmony: messages with headers, each sent to a channel and perhaps to a tool.

`<|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final<|message|>...`, and for
a call ` to=functions.NAME<|channel|>commentary <|constrain|>json<|message|>{...}<|call|>`, with the
recipient before or after the channel. The prompt ends in `<|start|>assistant`, so an answer begins
within a header. Source: github.com/openai/harmony, docs/format.md.
"""

from __future__ import annotations

import re

from ayllu.chat.parsers.headed import MESSAGE, HeadedParser, Header
from ayllu.chat.parsers.parser import Setting
from ayllu.chat.parsers.tagged import NamedCall
from ayllu.chat.parsers.values import read_arguments, schemas_of

_TOOL = re.compile(r"to=functions\.([^\s<]+)")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_UNSAFE = re.compile(r"\W")


class HarmonyParser(HeadedParser):
    """Reads one answer in harmony."""

    starts = ("<|start|>", "<|channel|>")
    ends = ("<|end|>", "<|call|>", "<|return|>")
    words = ("to=",)

    def __init__(self, setting: Setting, *, thinks: bool) -> None:
        tags = (*self.starts, "<|constrain|>", MESSAGE, *self.ends)
        super().__init__(setting, tags, thinks=thinks)
        names = list(filter(None, schemas_of(setting.tools)))
        # The model may write a name as the identifier that TypeScript would make of it.
        self._names = {_UNSAFE.sub("_", name): name for name in names} | {n: n for n in names}

    def _read_header(self, text: str) -> Header:
        channel, tool = _CHANNEL.search(text), _TOOL.search(text)
        return Header(
            text,
            thinking=channel is not None and channel.group(1) == "analysis",
            tool=tool.group(1) if tool else "",
        )

    def _read_calls(self, header: Header, body: str) -> list[NamedCall]:
        return [(self._names.get(header.tool, header.tool), read_arguments(body))]
