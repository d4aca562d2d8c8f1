from __future__ import annotations

import ctypes

import pytest

from ayllu.gguf.tables import REMOVED_TENSOR_TYPES, TENSOR_TYPES
from ayllu.runner.engine import built_folder


def test_tensor_types_are_the_engines() -> None:
    folder = built_folder()
    library = folder.parent / "lib" / "libggml-base.so" if folder else None
    if library is None or not library.exists():
        pytest.skip("the engine's libggml-base.so is not built here: run `make setup`")
    ggml = ctypes.CDLL(str(library))
    ggml.ggml_type_name.restype = ctypes.c_char_p
    ggml.ggml_blck_size.restype = ctypes.c_int64
    ggml.ggml_type_size.restype = ctypes.c_size_t
    for number in range(max(TENSOR_TYPES) + 1):
        size = ggml.ggml_type_size(number)
        if number in REMOVED_TENSOR_TYPES:
            assert size == 0
            continue
        kind = TENSOR_TYPES[number]
        assert kind.name == ggml.ggml_type_name(number).decode().upper()
        assert (kind.block_size, kind.type_size) == (ggml.ggml_blck_size(number), size)
