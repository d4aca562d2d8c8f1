"""JSON as Go reads and writes it, which is what Ollama's clients were built against.

Keys match whatever their case, null means absent, `<`, `>` and `&` are escaped.
Source: https://pkg.go.dev/encoding/json.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from ayllu.errors import BadRequestError
from ayllu.types import Json, Message

T = TypeVar("T")

_encoder = msgspec.json.Encoder()
_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def encode(value: object) -> bytes:
    """JSON with Go's escapes; the characters concerned stand in strings only."""
    data = _encoder.encode(value)
    for plain, escaped in _ESCAPES:
        if plain in data:
            data = data.replace(plain, escaped)
    return data


def decode(body: bytes | bytearray, kind: type[T]) -> T:
    """A request struct from a body. Raises BadRequestError with one sentence."""
    if not body or body.isspace():
        raise BadRequestError("missing request body")
    try:
        value = msgspec.json.decode(body)
        return convert({} if value is None else value, kind, "the request")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequestError(f"the request is not JSON: {error}") from error
    except RecursionError as error:
        raise BadRequestError("the request is nested too deeply") from error


def convert(value: Json, kind: type[T], what: str) -> T:
    """A struct from JSON that was decoded. Raises BadRequestError, which names `what` it was."""
    try:
        return msgspec.convert(fold_keys(value, kind), kind)
    except msgspec.ValidationError as error:
        raise BadRequestError(f"{what} does not fit: {error}") from error


def fold_keys(value: Json, kind: Any) -> Json:  # noqa: ANN401 - a type, of any form
    """The value with every struct's keys in our spelling and without nulls.

    Maps that are free in their keys (options, tool arguments, schemas) stay as they are. A float
    without a fraction is a whole number, as in JSON Schema: some languages know no other numbers.
    """
    if isinstance(value, float) and value.is_integer() and _wants_int(kind):
        return int(value)
    struct = _struct(value, kind) if isinstance(value, dict) else None
    if struct is not None:
        fields = _fields(struct)
        folded: dict[str, Json] = {}
        for key, item in value.items():
            name, inner = fields.get(key.lower(), (None, None))
            if name is not None and item is not None:
                folded[name] = fold_keys(item, inner)
        if (tag := struct.__struct_config__.tag_field) is not None:
            folded.setdefault(tag, "")  # or else one that stands alone need not have it
        if struct is Message and isinstance(folded.get("role"), str):
            folded["role"] = folded["role"].lower()
        return folded
    if isinstance(value, list):
        items = [arg for arg in _members(kind) if get_origin(arg) in (tuple, list)]
        inner = get_args(items[0])[0] if items else None
        return [fold_keys(item, inner) for item in value] if inner else value
    return value


@cache
def _fields(kind: type[Struct]) -> dict[str, tuple[str, Any]]:
    """Lower-case JSON name -> JSON name and type, of a struct's fields and its tag."""
    hints = get_type_hints(kind)
    fields = {
        field.encode_name.lower(): (field.encode_name, hints[field.name])
        for field in msgspec.structs.fields(kind)
    }
    tag = kind.__struct_config__.tag_field
    return fields if tag is None else {tag: (tag, str), **fields}


@cache
def _members(kind: Any) -> tuple[Any, ...]:  # noqa: ANN401 - a type, of any form
    """The members of a union, or the type alone."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


@cache
def _wants_int(kind: Any) -> bool:  # noqa: ANN401 - the same
    return int in _members(kind) and float not in _members(kind)


def _struct(value: Mapping[str, Json], kind: Any) -> type[Struct] | None:  # noqa: ANN401 - the same
    """The struct that an object is to be, by its tag where there are several."""
    structs = [one for one in _members(kind) if isinstance(one, type) and issubclass(one, Struct)]
    if len(structs) < 2:
        return structs[0] if structs else None
    configs = [(one, one.__struct_config__) for one in structs]
    return next((one for one, c in configs if value.get(str(c.tag_field)) == c.tag), None)
