"""The fields of requests and answers, as trees: those of our structs, and those of real clients.

The members of a union count together. Where they are told apart by a `type`, its values are tags.
"""

from __future__ import annotations

import collections.abc
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct
from ollama import Image
from pydantic import BaseModel
from typing_extensions import is_typeddict

_MAPPINGS = (dict, collections.abc.Mapping)
_TEXTS = (Image,)
"""Models that are sent as a text."""


class Tree:
    """What a place in a request or an answer may hold."""

    def __init__(self, *kinds: Any) -> None:
        self.kinds = [member for kind in kinds for member in _members(kind)]
        self.records = [kind for kind in self.kinds if _is_record(kind)]

    @property
    def is_free(self) -> bool:
        """Whether any JSON, or an object with any names, may stand here."""
        return any(kind is Any or get_origin(kind) in _MAPPINGS for kind in self.kinds)

    @cached_property
    def tags(self) -> set[str]:
        """The values of `type` that tell the members apart."""
        return {tag for kind in self.records for tag in _tags(kind)}

    def fields(self, dead: set[str], tagged: bool) -> dict[str, Tree]:
        """The fields, but for those of members all of whose tags are dead.

        Where `type` is a tag, it is no field.
        """
        found: dict[str, list[Any]] = {}
        for kind in self.records:
            tags = _tags(kind)
            if not tags or tags - dead:
                for name, hint in _fields(kind).items():
                    found.setdefault(name, []).append(hint)
        if tagged:
            found.pop("type", None)
        return {name: Tree(*hints) for name, hints in found.items()}


def _members(kind: Any) -> Iterator[Any]:
    """The types that a value may be of, without what holds several of them."""
    origin = get_origin(kind)
    if origin is None and hasattr(kind, "__value__"):
        yield from _members(kind.__value__)
    elif origin is None or origin is Literal or origin in _MAPPINGS or _is_record(kind):
        yield kind
    else:
        for inner in get_args(kind):
            yield from _members(inner)


def _is_record(kind: Any) -> bool:
    base = get_origin(kind) or kind
    if base in _TEXTS:
        return False
    return is_typeddict(base) or (isinstance(base, type) and issubclass(base, Struct | BaseModel))


def _fields(kind: Any) -> dict[str, Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {
            field.alias or name.rstrip("_"): field.annotation
            for name, field in kind.model_fields.items()
        }
    base = get_origin(kind) or kind
    hints = get_type_hints(base)
    if is_typeddict(base):
        return hints
    filled = dict(zip(getattr(base, "__parameters__", ()), get_args(kind), strict=True))
    return {
        field.encode_name: _fill(hints[field.name], filled)
        for field in msgspec.structs.fields(base)
    }


def _fill(hint: Any, filled: Mapping[Any, Any]) -> Any:
    """A type with its variables filled in."""
    variables: Iterable[Any] = getattr(hint, "__parameters__", ())
    return hint[tuple(filled[variable] for variable in variables)] if filled and variables else hint


def _tags(kind: Any) -> set[str]:
    if isinstance(kind, type) and issubclass(kind, Struct) and kind.__struct_config__.tag:
        return {str(kind.__struct_config__.tag)}
    hints = Tree(_fields(kind).get("type", ())).kinds
    return {str(value) for hint in hints if get_origin(hint) is Literal for value in get_args(hint)}
