"""Writes a GGUF out of pieces of others: a new header, and tensor data that is copied, not decoded.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Whoever calls owns the target and
checks the result as any file that came from elsewhere. No tensor data passes through Python where
the system copies it itself.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from struct import Struct as Format
from typing import BinaryIO

from msgspec import Struct

from ayllu.errors import GGUFError
from ayllu.gguf.read import GGUFArray, Header, TensorInfo
from ayllu.gguf.tables import SCALARS, STRING
from ayllu.types import Json

VERSION = 3
STEP = 64 << 20
"""Bytes that are copied between two looks at whether anybody still waits."""

_NO_COPY = {errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM}
_HEAD, _U32, _U64 = Format("<IQQ"), Format("<I"), Format("<Q")


class Span(Struct, frozen=True):
    """Bytes of a file."""

    path: Path
    offset: int
    size: int


class Made(Struct, frozen=True):
    """Bytes that are worked out when they are written, all at once."""

    make: Callable[[], bytes]
    size: int


class Items(Struct, frozen=True):
    """An array of numbers or texts that is new."""

    kind: int
    items: tuple[Json, ...]


class Value(Struct, frozen=True):
    """A key's value with its type; `value` is a GGUFArray or Items where that is ARRAY."""

    kind: int
    value: object


class Tensor(Struct, frozen=True):
    """A tensor to be: its bytes are its parts, one after the other. `shape` is in ggml's order."""

    name: str
    shape: tuple[int, ...]
    type_id: int
    parts: tuple[Span | Made, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(part.size for part in self.parts)


def values_of(header: Header) -> dict[str, Value]:
    """The keys of a file, to be written again."""
    return {key: Value(header.kinds[key], value) for key, value in header.kvs.items()}


def tensor_of(path: Path, header: Header, tensor: TensorInfo) -> Tensor:
    """A tensor of a file, to be written again."""
    span = Span(path, header.data_offset + tensor.offset, tensor.size)
    return Tensor(tensor.name, tensor.shape, tensor.type_id, (span,))


async def write_gguf(
    target: Path, keys: Mapping[str, Value], tensors: Iterable[Tensor], *, alignment: int
) -> AsyncGenerator[int]:
    """Write a file, which has to exist, from its beginning; yields how many bytes there are by now.

    Closing the generator leaves the file as it is then. Raises OSError when it cannot be written,
    GGUFError when a source became shorter.
    """
    with target.open("r+b", buffering=0) as file:
        done = 0
        steps = _write(file, keys, tuple(tensors), alignment)
        while (size := await _step(steps)) is not None:
            done += size
            yield done


async def _step(steps: Iterator[int]) -> int | None:
    """The next step, beside the event loop. Who gives up waits for its end: it uses the files."""
    task = asyncio.create_task(asyncio.to_thread(next, steps, None))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def _write(
    file: BinaryIO, keys: Mapping[str, Value], tensors: tuple[Tensor, ...], alignment: int
) -> Iterator[int]:
    """Steps of at most STEP bytes, each with its size."""
    parts: list[Span | Made | bytes] = [*_header(keys, tensors, alignment)]
    for tensor in tensors:
        parts += [*tensor.parts, _padding(tensor.size, alignment)]
    for part in parts:
        if isinstance(part, Span):
            yield from _copy(part, file)
        else:
            data = part if isinstance(part, bytes) else _made(part)
            _put(file, data)
            yield len(data)


def _header(
    keys: Mapping[str, Value], tensors: tuple[Tensor, ...], alignment: int
) -> Iterator[Span | bytes]:
    """All before the tensor data. Long arrays are spans of the files that they come from."""
    parts: list[Span | bytes] = [b"GGUF" + _HEAD.pack(VERSION, len(tensors), len(keys))]
    for key, value in keys.items():
        parts += [_text(key) + _U32.pack(value.kind), *_value(value)]
    offset = 0
    for tensor in tensors:
        shape = b"".join(map(_U64.pack, tensor.shape))
        place = _U32.pack(tensor.type_id) + _U64.pack(offset)
        parts.append(_text(tensor.name) + _U32.pack(len(tensor.shape)) + shape + place)
        offset += tensor.size + len(_padding(tensor.size, alignment))
    size = sum(part.size if isinstance(part, Span) else len(part) for part in parts)
    yield from parts
    yield _padding(size, alignment)


def _value(value: Value) -> Iterator[Span | bytes]:
    item = value.value
    if isinstance(item, GGUFArray):
        yield _U32.pack(item.element_type) + _U64.pack(item.count)
        yield Span(item.path, item.offset, item.size)
    elif isinstance(item, Items):
        yield _U32.pack(item.kind) + _U64.pack(len(item.items))
        yield b"".join(_scalar(item.kind, part) for part in item.items)
    else:
        yield _scalar(value.kind, item)


def _scalar(kind: int, item: object) -> bytes:
    if kind == STRING:
        return _text(str(item))
    return SCALARS[kind].pack(item)


def _text(text: str) -> bytes:
    data = text.encode()
    return _U64.pack(len(data)) + data


def _padding(size: int, alignment: int) -> bytes:
    return bytes(-size % alignment)


def _made(part: Made) -> bytes:
    data = part.make()
    assert len(data) == part.size  # noqa: S101 - the header has said so already
    return data


def _put(file: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:  # an unbuffered file may take only a part
        rest = rest[file.write(rest) :]


def _copy(span: Span, file: BinaryIO) -> Iterator[int]:
    """Copy by the system where it can: it shares blocks, or spares a way through our memory."""
    at, left = span.offset, span.size
    with span.path.open("rb", buffering=0) as source:
        while left:
            moved = _copy_some(source, file, at, min(left, STEP))
            if not moved:
                raise GGUFError(f"{span.path.name} became shorter while it was in use")
            at, left = at + moved, left - moved
            yield moved


def _copy_some(source: BinaryIO, file: BinaryIO, at: int, size: int) -> int:
    """Copy up to `size` bytes from a place; returns how many, 0 at the end of the source."""
    if hasattr(os, "copy_file_range"):
        try:
            moved = os.copy_file_range(source.fileno(), file.fileno(), size, offset_src=at)
        except OSError as error:
            if error.errno not in _NO_COPY:
                raise
        else:
            return moved
    source.seek(at)
    data = source.read(min(size, STEP >> 4))
    _put(file, data)
    return len(data)
