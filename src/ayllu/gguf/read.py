"""Reads the header of a GGUF file, and believes nothing it says before checking it.

Owns the format's rules and our limits; every breach raises GGUFError with one sentence. Tensor data
is never touched, arrays are not turned into lists unless asked.
Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import mmap
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from struct import Struct as Format

from msgspec import Struct

from ayllu.errors import GGUFError
from ayllu.gguf.tables import (
    ARRAY,
    BOOL,
    REMOVED_TENSOR_TYPES,
    SCALARS,
    STRING,
    TENSOR_TYPES,
    UINT32,
)
from ayllu.types import Json

MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 18
MAX_KEY_BYTES = (1 << 16) - 1
MAX_STRING_BYTES = 16 << 20
MAX_TEXT_BYTES = 64 << 20
"""All string values outside arrays together: what a header may cost us in memory."""
MAX_ARRAY_ITEMS = 64 << 20
MAX_TENSOR_NAME_BYTES = 63
MAX_DIMENSIONS = 4
MAX_ELEMENTS = (1 << 63) - 1
EAGER_ITEMS = 1024
DEFAULT_ALIGNMENT = 32
SMALLEST_KEY_BYTES, SMALLEST_TENSOR_BYTES = 8 + 1 + 4 + 1, 8 + 1 + 4 + 4 + 8

_U32, _U64 = Format("<I"), Format("<Q")
_RUN = 512
_RUN_LONGEST = 63


class GGUFArray(Struct, frozen=True, kw_only=True):
    """An array of the header: its length is known, its items are read from the file when asked.

    Numeric arrays of up to 1024 items are kept in `values`, so that per-layer figures need no disk.
    """

    path: Path
    element_type: int
    count: int
    offset: int
    size: int
    values: tuple[Json, ...] | None = None

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Json]:
        return iter(self.items())

    def items(self) -> list[Json]:
        """All items. Raises GGUFError when the file is gone or was cut since."""
        if self.values is not None:
            return list(self.values)
        if self.element_type == STRING:
            return list(_strings(self.raw(), self.count))
        return list(_numbers(self.raw(), self.element_type, self.count))

    def raw(self) -> bytes:
        """The items as the file holds them. Raises GGUFError like `items`."""
        with _open(self.path) as (buffer, size):
            if self.offset + self.size > size:
                raise GGUFError(f"{self.path.name} became shorter while it was in use")
            return bytes(buffer[self.offset : self.offset + self.size])


class TensorInfo(Struct, frozen=True):
    """Where a tensor lies. `offset` counts from the header's `data_offset`, `size` is in bytes.

    `shape` is in ggml's order: the first dimension is the one that is contiguous in memory.
    """

    name: str
    shape: tuple[int, ...]
    type_id: int
    type_name: str
    offset: int
    size: int

    @property
    def elements(self) -> int:
        """How many numbers the tensor holds."""
        product = 1
        for dimension in self.shape:
            product *= dimension
        return product


class Header(Struct, frozen=True):
    """Everything a GGUF says before its tensor data.

    Arrays in `kvs` are GGUFArray; `kinds` are the value types of the same keys.
    """

    version: int
    kvs: dict[str, Json]
    kinds: dict[str, int]
    tensors: tuple[TensorInfo, ...]
    alignment: int
    data_offset: int
    file_size: int


def read_header(path: Path) -> Header:
    """Read and check a GGUF's header. Raises GGUFError in every case of a file we do not accept."""
    with _open(path) as (buffer, size):
        return _read(_Cursor(buffer, size, path))


@contextmanager
def _open(path: Path) -> Iterator[tuple[mmap.mmap, int]]:
    """The file as a read-only memory map, with its size. Regular files only: no device, no pipe."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise GGUFError(f"{path.name} is not a file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise GGUFError(f"{path.name} is empty")
            buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise GGUFError(f"{path.name} cannot be read: {error.strerror}") from error
    with buffer:
        yield buffer, size


class _Cursor(Struct):
    """A place in the file. Every read checks that the file is long enough."""

    buffer: mmap.mmap
    size: int
    path: Path
    at: int = 0
    text_bytes: int = 0

    def skip(self, count: int) -> int:
        """Step over `count` bytes; returns where they begin."""
        start = self.at
        if count > self.size - start:
            raise self.error("is truncated: its header goes on after the end of the file")
        self.at = start + count
        return start

    def number(self, form: Format) -> Json:
        """One number."""
        return form.unpack_from(self.buffer, self.skip(form.size))[0]

    def text(self, limit: int, what: str) -> bytes:
        """A string's bytes, at most `limit` of them."""
        length: int = self.number(_U64)
        if length > limit:
            raise self.error(f"has {what} of {length} bytes; at most {limit} are allowed")
        start = self.skip(length)
        return self.buffer[start : self.at]

    def count(self, what: str, limit: int, smallest: int) -> int:
        """A number of things to come, each of at least `smallest` bytes."""
        number: int = self.number(_U64)
        if number > limit:
            raise self.error(f"claims {number} {what}; at most {limit} are allowed")
        if number * smallest > self.size - self.at:
            raise self.error(f"is truncated: it claims {number} {what} and is too short for them")
        return number

    def error(self, sentence: str) -> GGUFError:
        """An error that begins with the file's name."""
        return GGUFError(f"{self.path.name} {sentence}")


def _read(cursor: _Cursor) -> Header:
    version = _version(cursor)
    tensor_count = cursor.count("tensors", MAX_TENSORS, SMALLEST_TENSOR_BYTES)
    kvs, kinds = _keys(cursor)
    alignment = _alignment(cursor, kvs, kinds)
    tensors = _tensors(cursor, tensor_count, alignment)
    data_offset = -(-cursor.at // alignment) * alignment
    _check_places(cursor, tensors, cursor.size - data_offset)
    return Header(version, kvs, kinds, tensors, alignment, data_offset, cursor.size)


def _check_places(cursor: _Cursor, tensors: tuple[TensorInfo, ...], room: int) -> None:
    """Tensors end within the file, and each has its bytes to itself: copies grow no file."""
    end = 0
    for tensor in sorted(tensors, key=lambda tensor: tensor.offset):
        if tensor.offset < end:
            raise cursor.error(f"has the tensor {tensor.name} where another one lies")
        end = tensor.offset + tensor.size
        if end > room:
            raise cursor.error(f"is truncated: tensor {tensor.name} ends after the end of the file")


def _version(cursor: _Cursor) -> int:
    if cursor.buffer[:4] != b"GGUF":
        raise cursor.error("is not a GGUF file")
    cursor.skip(4)
    version: int = cursor.number(_U32)
    if version and version & 0xFFFF == 0:
        raise cursor.error("is a big-endian GGUF; only little-endian ones are supported")
    if version not in {2, 3}:
        raise cursor.error(f"has GGUF version {version}; versions 2 and 3 are supported")
    return version


def _keys(cursor: _Cursor) -> tuple[dict[str, Json], dict[str, int]]:
    kvs: dict[str, Json] = {}
    kinds: dict[str, int] = {}
    for _ in range(cursor.count("keys", MAX_KEYS, SMALLEST_KEY_BYTES)):
        name = _name(cursor, MAX_KEY_BYTES, "a key")
        if name in kvs:
            raise cursor.error(f"has the key {name} twice")
        kinds[name] = cursor.number(_U32)
        kvs[name] = _value(cursor, name, kinds[name])
    return kvs, kinds


def _name(cursor: _Cursor, limit: int, what: str) -> str:
    raw = cursor.text(limit, what)
    if not raw:
        raise cursor.error(f"has {what} without a name")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise cursor.error(f"has {what} whose name is not UTF-8") from error


def _value(cursor: _Cursor, key: str, kind: int) -> Json:
    if kind == STRING:
        text = cursor.text(MAX_STRING_BYTES, f"a string in {key}")
        cursor.text_bytes += len(text)
        if cursor.text_bytes > MAX_TEXT_BYTES:
            raise cursor.error(f"has more than {MAX_TEXT_BYTES} bytes of text in its keys")
        return text.decode(errors="replace")
    if kind == ARRAY:
        return _array(cursor, key)
    if kind not in SCALARS:
        raise cursor.error(f"has the unknown value type {kind} in {key}")
    number = cursor.number(SCALARS[kind])
    if kind != BOOL:
        return number
    if number > 1:
        raise cursor.error(f"has a truth value of {number} in {key}")
    return bool(number)


def _array(cursor: _Cursor, key: str) -> GGUFArray:
    kind: int = cursor.number(_U32)
    if kind != STRING and kind not in SCALARS:
        raise cursor.error(f"has an array of the unknown type {kind} in {key}")
    width = SCALARS[kind].size if kind != STRING else _U64.size
    count = cursor.count(f"items in {key}", MAX_ARRAY_ITEMS, width)
    start = cursor.at
    if kind == STRING:
        _skip_strings(cursor, key, count)
    else:
        cursor.skip(width * count)
    values = None
    if kind != STRING and count <= EAGER_ITEMS:
        values = tuple(_numbers(cursor.buffer[start : cursor.at], kind, count))
    return GGUFArray(
        path=cursor.path,
        element_type=kind,
        count=count,
        offset=start,
        size=cursor.at - start,
        values=values,
    )


def _skip_strings(cursor: _Cursor, key: str, count: int) -> None:
    """Step over strings, whose lengths form a chain that has to be walked.

    A vocabulary has some 400,000 links. The regular expression walks 512 short strings at once and
    takes two thirds of the loop's time (bench/gguf_header.py).
    """
    run, buffer, size, unpack = _short_strings(), cursor.buffer, cursor.size, _U64.unpack_from
    at = cursor.at
    while count:
        match = run.match(buffer, at) if count >= _RUN else None
        if match:
            at = match.end()
            count -= _RUN
            continue
        for _ in range(min(count, _RUN)):
            if at + 8 > size:
                raise cursor.error(f"is truncated in {key}")
            length = unpack(buffer, at)[0]
            if length > MAX_STRING_BYTES:
                raise cursor.error(f"has a string of {length} bytes in {key}")
            at += 8 + length
        count -= min(count, _RUN)
    if at > size:
        raise cursor.error(f"is truncated in {key}")
    cursor.at = at


@cache
def _short_strings() -> re.Pattern[bytes]:
    """Matches 512 strings of less than 64 bytes, each after its length in 8 bytes."""
    lengths = sorted(range(_RUN_LONGEST + 1), key=lambda length: abs(length - 6))
    strings = (rb"\x%02x" % length + rb"\0" * 7 + b".{%d}" % length for length in lengths)
    return re.compile(b"(?:" + b"|".join(strings) + b"){%d}+" % _RUN, re.DOTALL)


def _strings(data: bytes, count: int) -> Iterator[str]:
    at = 0
    for _ in range(count):
        (length,) = _U64.unpack_from(data, at)
        yield data[at + 8 : at + 8 + length].decode(errors="replace")
        at += 8 + length


def _numbers(data: bytes, kind: int, count: int) -> tuple[Json, ...]:
    numbers = Format(f"<{count}{SCALARS[kind].format[1:]}").unpack(data)
    return tuple(map(bool, numbers)) if kind == BOOL else numbers


def _alignment(cursor: _Cursor, kvs: dict[str, Json], kinds: dict[str, int]) -> int:
    value = kvs.get("general.alignment", DEFAULT_ALIGNMENT)
    if isinstance(value, bool) or not isinstance(value, int):
        raise cursor.error("has a general.alignment that is not an integer")
    if value <= 0 or value & (value - 1):
        raise cursor.error(f"has an alignment of {value}, which is not a power of two")
    if kinds.get("general.alignment", UINT32) != UINT32:
        raise cursor.error("has a general.alignment of another type than uint32")
    return value


def _tensors(cursor: _Cursor, claimed: int, alignment: int) -> tuple[TensorInfo, ...]:
    tensors: dict[str, TensorInfo] = {}
    for _ in range(claimed):
        tensor = _tensor(cursor, alignment)
        if tensor.name in tensors:
            raise cursor.error(f"has the tensor {tensor.name} twice")
        tensors[tensor.name] = tensor
    return tuple(tensors.values())


def _tensor(cursor: _Cursor, alignment: int) -> TensorInfo:
    name = _name(cursor, MAX_TENSOR_NAME_BYTES, "a tensor name")
    dimensions: int = cursor.number(_U32)
    if dimensions > MAX_DIMENSIONS:
        raise cursor.error(f"has {dimensions} dimensions in tensor {name}; at most 4 are allowed")
    shape = tuple(cursor.number(_U64) for _ in range(dimensions))
    type_id: int = cursor.number(_U32)
    offset: int = cursor.number(_U64)
    if offset % alignment:
        raise cursor.error(f"has the tensor {name} at {offset}, which is not aligned")
    size = _tensor_size(cursor, name, shape, type_id)
    return TensorInfo(name, shape, type_id, TENSOR_TYPES[type_id].name, offset, size)


def _tensor_size(cursor: _Cursor, name: str, shape: tuple[int, ...], type_id: int) -> int:
    """A tensor's bytes, once its type and shape are found sound."""
    if type_id in REMOVED_TENSOR_TYPES:
        raise cursor.error(
            f"holds the tensor {name} in {REMOVED_TENSOR_TYPES[type_id]}, a type that llama.cpp no "
            "longer reads: get a newer file of this model",
        )
    if type_id not in TENSOR_TYPES:
        raise cursor.error(f"holds the tensor {name} in a type that is not known here ({type_id})")
    kind = TENSOR_TYPES[type_id]
    elements = 1
    for dimension in shape:
        elements *= dimension
    if elements == 0:
        raise cursor.error(f"has a dimension of 0 in tensor {name}")
    if elements > MAX_ELEMENTS or elements // kind.block_size * kind.type_size > MAX_ELEMENTS:
        raise cursor.error(f"has a tensor {name} too large to be true")
    row = shape[0] if shape else 1
    if row % kind.block_size:
        raise cursor.error(f"has rows of {row} in tensor {name}, which {kind.name} cannot store")
    return elements // kind.block_size * kind.type_size
