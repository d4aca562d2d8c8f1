"""FunctionGemma and Gemma 4: `call:NAME{key:value}` with strings between marks of their own.

A string that lacks its marks, and one in usual quotation marks, are read as well; a last bracket
that the model forgot is made up for.
Source: ai.google.dev/gemma/docs/functiongemma/formatting-and-best-practices.
"""

from __future__ import annotations

import re
from functools import partial

from ayllu.chat.parsers.scan import Quote
from ayllu.chat.parsers.tagged import CallTags, NamedCall, TaggedFormat
from ayllu.chat.parsers.values import Reader, Schemas

_NAME = re.compile(r"[^\s{}:,]+")


def read_marked(body: str, _schemas: Schemas, *, mark: str) -> list[NamedCall]:
    """The calls in a body. Raises ValueError."""
    reader = Reader(body, mark=mark, bare=True)
    calls: list[NamedCall] = []
    while not calls or not reader.at_end():
        reader.take("call:")
        name = reader.match(_NAME)
        if not name or not reader.take("{"):
            raise ValueError("call:NAME{...} was expected")
        calls.append((name, reader.pairs("}", ":")))
    return calls


def _tags(opening: str, closing: str, mark: str) -> CallTags:
    read = partial(read_marked, mark=mark)
    return CallTags(opening, closing, read, (Quote(mark, mark),), mend="}")


FUNCTIONGEMMA = TaggedFormat(
    calls=(_tags("<start_function_call>", "<end_function_call>", "<escape>"),),
    noise=("<start_function_response>",),
)
GEMMA4 = TaggedFormat(
    calls=(_tags("<|tool_call>", "<tool_call|>", '<|"|>'),),
    thinking=("<|channel>thought", "<channel|>"),
    anywhere=True,
    noise=("<|tool_response>",),
)
