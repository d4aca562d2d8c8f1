"""Checks a safetensors file before anything else reads it. The file is untrusted.

Format: https://github.com/huggingface/safetensors#format. What follows eight bytes of length is a
header in JSON, and then the tensors' bytes without a gap.
"""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
from msgspec import Struct

from ayllu.errors import BadRequestError

LONGEST_HEADER = 100_000_000
"""Bytes; the format's own limit."""

ELEMENT_BITS = {
    "F64": 64,
    "I64": 64,
    "U64": 64,
    "C64": 64,
    "F32": 32,
    "I32": 32,
    "U32": 32,
    "F16": 16,
    "BF16": 16,
    "I16": 16,
    "U16": 16,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "I8": 8,
    "U8": 8,
    "BOOL": 8,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F4": 4,
}
_MOST_DIMENSIONS = 16


class Tensor(Struct, frozen=True):
    """One tensor: its type, such as `BF16`, its shape, and where its bytes begin and end."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def check_safetensors(path: Path, name: str) -> dict[str, Tensor]:
    """The tensors of a file by their names, all of which lie within it.

    `name` is what an error calls the file. Raises BadRequestError for what is no whole safetensors
    file, OSError where it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8:
            raise BadRequestError(f"{name} is not a safetensors file")
        if length > LONGEST_HEADER:
            raise BadRequestError(f"{name} is not a safetensors file: its header is too long")
        if length > size - 8:
            raise BadRequestError(f"{name} is cut off: its header does not fit into {size} bytes")
        header = file.read(length)
    try:
        raw: dict[str, msgspec.Raw] = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
        raw.pop("__metadata__", None)
        tensors = {key: msgspec.json.decode(value, type=Tensor) for key, value in raw.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequestError(f"{name} is not a safetensors file: {error}") from error
    _check_places(name, tensors, size - 8 - length)
    return tensors


def _check_places(name: str, tensors: dict[str, Tensor], size: int) -> None:
    """Every byte after the header belongs to one tensor."""
    end = 0
    for key, tensor in sorted(tensors.items(), key=lambda item: item[1].data_offsets):
        bits = ELEMENT_BITS.get(tensor.dtype)
        what = f"{name}: the tensor {key[:80]!r}"
        if bits is None:
            raise BadRequestError(f"{what} is of the type {tensor.dtype[:20]}, which is not known")
        if len(tensor.shape) > _MOST_DIMENSIONS or any(not 0 <= n < 1 << 48 for n in tensor.shape):
            raise BadRequestError(f"{what} has a shape that cannot be")
        if tensor.data_offsets[0] != end:
            raise BadRequestError(f"{what} does not begin where the one before it ends")
        end = tensor.data_offsets[1]
        if end - tensor.data_offsets[0] != -(-math.prod(tensor.shape) * bits // 8):
            raise BadRequestError(f"{what} has another size than its shape asks for")
    if end > size:
        raise BadRequestError(f"{name} is cut off: it lacks {end - size} bytes")
    if end < size:
        raise BadRequestError(f"{name} has {size - end} bytes at its end that belong to no tensor")
