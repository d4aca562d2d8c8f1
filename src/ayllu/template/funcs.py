"""The functions that templates call: Go's own and the four of the model library.

Each takes the run's budget and its arguments, already counted, and raises Fault. See
https://pkg.go.dev/text/template#hdr-Functions. `and` and `or` are evaluated in run.py, because
they leave arguments unevaluated.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from ayllu.template import encode
from ayllu.template.format import show, sprint, sprintf, sprintln
from ayllu.template.values import (
    Budget,
    Byte,
    Fault,
    Record,
    Value,
    from_bytes,
    is_true,
    rejoin,
    to_bytes,
    type_name,
)

Arguments = list[Value]

_ORDERED = ("int", "float", "string")


class Signature(NamedTuple):
    """A function with the number of arguments it takes; `most` is None where there is no end.

    Its first `strings` arguments must be strings, None meaning all.
    """

    run: Callable[[Budget, Arguments], Value]
    least: int
    most: int | None = None
    strings: int | None = 0


# Comparing


def _kind(value: Value) -> str:
    """The kind that Go compares by; "" for what has no order, None's included."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float"
    return "string" if isinstance(value, str) else ""


def _pay_to_compare(budget: Budget, *values: Value) -> None:
    for value in values:
        if isinstance(value, str):
            budget.step(len(value) // 2048)


def _equal(one: Value, other: Value) -> bool:
    if one is None or other is None or isinstance(one, Record):
        return one is other
    if isinstance(one, list | dict):
        raise Fault(f"uncomparable type {type_name(one)}")
    if _kind(one) != _kind(other):
        raise Fault("incompatible types for comparison")
    return bool(one == other)


def _eq(budget: Budget, values: Arguments) -> bool:
    first, *others = values
    if not others:
        raise Fault("missing argument for comparison")
    for other in others:
        _pay_to_compare(budget, first, other)
        if _equal(first, other):
            return True
    return False


def _ne(budget: Budget, values: Arguments) -> bool:
    return not _eq(budget, values)


def _less(budget: Budget, one: Value, other: Value) -> bool:
    kind = _kind(one)
    if not kind or not _kind(other):
        raise Fault("invalid type for comparison")
    if kind != _kind(other):
        raise Fault("incompatible types for comparison")
    if kind not in _ORDERED:
        raise Fault("invalid type for comparison")
    if kind == "string":
        _pay_to_compare(budget, one, other)
        return _raw(budget, one) < _raw(budget, other)
    return bool(one < other)


def _lt(budget: Budget, values: Arguments) -> bool:
    return _less(budget, values[0], values[1])


def _le(budget: Budget, values: Arguments) -> bool:
    return _lt(budget, values) or _eq(budget, values)


def _gt(budget: Budget, values: Arguments) -> bool:
    return not _le(budget, values)


def _ge(budget: Budget, values: Arguments) -> bool:
    return not _lt(budget, values)


def _not(_budget: Budget, values: Arguments) -> bool:
    return not is_true(values[0])


# Looking inside


def _raw(budget: Budget, text: str) -> bytes:
    budget.step(len(text) // 1024)
    return to_bytes(text)


def _len(budget: Budget, values: Arguments) -> int:
    item = values[0]
    if isinstance(item, str):
        return len(item) if item.isascii() else len(_raw(budget, item))
    if isinstance(item, list | dict):
        return len(item)
    raise Fault("len of nil pointer" if item is None else f"len of type {type_name(item)}")


def _position(value: Value, most: int) -> int:
    if value is None:
        raise Fault("cannot index slice/array with nil")
    if _kind(value) != "int":
        raise Fault(f"cannot index slice/array with type {type_name(value)}")
    if not 0 <= value <= most:
        raise Fault(f"index out of range: {int(value)}")
    return int(value)


def _index_one(budget: Budget, item: Value, key: Value) -> Value:
    if item is None:
        raise Fault("index of nil pointer")
    if isinstance(item, dict):
        if not isinstance(key, str):
            raise Fault(f"value has type {type_name(key)}; should be string")
        return item.get(key)
    if isinstance(item, list):
        return item[_position(key, len(item) - 1)]
    if isinstance(item, str):
        data = _raw(budget, item)
        return Byte(data[_position(key, len(data) - 1)])
    raise Fault(f"can't index item of type {type_name(item)}")


def _index(budget: Budget, values: Arguments) -> Value:
    item = values[0]
    if item is None:
        raise Fault("index of untyped nil")
    for key in values[1:]:
        item = _index_one(budget, item, key)
    return item


def _slice(budget: Budget, values: Arguments) -> Value:
    item, bounds = values[0], values[1:]
    if item is None:
        raise Fault("slice of untyped nil")
    if not isinstance(item, str | list):
        raise Fault(f"can't slice item of type {type_name(item)}")
    if isinstance(item, str) and len(bounds) == 3:
        raise Fault("cannot 3-index slice a string")
    data = _raw(budget, item) if isinstance(item, str) else item
    marks = [_position(bound, len(data)) for bound in bounds]
    start, end = (*marks[:2], *(0, len(data))[len(marks[:2]) :])
    if sorted(marks) != marks:
        raise Fault(f"invalid slice index: {start} > {end}")
    budget.step((end - start) // 256)
    part = data[start:end]
    return from_bytes(part) if isinstance(part, bytes) else part


# Writing


def _pay_printed(budget: Budget, values: Arguments, text: str) -> str:
    is_plain = all(isinstance(value, str) for value in values)
    return rejoin(budget.pay(text) if is_plain else budget.pay_built(text))


def _print(budget: Budget, values: Arguments) -> str:
    return _pay_printed(budget, values, sprint(values))


def _println(budget: Budget, values: Arguments) -> str:
    return _pay_printed(budget, values, sprintln(values))


def _printf(budget: Budget, values: Arguments) -> str:
    return rejoin(sprintf(budget, values[0], values[1:]))


def _escaper(escape: Callable[[str], str]) -> Callable[[Budget, Arguments], str]:
    """A function that prints its arguments and escapes the text; nil is `<no value>` here."""

    def run(budget: Budget, values: Arguments) -> str:
        text = sprint(["<no value>" if value is None else value for value in values])
        return budget.pay_built(escape(budget.pay(text)))

    return run


def _json(budget: Budget, values: Arguments) -> str:
    value = values[0]
    if isinstance(value, str):
        return budget.pay(encode.to_json(budget.pay(value)))
    try:
        return budget.pay_built(encode.to_json(value))
    except encode.NotJSONError:
        return ""


# The model library's own


def _today(days_ago: int) -> Callable[[Budget, Arguments], str]:
    """The local date as YYYY-MM-DD, whatever format is asked for."""

    def run(_budget: Budget, _values: Arguments) -> str:
        return f"{datetime.now().astimezone() - timedelta(days=days_ago):%Y-%m-%d}"

    return run


_TYPESCRIPT = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "array": "any[]",
    "object": "Record<string, any>",
    "null": "null",
}


def _typescript(budget: Budget, value: Value) -> str:
    if not isinstance(value, Record) or value.kind != "api.ToolProperty":
        return "any"
    options, types = value.fields["AnyOf"], value.fields["Type"]
    budget.step(len(options) + len(types))
    if options:
        return " | ".join(_typescript(budget, option) for option in options)
    return " | ".join(_TYPESCRIPT.get(show(t), "any") for t in types) or "any"


def _to_typescript(budget: Budget, values: Arguments) -> str:
    return budget.pay(_typescript(budget, values[0]))


def _call(_budget: Budget, values: Arguments) -> Value:
    raise Fault(f"call of a value of type {type_name(values[0])}, which is no function")


def _lazy(_budget: Budget, values: Arguments) -> Value:
    return values[-1]


FUNCTIONS: dict[str, Signature] = {
    "and": Signature(_lazy, 1),
    "or": Signature(_lazy, 1),
    "not": Signature(_not, 1, 1),
    "eq": Signature(_eq, 1),
    "ne": Signature(_ne, 2, 2),
    "lt": Signature(_lt, 2, 2),
    "le": Signature(_le, 2, 2),
    "gt": Signature(_gt, 2, 2),
    "ge": Signature(_ge, 2, 2),
    "len": Signature(_len, 1, 1),
    "index": Signature(_index, 1),
    "slice": Signature(_slice, 1, 4),
    "print": Signature(_print, 0),
    "printf": Signature(_printf, 1, strings=1),
    "println": Signature(_println, 0),
    "html": Signature(_escaper(encode.escape_html), 0),
    "js": Signature(_escaper(encode.escape_js), 0),
    "urlquery": Signature(_escaper(encode.escape_query), 0),
    "call": Signature(_call, 1),
    "json": Signature(_json, 1, 1),
    "currentDate": Signature(_today(0), 0, strings=None),
    "yesterdayDate": Signature(_today(1), 0, strings=None),
    "toTypeScriptType": Signature(_to_typescript, 1, 1),
}
"""All functions by name."""
