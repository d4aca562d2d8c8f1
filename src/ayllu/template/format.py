"""Go's fmt: how values print, and `printf`.

Covers the flags, widths, precisions and verbs of https://pkg.go.dev/fmt#hdr-Printing for the kinds
that templates have, but not `%#v`, `%p`, hexadecimal floats and explicit argument indexes, which
end in a Fault.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ayllu.template.encode import quote, shortest
from ayllu.template.values import (
    Budget,
    Byte,
    Fault,
    Printed,
    Record,
    Value,
    clean,
    to_bytes,
    type_name,
)

NIL = "<nil>"
MAX_WIDTH = 1_000_000
"""Where Go stops believing a width or a precision."""

_DIRECTIVE = re.compile(r"%([-+# 0]*)(\*|\d+)?(?:\.(\*|\d*))?(.?)", re.DOTALL)


def show(value: Value) -> str:
    """A value as `print` and `%v` write it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return shortest(value, "g")
    if isinstance(value, Printed):
        return value.text()
    return _show_nested(value, show)


def _show_nested(value: Value, each: Callable[[Value], str]) -> str:
    if isinstance(value, dict):
        pairs = (f"{each(key)}:{each(item)}" for key, item in sorted(value.items()))
        return f"map[{' '.join(pairs)}]"
    if isinstance(value, list):
        return f"[{' '.join(map(each, value))}]"
    if isinstance(value, Record):
        return f"{{{' '.join(map(each, value.fields.values()))}}}"
    return NIL


def sprint(values: Sequence[Value]) -> str:
    """`print`: a space stands between two values where neither is a string."""
    parts: list[str] = []
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            parts.append(" ")
        parts.append(show(value))
    return "".join(parts)


def sprintln(values: Sequence[Value]) -> str:
    """`println`: a space between all values and a newline at the end."""
    return " ".join(map(show, values)) + "\n"


def sprintf(budget: Budget, form: str, values: Sequence[Value]) -> str:
    """`printf`; what it writes is paid for as it grows. Raises Fault."""
    arguments = _Arguments(values)
    parts: list[str] = []
    at = 0
    for found in _DIRECTIVE.finditer(form):
        budget.step()
        parts.append(form[at : found.start()])
        parts.append(budget.pay(_directive(budget, found, arguments)))
        at = found.end()
    parts.append(form[at:])
    parts.append(budget.pay(arguments.extra()))
    budget.room(len(form))
    return "".join(parts)


class _Arguments:
    """The values of a printf, taken one by one."""

    def __init__(self, values: Sequence[Value]) -> None:
        self.values = values
        self.at = 0

    def left(self) -> bool:
        return self.at < len(self.values)

    def take(self) -> Value:
        self.at += 1
        return self.values[self.at - 1]

    def number(self) -> int | None:
        """A width or a precision for `*`; None where it is none."""
        value = self.take() if self.left() else None
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) > MAX_WIDTH:
            return None
        return int(value)

    def extra(self) -> str:
        rest = self.values[self.at :]
        if not rest:
            return ""
        shown = (NIL if v is None else f"{type_name(v)}={show(v)}" for v in rest)
        return f"%!(EXTRA {', '.join(shown)})"


@dataclass(slots=True)
class _Spec:
    """A directive's flags and numbers; None where a number is not given."""

    budget: Budget
    flags: str
    width: int | None = None
    precision: int | None = None
    errors: str = ""

    def without(self, flag: str) -> _Spec:
        """The same, but for a flag and the precision."""
        return _Spec(self.budget, self.flags.replace(flag, ""), self.width)

    def pad(self, text: str) -> str:
        missing = (self.width or 0) - len(text)
        if missing <= 0:
            return text
        if "-" in self.flags:
            return text + " " * missing
        return ("0" if self.zero else " ") * missing + text

    @property
    def zero(self) -> bool:
        return "0" in self.flags and "-" not in self.flags

    def sign(self) -> str:
        """What stands before a number that is not negative."""
        return "+" if "+" in self.flags else " " if " " in self.flags else ""


def _directive(budget: Budget, found: re.Match[str], arguments: _Arguments) -> str:
    spec = _read_spec(budget, found, arguments)
    verb = found[4]
    if not verb:
        return f"{spec.errors}%!(NOVERB)"
    if verb == "[":
        raise Fault("printf with argument indexes is not supported")
    if verb == "%":
        return f"{spec.errors}%"
    if not arguments.left():
        return f"{spec.errors}%!{verb}(MISSING)"
    return spec.errors + _format(spec, verb, arguments.take())


def _read_spec(budget: Budget, found: re.Match[str], arguments: _Arguments) -> _Spec:
    spec = _Spec(budget, found[1])
    if found[2]:
        spec.width = arguments.number() if found[2] == "*" else _believable(found[2])
        if spec.width is None:
            spec.errors = "%!(BADWIDTH)"
        elif spec.width < 0:
            spec.flags += "-"
            spec.width = -spec.width
    if found[3] is not None:
        spec.precision = arguments.number() if found[3] == "*" else _believable(found[3] or "0")
        if spec.precision is None and found[3] == "*":
            spec.errors += "%!(BADPREC)"
        elif spec.precision is not None and spec.precision < 0:
            spec.precision = None
            spec.errors += "%!(BADPREC)"
    return spec


def _believable(digits: str) -> int:
    if len(digits) > 7 or int(digits) > MAX_WIDTH:
        raise Fault(f"printf with a width or precision over {MAX_WIDTH}")
    return int(digits)


def _format(spec: _Spec, verb: str, value: Value) -> str:
    if verb == "T":
        return spec.pad(NIL if value is None else type_name(value))
    if verb == "p" or (verb == "v" and "#" in spec.flags):
        raise Fault(f"printf with %{spec.flags}{verb} is not supported")
    if value is None:
        return spec.pad(NIL) if verb == "v" else f"%!{verb}({NIL})"
    if isinstance(value, Printed) and verb in "vsqxX":
        return _string(spec, verb, value.text())
    if isinstance(value, list | dict | Record):
        text = _show_nested(value, lambda item: NIL if item is None else _format(spec, verb, item))
        spec.budget.step(len(text) // 8)
        return text
    spec.budget.room((spec.width or 0) + (spec.precision or 0))
    chosen = next(rule for rule in _RULES if isinstance(value, rule.kinds))
    if verb not in chosen.verbs:
        return f"%!{verb}({type_name(value)}={chosen.write(spec, 'v', value)})"
    if verb == "v":
        spec = replace(spec, flags=spec.flags.replace("+", ""))
    return chosen.write(spec, verb, value)


def _bool(spec: _Spec, _verb: str, value: bool) -> str:
    return spec.pad("true" if value else "false")


_BASES = {"v": "d", "d": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}
_PREFIXES = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}


def _integer(spec: _Spec, verb: str, value: int) -> str:
    if verb in "cqU":
        return _code_point(spec, verb, value)
    if spec.precision == 0 and value == 0:
        return " " * (spec.width or 0)
    sign = "-" if value < 0 else spec.sign()
    digits = format(abs(int(value)), _BASES[verb])
    least = spec.precision or 0
    if spec.precision is None and spec.zero and spec.width:
        least = spec.width - len(sign)
    prefix = _PREFIXES.get(verb, "") if "#" in spec.flags else ""
    digits = digits.rjust(least, "0")
    if verb == "O":
        prefix = "0o"
    elif prefix == "0" and digits.startswith("0"):
        prefix = ""
    return spec.without("0").pad(f"{sign}{prefix}{digits}")


def _code_point(spec: _Spec, verb: str, value: int) -> str:
    is_scalar = 0 <= value < 0x110000 and not 0xD800 <= value <= 0xDFFF
    char = chr(value) if is_scalar else "\N{REPLACEMENT CHARACTER}"
    if verb == "c":
        return spec.pad(char)
    if verb == "q":
        return spec.pad(quote(char, "'", only_ascii="+" in spec.flags))
    if value < 0:
        raise Fault("printf with %U needs a code point")
    tail = f" '{char}'" if "#" in spec.flags and char.isprintable() else ""
    text = f"U+{value:0{max(4, spec.precision or 0)}X}{tail}"
    return spec.without("0").pad(text)


def _float(spec: _Spec, verb: str, value: float) -> str:
    if "#" in spec.flags:
        raise Fault(f"printf with %#{verb} of a float is not supported")
    text = _digits(verb, spec.precision, value)
    sign = ""
    if text[0] in "+-":
        sign, text = text[0], text[1:]
    sign = "-" if sign == "-" else spec.sign()
    if spec.zero and spec.width and text[0].isdigit():
        return sign + text.rjust(spec.width - len(sign), "0")
    return spec.without("0").pad(sign + text)


def _digits(verb: str, precision: int | None, value: float) -> str:
    if value in (float("inf"), float("-inf")) or value != value:  # noqa: PLR0124 - NaN
        return shortest(value, "g")
    if verb in "bxX":
        raise Fault(f"printf with %{verb} of a float is not supported")
    form = {"v": "g", "F": "f"}.get(verb, verb)
    if precision is None and form in "gG":
        text = shortest(value, "g")
        return text.upper() if form == "G" else text
    return format(value, f".{6 if precision is None else precision}{form}")


def _string(spec: _Spec, verb: str, text: str) -> str:
    if verb in "xX":
        return spec.pad(_hex(spec, verb, text))
    if spec.precision is not None:
        text = text[: spec.precision]
    if verb == "q":
        spec.budget.step(len(text) // 8)
        if "#" in spec.flags and _can_backquote(text):
            return spec.pad(f"`{text}`")
        return spec.pad(quote(text, only_ascii="+" in spec.flags))
    return spec.pad(text)


def _can_backquote(text: str) -> bool:
    return clean(text) == text and not any(
        char in "`\x7f\ufeff" or (char < " " and char != "\t") for char in text
    )


def _hex(spec: _Spec, verb: str, text: str) -> str:
    data = to_bytes(text)[: spec.precision]
    apart = " " in spec.flags
    prefix = "0x" if "#" in spec.flags and data else ""
    digits = data.hex(" ") if apart else data.hex()
    if prefix:
        digits = prefix + (digits.replace(" ", " 0x") if apart else digits)
    return digits.upper() if verb == "X" else digits


class _Rule(NamedTuple):
    """The verbs that a kind of value knows, and what writes them."""

    kinds: type | tuple[type, ...]
    verbs: str
    write: Callable[[_Spec, str, Value], str]


_RULES = (
    _Rule(bool, "tv", _bool),
    _Rule((int, Byte), "vdboOxXcqU", _integer),
    _Rule(float, "vgGeEfFbxX", _float),
    _Rule(str, "vsxXq", _string),
)
