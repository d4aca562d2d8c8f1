"""A model's two templates, Go's and Jinja's: what each of them can do, and which one is used. Pure.

The engine runs Jinja and then parses thinking and tool calls too, so it is used where it can do
more. Source: the rule is Ollama's.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ayllu.errors import TemplateError
from ayllu.gguf import arch
from ayllu.models.named_templates import is_named
from ayllu.template import nodes, parse, thinking_tags

_TOOL_ROLE = re.compile(r"""(['"])tool\1""")


def go_template_capabilities(text: str) -> frozenset[str]:
    """What a Go template can do; nothing for one that does not parse, which chats will refuse."""
    try:
        template = parse(text)
    except TemplateError:
        return frozenset()
    variables = template.variables()
    found = {"tools"} & variables
    if "suffix" in variables:
        found.add("insert")
    if thinking_tags(template):
        found.add("thinking")
    return frozenset(found)


@lru_cache(maxsize=64)
def prefers_jinja(text: str, jinja: str, *, fills: bool) -> bool:
    """Whether a GGUF's own Jinja template is used in place of a Go template.

    It is where it can do strictly more, and can show earlier tool calls and their results if the Go
    template can; or just as much, tools included, and only it can show them. One of the package's
    own templates always gives way: it was found by that Jinja. `fills` says that the vocabulary has
    tokens to fill in with, which takes no template.
    """
    if is_named(text):
        return True
    go = go_template_capabilities(text)
    can = arch.template_capabilities(jinja) | ({"insert"} if fills else frozenset())
    shows, go_shows = _jinja_shows_calls(jinja), _go_shows_calls(text)
    if can == go:
        return "tools" in go and shows and not go_shows
    return can > go and (shows or not go_shows)


def _jinja_shows_calls(jinja: str) -> bool:
    return "tool_calls" in jinja and _TOOL_ROLE.search(jinja) is not None


def _go_shows_calls(text: str) -> bool:
    """Whether a Go template that parses has earlier calls, and results by their role."""
    if "tools" not in go_template_capabilities(text):
        return False
    template = parse(text)
    constants = (n.value for n in nodes.walk(*template.root) if isinstance(n, nodes.Constant))
    return "toolcalls" in template.variables() and "tool" in constants
