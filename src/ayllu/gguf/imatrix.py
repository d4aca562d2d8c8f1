"""Importance matrices: which of a model's weights matter most, as llama-imatrix writes them down.

Files of users are checked here before the engine sees them. Source: llama.cpp
tools/imatrix/README.md; for each matrix of the model the sums of its inputs' squares.
"""

from __future__ import annotations

import math
from array import array
from pathlib import Path

from ayllu.errors import BadRequestError, GGUFError
from ayllu.gguf.read import GGUFArray, Header, TensorInfo, read_header
from ayllu.gguf.tables import STRING

_SUMS, _COUNTS = ".in_sum2", ".counts"
_NUMBERS = ("imatrix.chunk_count", "imatrix.chunk_size")
_AT_ONCE = 1 << 20


def check_matrix(path: Path, model: Header) -> None:
    """Raise BadRequestError unless a file is an importance matrix of this model.

    Reads all of it: not for the event loop.
    """
    try:
        header = read_header(path)
    except GGUFError as error:
        raise GGUFError(str(error).replace(path.name, "the importance matrix")) from error
    if header.kvs.get("general.type") != "imatrix" or not _has_its_keys(header):
        raise BadRequestError("the file is a GGUF, but no importance matrix")
    _check_tensors(header, model)
    with path.open("rb") as file:
        for tensor in header.tensors:
            file.seek(header.data_offset + tensor.offset)
            left = tensor.size
            while left:
                numbers = array("f", file.read(min(left, _AT_ONCE)))
                left -= numbers.itemsize * len(numbers)
                if not math.isfinite(sum(numbers)) or min(numbers) < 0:
                    raise BadRequestError(f"the importance matrix is damaged at {tensor.name}")


def _has_its_keys(header: Header) -> bool:
    names = header.kvs.get("imatrix.datasets")
    numbers = [header.kvs.get(key) for key in _NUMBERS]
    texts = isinstance(names, GGUFArray) and names.element_type == STRING
    return texts and all(isinstance(number, int) for number in numbers)


def _check_tensors(header: Header, model: Header) -> None:
    """Sums and counts come in pairs, and those of the model's tensors have their sizes."""
    found = {tensor.name: tensor for tensor in header.tensors}
    sums = {name.removesuffix(_SUMS) for name in found if name.endswith(_SUMS)}
    counts = {name.removesuffix(_COUNTS) for name in found if name.endswith(_COUNTS)}
    types = {tensor.type_name for tensor in header.tensors}
    if sums != counts or len(found) != len(sums) + len(counts) or types != {"F32"}:
        raise BadRequestError("the importance matrix is damaged: its sums and counts do not match")
    ours = [tensor for tensor in model.tensors if tensor.name in sums]
    fits = (_fits(found[one.name + _SUMS], found[one.name + _COUNTS], one) for one in ours)
    if not ours or not all(fits):
        raise BadRequestError("the importance matrix was made for another model")


def _fits(sums: TensorInfo, counts: TensorInfo, tensor: TensorInfo) -> bool:
    """A sum for each column of a matrix, a count for each matrix: experts have several."""
    columns, matrices = tensor.shape[0], tensor.shape[2] if len(tensor.shape) > 2 else 1
    return sums.elements == columns * matrices and counts.elements == matrices
