"""Writes any GGUF header at all, sound or not, for tests.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Needs numpy, nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 32


class Typed(NamedTuple):
    """A value with the GGUF type that it is to be written as."""

    kind: int
    value: Any


class Raw(NamedTuple):
    """A tensor as bytes; `shape` is in ggml's order."""

    type_id: int
    shape: tuple[int, ...]
    data: bytes


class Array(NamedTuple):
    """An array whose items are of the GGUF type `kind`."""

    kind: int
    items: Sequence[Any]


Tensor = Raw | NDArray[Any]
_SCALARS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIifBQqd", strict=True))


def write_gguf(
    path: Path,
    kvs: Mapping[str, Any],
    tensors: Mapping[str, Tensor] | None = None,
    *,
    alignment: int = ALIGNMENT,
) -> Path:
    """Write a GGUF. int becomes uint32, float float32, a list an array of its first item's type.

    `Typed`, `Array` and `Raw` say otherwise. numpy arrays may be float32 or float16.
    """
    path.write_bytes(gguf_bytes(kvs, tensors, alignment=alignment))
    return path


def gguf_bytes(
    kvs: Mapping[str, Any],
    tensors: Mapping[str, Tensor] | None = None,
    *,
    alignment: int = ALIGNMENT,
) -> bytes:
    """A whole GGUF as bytes."""
    raws = {name: _raw(tensor) for name, tensor in (tensors or {}).items()}
    head = [b"GGUF", struct.pack("<IQQ", 3, len(raws), len(kvs))]
    head += [text(key) + value(item) for key, item in kvs.items()]
    data = b""
    for name, raw in raws.items():
        head.append(tensor_info(name, raw.shape, raw.type_id, len(data)))
        data += _padded(raw.data, alignment)
    return _padded(b"".join(head), alignment) + data


def text(string: str | bytes) -> bytes:
    """A GGUF string."""
    raw = string.encode() if isinstance(string, str) else string
    return struct.pack("<Q", len(raw)) + raw


def value(item: Any) -> bytes:
    """A key's value, its type first."""
    item = item if isinstance(item, Typed | Array) else _guess(item)
    if isinstance(item, Array):
        head = struct.pack("<IIQ", 9, item.kind, len(item.items))
        if item.kind == 8:
            return head + b"".join(text(part) for part in item.items)
        return head + struct.pack(f"<{len(item.items)}{_SCALARS[item.kind]}", *item.items)
    if item.kind == 8:
        return struct.pack("<I", 8) + text(item.value)
    return struct.pack(f"<I{_SCALARS[item.kind]}", item.kind, item.value)


def tensor_info(name: str, shape: Sequence[int], type_id: int, offset: int) -> bytes:
    """A tensor's entry in the header."""
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dimensions + struct.pack("<IQ", type_id, offset)


def _guess(item: Any) -> Typed | Array:
    if isinstance(item, str | bytes):
        return Typed(8, item)
    if isinstance(item, bool | int | float):
        return Typed(7 if isinstance(item, bool) else 4 if isinstance(item, int) else 6, item)
    guessed = _guess(item[0]) if item else Typed(8, "")
    return Array(guessed.kind if isinstance(guessed, Typed) else 9, item)


def _raw(tensor: Tensor) -> Raw:
    if isinstance(tensor, Raw):
        return tensor
    return Raw(int(tensor.dtype == np.float16), tensor.shape[::-1], tensor.tobytes())


def _padded(data: bytes, alignment: int) -> bytes:
    return data + bytes(-len(data) % alignment)
