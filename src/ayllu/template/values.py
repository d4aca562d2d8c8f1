"""What a template computes with: Go's kinds as Python values, and the budget that bounds a run.

Go             Python
-----------    -----------------------------------------------------------
nil in a map   None
no value       NOTHING: what a pipeline that ends in nil hands on
bool int64     bool int
uint8          Byte, out of indexing a string
float64        float
string         str; bytes that are not UTF-8 are surrogate escapes
[]any map      list dict
struct         Record
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

Value = Any
"""A value of the table above."""

MAX_STEPS = 150_000
"""Nodes, arguments and turns of loops that one run may take: some tenths of a second."""

STEPS_EACH = 200
"""Steps more for each message or tool, so that a long conversation has what it needs."""

MOST_STEPS = 300_000
"""More than this no run may take, however long the conversation is."""

MAX_TEXT = 8 * 2**20
"""Characters that one run may print and compute, those of non-ASCII text counting twice."""


class Fault(Exception):  # noqa: N818 - never leaves this room; run.py makes it a TemplateError
    """Why a template cannot go on; whoever knows the line adds it."""


class Nothing:
    """The type of NOTHING."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = Nothing()


class Byte(int):
    """A uint8, which prints as a number but is a kind of its own in `printf "%T"`."""

    __slots__ = ()


class Record:
    """A Go struct: only its fields can be looked up, and it is always true.

    `wire` holds its JSON names in the order that Go's encoding/json would write them.
    """

    __slots__ = ("fields", "kind", "wire")

    def __init__(
        self, kind: str, fields: Mapping[str, Value], wire: Mapping[str, Value] | None = None
    ) -> None:
        self.kind = kind
        self.fields = fields
        self.wire = fields if wire is None else wire


class Printed:
    """Mixed into a value that prints as `text()`, as a Go value with a String method does."""

    __slots__ = ()

    def text(self) -> str:
        """What printing it gives."""
        raise NotImplementedError


class Budget:
    """What may still be spent on a prompt of so many `items`; raises Fault when it is spent."""

    __slots__ = ("steps", "text")

    def __init__(self, items: int = 0) -> None:
        self.steps = min(MAX_STEPS + STEPS_EACH * items, MOST_STEPS)
        self.text = MAX_TEXT

    def step(self, count: int = 1) -> None:
        """Pay for work that takes time."""
        self.steps -= count
        if self.steps < 0:
            raise Fault("the template takes too many steps")

    def room(self, size: int) -> None:
        """Pay for `size` characters."""
        self.text -= size
        if self.text < 0:
            raise Fault("the template makes too much text")

    def pay(self, text: str) -> str:
        """Pay for a text, and hand it on."""
        self.room(len(text) if text.isascii() else 2 * len(text))
        return text

    def pay_built(self, text: str) -> str:
        """Pay for a text that was put together of many small ones, which takes longer."""
        self.step(len(text) // 5)
        return self.pay(text)


SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_A_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def to_bytes(text: str) -> bytes:
    """The UTF-8 bytes that Go would hold for a string."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return _NOT_A_BYTE.sub(_REPLACEMENT, text).encode("utf-8", "surrogateescape")


def from_bytes(data: bytes) -> str:
    """The string of some bytes, valid UTF-8 or not."""
    return data.decode("utf-8", "surrogateescape")


def rejoin(text: str) -> str:
    """Make characters of those whose bytes were cut apart and put together again."""
    if text.isascii() or not SURROGATE.search(text):
        return text
    return from_bytes(to_bytes(text))


def clean(text: str) -> str:
    """A text that can be encoded: what is not UTF-8 becomes U+FFFD, one for each byte."""
    if text.isascii() or not SURROGATE.search(text):
        return text
    return SURROGATE.sub(_REPLACEMENT, rejoin(text))


def is_true(value: Value) -> bool:
    """Go's truth: zero, empty and nil are false, a struct is true."""
    return True if isinstance(value, Record) else bool(value)


_TYPE_NAMES: dict[type, str] = {
    bool: "bool",
    int: "int",
    Byte: "uint8",
    float: "float64",
    str: "string",
    type(None): "interface {}",
    Nothing: "interface {}",
}


def type_name(value: Value) -> str:
    """A value's type as Go's messages name it."""
    name = _TYPE_NAMES.get(type(value))
    if name is not None:
        return name
    if isinstance(value, Record):
        return value.kind
    return "map[string]interface {}" if isinstance(value, dict) else "[]interface {}"
