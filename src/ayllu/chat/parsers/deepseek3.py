"""DeepSeek R1 to V3.1, and Cogito: calls between full-width tags, thinking up to `</think>`.

R1 and Cogito write `function<sep>NAME`, then the arguments in a fenced block of JSON; V3.1 writes
`NAME<sep>{...}`.
"""

# ruff: noqa: RUF001 - the tags have full-width bars

from __future__ import annotations

from ayllu.chat.parsers.qwen3 import THINK_TAGS
from ayllu.chat.parsers.scan import JSON_QUOTES
from ayllu.chat.parsers.tagged import CallTags, NamedCall, TaggedFormat
from ayllu.chat.parsers.values import Schemas, read_arguments

SEPARATOR = "<｜tool▁sep｜>"
_TAGS = ("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>")


def read_separated(body: str, _schemas: Schemas) -> list[NamedCall]:
    """The one call in a body. Raises ValueError."""
    before, found, after = body.partition(SEPARATOR)
    brace = after.find("{")
    if not found or brace < 0:
        raise ValueError("a name and arguments were expected")
    name = after[:brace].replace("```json", "").replace("```", "").strip() or before.strip()
    if not name:
        raise ValueError("a call has a name")
    return [(name, read_arguments(after[brace:].rstrip("`\n\r\t ")))]


DEEPSEEK3 = TaggedFormat(
    calls=(CallTags(*_TAGS, read_separated, JSON_QUOTES, (SEPARATOR,)),),
    thinking=THINK_TAGS,
    noise=("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),
)
