"""A parsed template: what it mentions, and running it.

`{{ .Response }}` is appended to a template that mentions neither Messages nor Response, so that
old-style templates need not end with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from types import MappingProxyType

from ayllu.template import nodes
from ayllu.template.parse import parse_trees
from ayllu.template.run import execute
from ayllu.template.values import Budget
from ayllu.types import Json

LONGEST_KEPT = 1 << 14
"""Characters of a template whose tree is kept: trees take a hundred bytes for each."""

_RESPONSE = "Response"


class Template:
    """An immutable parsed template; `source` is the text it was parsed from."""

    def __init__(self, source: str, trees: Mapping[str, nodes.Body]) -> None:
        self._source = source
        self._trees = trees

    @property
    def source(self) -> str:
        """The text as it was given, without an appended Response."""
        return self._source

    @property
    def root(self) -> nodes.Body:
        """The parse tree of the template itself, without those that it defines."""
        return self._trees[""]

    def execute(self, values: Mapping[str, Json], budget: Budget | None = None) -> str:
        """The text it makes of some values, within a budget. Raises TemplateError."""
        return execute(self._trees, values, budget or Budget())

    def variables(self) -> frozenset[str]:
        """All names of fields and variables it looks up, lower-cased; variables keep their `$`."""
        return self._variables

    @cached_property
    def _variables(self) -> frozenset[str]:
        everything = nodes.walk(*(node for body in self._trees.values() for node in body))
        return frozenset(name.lower() for node in everything for name in nodes.identifiers(node))

    @cached_property
    def before_answer(self) -> Template:
        """The template without what follows its first `.Response`: how an open turn is written.

        An action that prints the Response stays whole. What follows is dropped at every level, the
        `{{else}}` of a branch that the Response stands in included.
        """
        root, _ = _cut(self.root)
        return Template(self._source, MappingProxyType({**self._trees, "": root}))


def parse(text: str) -> Template:
    """Parse a template. Raises TemplateError with its line."""
    return _parse(text) if len(text) > LONGEST_KEPT else _kept(text)


def _parse(text: str) -> Template:
    template = Template(text, parse_trees(text))
    if template.variables() & {"messages", "response"}:
        return template
    return Template(text, MappingProxyType({**template._trees, "": _answered(template.root)}))  # noqa: SLF001 - our own class, still being built


_kept = lru_cache(maxsize=64)(_parse)


def _answered(body: nodes.Body) -> nodes.Body:
    line = body[-1].line if body else 1
    command = nodes.Command(line, (nodes.Field(line, (_RESPONSE,)),))
    return (*body, nodes.Action(line, nodes.Pipe(line, (command,))))


def _cut(body: nodes.Body) -> tuple[nodes.Body, bool]:
    """A body up to and with the first action that prints the Response, and whether there is one."""
    kept: list[nodes.Statement] = []
    for node in body:
        part, found = _cut_node(node)
        kept.append(part)
        if found:
            return tuple(kept), True
    return tuple(kept), False


def _cut_node(node: nodes.Statement) -> tuple[nodes.Statement, bool]:
    if not isinstance(node, nodes.If | nodes.With | nodes.Range):
        return node, isinstance(node, nodes.Action) and nodes.mentions(node, _RESPONSE)
    inner, found = _cut(node.body)
    orelse, found_in_else = ((), True) if found else _cut(node.orelse)
    return type(node)(node.line, node.pipe, inner, orelse), found_in_else
