"""Olmo 3 and LFM2: calls as Python writes them, `name(key="value", other=[1, None])`.

Olmo 3 puts one on each line between `<function_calls>` tags, LFM2 a list of them between its own
tags, or bare; both also write null, true and false. LFM2 writes JSON where it is told to.
"""

from __future__ import annotations

import re

from ayllu.chat.parsers.json_calls import read_json_calls
from ayllu.chat.parsers.qwen3 import THINK_TAGS
from ayllu.chat.parsers.scan import PYTHON_QUOTES
from ayllu.chat.parsers.tagged import CallTags, NamedCall, TaggedFormat
from ayllu.chat.parsers.values import Reader, Schemas

_NAME = re.compile(r"[^\W\d][\w.\-]*")


def read_python_calls(body: str, schemas: Schemas) -> list[NamedCall]:
    """The calls in a body. Raises ValueError."""
    if re.match(r"\s*(\[\s*)?\{", body):
        return read_json_calls(body, schemas)
    reader = Reader(body)
    calls: list[NamedCall] = []
    listed = reader.take("[")
    while not calls or not reader.at_end():
        name = reader.match(_NAME)
        if not name or not reader.take("("):
            raise ValueError("name(...) was expected")
        calls.append((name, reader.pairs(")", "=")))
        reader.take(",", ";")
        if listed and reader.take("]"):
            break
    if not reader.at_end():
        raise ValueError("another call was expected")
    return calls


def _bare(name: str) -> CallTags:
    """A list of calls without tags, which begins with the name of a tool."""
    return CallTags(f"[{name}(", ")]", read_python_calls, PYTHON_QUOTES, first=True, whole=True)


OLMO3 = TaggedFormat(
    calls=(CallTags("<function_calls>", "</function_calls>", read_python_calls, PYTHON_QUOTES),)
)
OLMO3_THINK = TaggedFormat(thinking=THINK_TAGS, starts_inside=True)
LFM2 = TaggedFormat(
    calls=(CallTags("<|tool_call_start|>", "<|tool_call_end|>", read_python_calls, PYTHON_QUOTES),),
    more=_bare,
)
LFM2_THINKING = TaggedFormat(calls=LFM2.calls, thinking=THINK_TAGS, more=LFM2.more)
