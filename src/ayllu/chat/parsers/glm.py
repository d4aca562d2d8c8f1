"""GLM 4.6 and 4.7, and Laguna, which shares the form: arguments as pairs of XML elements.

`<tool_call>NAME<arg_key>KEY</arg_key><arg_value>VALUE</arg_value></tool_call>`: strings stand as
they are, other values as JSON. A closing tag that the model forgot is made up for.
"""

from __future__ import annotations

import re

from ayllu.chat.parsers.json_calls import read_json_calls
from ayllu.chat.parsers.qwen3 import THINK_TAGS
from ayllu.chat.parsers.scan import Quote
from ayllu.chat.parsers.tagged import CallTags, NamedCall, TaggedFormat
from ayllu.chat.parsers.values import Schemas, typed

_NAME = re.compile(r"\s*([^\s<>{}]+)\s*")
_PAIR = re.compile(
    r"\s*<arg_key>(.*?)(?:</arg_key>\s*|(?=<arg_value>))"
    r"<arg_value>(?:((?:(?!<arg_key>).)*?)</arg_value>\s*|(.*?)(?=<arg_key>|</tool_call>|\Z))",
    re.DOTALL,
)


def read_pairs(body: str, schemas: Schemas) -> list[NamedCall]:
    """The one call in a body. Raises ValueError."""
    if body.lstrip().startswith("{"):
        return read_json_calls(body, schemas)
    start = _NAME.match(body)
    if start is None:
        raise ValueError("a tool's name was expected")
    name, place, arguments = start.group(1), start.end(), {}
    while pair := _PAIR.match(body, place):
        key, value, place = pair.group(1).strip(), pair.group(2) or pair.group(3) or "", pair.end()
        arguments[key] = typed(value, schemas.get(name, {}).get(key), guess=True)
    if body[place:].strip():
        raise ValueError("a pair of key and value was expected")
    return [(name, arguments)]


GLM = TaggedFormat(
    calls=(
        CallTags(
            "<tool_call>", "</tool_call>", read_pairs, (Quote("<arg_value>", "</arg_value>"),)
        ),
    ),
    thinking=THINK_TAGS,
)
