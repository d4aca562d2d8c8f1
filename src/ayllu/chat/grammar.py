"""Refuses schemas and grammars on which llama.cpp hangs, eats memory or crashes. Pure.

Measured with the pinned engine: a repetition whose upper bound is below its lower one never ends,
an integer with such bounds is an error in the middle of the answer, and schemas that are nothing
but references to each other overflow the stack. Whatever else is wrong the engine says itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TypeGuard

from ayllu.errors import BadRequestError
from ayllu.types import Json

_BOUNDS = (
    ("minItems", "maxItems"),
    ("minLength", "maxLength"),
    ("minimum", "maximum"),
    ("exclusiveMinimum", "exclusiveMaximum"),
)
_REPETITION = re.compile(r"\{\s*(\d+)\s*,\s*(\d+)\s*\}")
_MAX_DIGITS = 20
_SAME_PLACE = ("allOf", "anyOf", "oneOf")


def check_grammar(text: str, what: str) -> None:
    """Raises BadRequestError for a repetition that ends before it begins."""
    for low, high in _REPETITION.findall(text):
        if max(len(low), len(high)) > _MAX_DIGITS or int(high) < int(low):
            raise BadRequestError(f"{what} repeats something from {low} to {high} times")


def check_schema(schema: Json, what: str) -> None:
    """Raises BadRequestError for bounds that exclude each other and for circular references."""
    _check_references(schema, what)
    for node in _nodes(schema):
        for low, high in _BOUNDS:
            least, most = node.get(low), node.get(high)
            if _is_number(least) and _is_number(most) and most < least:
                raise BadRequestError(f"{what} has a {high} of {most} below its {low} of {least}")
        if isinstance(pattern := node.get("pattern"), str):
            check_grammar(pattern, what)


def _nodes(value: Json) -> Iterator[Mapping[str, Json]]:
    """All objects in a JSON value."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, Mapping):
            yield item
            pending += item.values()
        elif isinstance(item, list | tuple):
            pending += item


def _check_references(schema: Json, what: str) -> None:
    """A reference must not lead back to itself with nothing of the text read meanwhile."""
    references = {node["$ref"] for node in _nodes(schema) if isinstance(node.get("$ref"), str)}
    graph = {name: set(_references_at(_resolve(schema, name))) for name in references}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise BadRequestError(f"{what} has the circular reference {circle}") from error


def _references_at(node: Json) -> Iterator[str]:
    """The references that stand for the very place of a node."""
    pending = [node]
    while pending:
        item = pending.pop()
        if not isinstance(item, Mapping):
            continue
        if isinstance(item.get("$ref"), str):
            yield item["$ref"]
        for key in _SAME_PLACE:
            pending += item[key] if isinstance(item.get(key), list) else ()


def _resolve(schema: Json, reference: str) -> Json:
    """What a reference within the same document names."""
    for part in reference.removeprefix("#").strip("/").split("/"):
        if not isinstance(schema, Mapping):
            return None
        schema = schema.get(part)
    return schema


def _is_number(value: Json) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
