"""A GGUF that is being put together from another one: its keys and its tensors, to be changed.

Nothing is read or written here but the header; tensor data is said by where it lies, or by how it
is worked out from there. What the source says is untrusted: nonsense raises GGUFError.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from pathlib import Path
from struct import Struct as Format
from typing import TypeGuard

from msgspec import structs

from ayllu.errors import GGUFError
from ayllu.gguf.read import GGUFArray, Header
from ayllu.gguf.tables import (
    ARRAY,
    BOOL,
    FLOAT32,
    INT32,
    SCALARS,
    STRING,
    TENSOR_TYPES,
    UINT32,
)
from ayllu.gguf.write import Items, Made, Span, Tensor, Value, tensor_of, values_of

F32, F16, Q8_0, BF16 = 0, 1, 8, 30
_MAX_U32 = (1 << 32) - 1
_U64 = Format("<Q")
_Q8_0 = Format("<e32b")


class Sheet:
    """The keys and tensors of a file to be, as those of its source until they are changed."""

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.header = header
        self.keys: dict[str, Value] = values_of(header)
        self.tensors = {tensor.name: tensor_of(path, header, tensor) for tensor in header.tensors}

    @property
    def alignment(self) -> int:
        """The new file's alignment: the source's, where it says one."""
        value = self.keys.get("general.alignment")
        return self.header.alignment if value else 32

    def text(self, key: str) -> str | None:
        """A key's text; None where there is none."""
        value = self.keys.get(key)
        return value.value if value and isinstance(value.value, str) else None

    def number(self, key: str) -> int | None:
        """A key's whole number, of at least 0; None where there is none."""
        value = self.keys.get(key)
        number = value.value if value else None
        return number if _is_count(number) else None

    def real(self, key: str) -> float | None:
        """A key's number of any kind; None where there is none."""
        value = self.keys.get(key)
        number = value.value if value else None
        if isinstance(number, float) or _is_count(number):
            return float(number)
        return None

    def numbers(self, key: str) -> tuple[int, ...]:
        """A key's whole numbers, from one or several; none where there are none."""
        value = self.keys.get(key)
        if value is None:
            return ()
        found: Iterable[object] = (value.value,)
        if isinstance(value.value, GGUFArray):
            found = value.value.values or ()
        return tuple(number for number in found if _is_count(number))

    def size(self, name: str, dimension: int) -> int | None:
        """One of a tensor's dimensions, in ggml's order; None where there is no such tensor."""
        tensor = self.tensors.get(name)
        if tensor is None:
            return None
        return tensor.shape[dimension] if dimension < len(tensor.shape) else 1

    def has(self, *prefixes: str) -> bool:
        """Whether the name of any tensor begins so."""
        return any(name.startswith(prefixes) for name in self.tensors)

    def copy(self, old: str, new: str) -> None:
        """Give a key's value a second name, where there is one."""
        if old in self.keys:
            self.keys[new] = self.keys[old]

    def name(self, architecture: str) -> None:
        """Give the model another architecture's name, and its keys that one's prefix."""
        old = self.text("general.architecture") or ""
        renamed = {}
        for key, value in self.keys.items():
            start, dot, rest = key.partition(".")
            renamed[architecture + dot + rest if start == old else key] = value
        self.keys = renamed | {"general.architecture": text(architecture)}

    def rename(self, old: str, new: str) -> None:
        """Give a tensor another name, where there is one of the old name."""
        self._rename(lambda name: new if name == old else name)

    def rename_parts(self, *parts: tuple[str, str]) -> None:
        """In the names of all tensors put something else for the first of each of some parts."""
        for old, new in parts:
            self._rename(partial(_replaced, old, new))

    def rename_ends(self, old: str, new: str) -> None:
        """Put another ending to the names of the tensors that have one."""
        self._rename(lambda name: name.removesuffix(old) + new if name.endswith(old) else name)

    def _rename(self, change: Callable[[str], str]) -> None:
        names = {name: change(name) for name in self.tensors}
        if len(set(names.values())) < len(names):
            raise GGUFError(f"{self.path.name} has tensors under their old and their new names")
        self.tensors = {
            names[name]: structs.replace(tensor, name=names[name])
            for name, tensor in self.tensors.items()
        }

    def drop(self, *prefixes: str) -> None:
        """Leave out the tensors whose names begin so."""
        self._only(lambda name: not name.startswith(prefixes))

    def keep(self, *prefixes: str) -> None:
        """Leave out all other tensors."""
        self._only(lambda name: name.startswith(prefixes))

    def _only(self, wanted: Callable[[str], bool]) -> None:
        self.tensors = {name: tensor for name, tensor in self.tensors.items() if wanted(name)}

    def cut(self, key: str, count: int) -> None:
        """Leave out all but the first items of an array, where it is longer."""
        value = self.keys.get(key)
        if value and isinstance(value.value, GGUFArray) and value.value.count > count:
            items = value.value
            size = _strings_size(items, count)
            if items.element_type != STRING:
                size = SCALARS[items.element_type].size * count
            values = items.values and items.values[:count]
            cut = structs.replace(items, count=count, size=size, values=values)
            self.keys[key] = Value(ARRAY, cut)

    def cut_rows(self, name: str, rows: int) -> None:
        """Leave out the last rows of a matrix, where it has more."""
        tensor = self.tensors.get(name)
        if tensor and len(tensor.shape) == 2 and tensor.shape[1] > rows:
            (span,) = tensor.parts
            assert isinstance(span, Span)  # noqa: S101 - it is a tensor of the source
            size = span.size // tensor.shape[1] * rows
            self.tensors[name] = structs.replace(
                tensor,
                shape=(tensor.shape[0], rows),
                parts=(structs.replace(span, size=size),),
            )

    def put(self, tensor: Tensor) -> None:
        """Add a tensor, or put it in the place of the one of its name."""
        self.tensors[tensor.name] = tensor

    def to_f32(self, *names: str) -> None:
        """Store some tensors as 32-bit numbers, where they are there and shorter ones."""
        for name in names:
            tensor = self.tensors.get(name)
            if tensor and tensor.type_id != F32:
                self.tensors[name] = structs.replace(tensor, type_id=F32, parts=(widened(tensor),))

    def join(self, new: str, *names: str) -> None:
        """Stack matrices, or vectors, of the same width: one tensor in the place of several."""
        found = [self.tensors.pop(name, None) for name in names]
        if None in found:
            raise GGUFError(f"{self.path.name} lacks one of the tensors {', '.join(names)}")
        tensors = [tensor for tensor in found if tensor]
        if len({tensor.shape[:-1] for tensor in tensors}) > 1:
            raise GGUFError(f"{self.path.name} has tensors that do not fit together: {names[0]}")
        kinds = {tensor.type_id for tensor in tensors}
        rows = sum(tensor.shape[-1] for tensor in tensors)
        same = len(kinds) == 1
        parts = (tensor.parts if same else (widened(tensor),) for tensor in tensors)
        shape = (*tensors[0].shape[:-1], rows)
        self.put(Tensor(new, shape, kinds.pop() if same else F32, tuple(chain(*parts))))


def text(value: str) -> Value:
    """A text."""
    return Value(STRING, value)


def count(value: int) -> Value:
    """A whole number, as the engine wants all of its own."""
    if value > _MAX_U32:
        raise GGUFError(f"the GGUF has a number of {value} where a size should be")
    return Value(UINT32, value)


def real(value: float) -> Value:
    """A number with a fraction."""
    return Value(FLOAT32, value)


YES = Value(BOOL, value=True)


def integers(values: Iterable[int]) -> Value:
    """Several whole numbers."""
    return Value(ARRAY, Items(INT32, tuple(values)))


def reals(*values: float) -> Value:
    """Several numbers with fractions."""
    return Value(ARRAY, Items(FLOAT32, values))


def flags(values: Iterable[bool]) -> Value:
    """Several truth values."""
    return Value(ARRAY, Items(BOOL, tuple(values)))


def widened(tensor: Tensor) -> Span | Made:
    """A tensor's numbers in 32 bits each. Raises GGUFError for a type that we cannot read."""
    (part,) = tensor.parts
    assert isinstance(part, Span)  # noqa: S101 - it is a tensor of the source
    if tensor.type_id == F32:
        return part
    if tensor.type_id not in _WIDEN:
        kind = TENSOR_TYPES[tensor.type_id].name
        raise GGUFError(f"{part.path.name} holds the tensor {tensor.name} in {kind}")
    return Made(partial(_widen, tensor.type_id, part), 4 * math.prod(tensor.shape))


def read(span: Span) -> bytes:
    """The bytes of a span. Raises GGUFError where the file became shorter."""
    with span.path.open("rb") as file:
        file.seek(span.offset)
        data = file.read(span.size)
    if len(data) < span.size:
        raise GGUFError(f"{span.path.name} became shorter while it was in use")
    return data


def _widen(kind: int, span: Span) -> bytes:
    return _WIDEN[kind](read(span))


def _from_f16(data: bytes) -> bytes:
    return _floats(Format(f"<{len(data) // 2}e").unpack(data))


def _from_bf16(data: bytes) -> bytes:
    """The upper halves of 32-bit numbers."""
    wide = bytearray(2 * len(data))
    wide[2::4], wide[3::4] = data[::2], data[1::2]
    return bytes(wide)


def _from_q8_0(data: bytes) -> bytes:
    """Blocks of a 16-bit scale and 32 numbers of 8 bits."""
    blocks = _Q8_0.iter_unpack(data)
    return _floats([scale * number for scale, *numbers in blocks for number in numbers])


def _floats(numbers: Iterable[float]) -> bytes:
    packed = array("f", numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


_WIDEN = {F16: _from_f16, BF16: _from_bf16, Q8_0: _from_q8_0}


def _replaced(old: str, new: str, name: str) -> str:
    return name.replace(old, new, 1)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _strings_size(items: GGUFArray, count: int) -> int:
    """The bytes of the first strings of an array."""
    if items.element_type != STRING:
        return 0
    data, at = items.raw(), 0
    for _ in range(count):
        at += 8 + _U64.unpack_from(data, at)[0]
    return at
