r"""Qwen3-Coder, Qwen3.5 and Nemotron 3: calls in XML whose values the tools' schemas type.

`<tool_call><function=NAME><parameter=KEY>\nVALUE\n</parameter></function></tool_call>`; the outer
tags are sometimes left out. Qwen3.5 and Nemotron think in `<think>` first.
"""

from __future__ import annotations

import re
from functools import partial

from ayllu.chat.parsers.json_calls import read_json_calls
from ayllu.chat.parsers.qwen3 import THINK_TAGS
from ayllu.chat.parsers.scan import Quote
from ayllu.chat.parsers.tagged import CallTags, NamedCall, TaggedFormat
from ayllu.chat.parsers.values import Arguments, Schemas, typed

# Possessive, so that a name without its bracket costs no second look.
_FUNCTION = re.compile(r"\s*+<function=\s*+([^<>\n]++)\s*+>")
_PARAMETER = re.compile(
    r"\s*+<parameter=\s*+([^<>\n]++)\s*+>"
    r"(?:((?:(?!<parameter=).)*?)</parameter>|(.*?)(?=<parameter=|</function>|</tool_call>|\Z))",
    re.DOTALL,
)
_END = re.compile(r"\s*(?:</function>)?")
_VALUES = (Quote("<parameter=", "</parameter>"),)


def read_xml_calls(body: str, schemas: Schemas) -> list[NamedCall]:
    """The functions in a body. Raises ValueError."""
    if body.lstrip().startswith("{"):
        return read_json_calls(body, schemas)
    calls: list[NamedCall] = []
    place = 0
    while function := _FUNCTION.match(body, place):
        name, place = function.group(1).rstrip(), function.end()
        arguments: Arguments = {}
        while parameter := _PARAMETER.match(body, place):
            key, place = parameter.group(1).rstrip(), parameter.end()
            value = parameter.group(2) or parameter.group(3) or ""
            value = value.removeprefix("\n").removesuffix("\n")
            arguments[key] = typed(value, schemas.get(name, {}).get(key))
        end = _END.match(body, place)
        place = end.end() if end else place
        calls.append((name, arguments))
    if not calls or body[place:].strip():
        raise ValueError("<function=...> was expected")
    return calls


_TAGS = partial(CallTags, read=read_xml_calls, quotes=_VALUES)
QWEN3_CODER = TaggedFormat(
    calls=(
        _TAGS("<tool_call>", "</tool_call>", begin="<{"),
        _TAGS("<function=", "</function>", whole=True, stray="</tool_call>"),
    ),
)
QWEN35 = TaggedFormat(calls=QWEN3_CODER.calls, thinking=THINK_TAGS)
