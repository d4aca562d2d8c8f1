from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hf_maker import Weights, safetensors_bytes, write_safetensors
from hypothesis import given
from hypothesis import strategies as st

from ayllu.errors import BadRequestError
from ayllu.gguf.safetensors import LONGEST_HEADER, check_safetensors


def tensor(dtype: Any = "F32", shape: Any = (2, 3), offsets: Any = (0, 24)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    weights: Weights = {"a": np.zeros((2, 3), np.float32), "b": np.zeros(5, np.float16)}
    found = check_safetensors(write_safetensors(tmp_path / "m", weights), "m")
    assert {name: (one.dtype, one.shape) for name, one in found.items()} == {
        "a": ("F32", (2, 3)),
        "b": ("F16", (5,)),
    }


def test_scalars_empty_tensors_and_metadata_are_fine(tmp_path: Path) -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "scalar": tensor(shape=[], offsets=[0, 4]),
        "empty": tensor(shape=[0, 7], offsets=[4, 4]),
        "fours": tensor("F4", [3], [4, 6]),
    }
    path = tmp_path / "m"
    path.write_bytes(safetensors_bytes(header, [bytes(6)]))
    assert list(check_safetensors(path, "m")) == ["scalar", "empty", "fours"]


WRONG: list[tuple[bytes, str]] = [
    (b"", "m is not a safetensors file"),
    (b"1234567", "m is not a safetensors file"),
    (struct.pack("<Q", LONGEST_HEADER + 1), "its header is too long"),
    (struct.pack("<Q", (1 << 64) - 1) + b"{}", "its header is too long"),
    (struct.pack("<Q", 3) + b"{}", "m is cut off: its header does not fit into 10 bytes"),
    (struct.pack("<Q", 2) + b"[]", "m is not a safetensors file: Expected `object`"),
    (struct.pack("<Q", 2) + b"{]", "m is not a safetensors file: JSON is malformed"),
    (struct.pack("<Q", 4) + b'{"\xff"', "m is not a safetensors file"),
    (struct.pack("<Q", 100_000) + b"[" * 100_000, "m is not a safetensors file"),
    (safetensors_bytes({"a": {"dtype": "F32"}}, []), "m is not a safetensors file: Object missing"),
    (safetensors_bytes({"a": tensor()}, [bytes(23)]), "m is cut off: it lacks 1 bytes"),
    (safetensors_bytes({"a": tensor()}, [bytes(25)]), "has 1 bytes at its end that belong to no"),
    (safetensors_bytes({"a": tensor(offsets=(0, 20))}, [bytes(24)]), "another size than its shape"),
    (
        safetensors_bytes({"a": tensor(offsets=(4, 28))}, [bytes(28)]),
        "does not begin where the one",
    ),
    (
        safetensors_bytes({"a": tensor(offsets=(24, 0))}, [bytes(24)]),
        "does not begin where the one",
    ),
    (safetensors_bytes({"a": tensor(offsets=(-4, 20))}, [bytes(24)]), "does not begin where"),
    (safetensors_bytes({"a": tensor("F31")}, [bytes(24)]), "of the type F31, which is not known"),
    (safetensors_bytes({"a": tensor(shape=(-2, -3))}, [bytes(24)]), "has a shape that cannot be"),
    (safetensors_bytes({"a": tensor(shape=[1] * 17)}, [bytes(24)]), "has a shape that cannot be"),
    (safetensors_bytes({"a": tensor(shape=(1 << 60, 24))}, [bytes(24)]), "a shape that cannot be"),
    (safetensors_bytes({"a": tensor(shape=(2.5,))}, [bytes(24)]), "m is not a safetensors file"),
    (
        safetensors_bytes({"a": tensor(), "b": tensor(offsets=(12, 36))}, [bytes(36)]),
        "the tensor 'b' does not begin where the one before it ends",
    ),
]


@pytest.mark.parametrize(("data", "sentence"), WRONG, ids=[words for _, words in WRONG])
def test_what_is_not_whole_is_refused_in_a_sentence(
    tmp_path: Path, data: bytes, sentence: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(BadRequestError) as caught:
        check_safetensors(path, "m")
    assert sentence in caught.value.sentence


@given(st.binary(max_size=200), st.integers(0, 200))
def test_no_bytes_do_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cut: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    whole = safetensors_bytes({"a": tensor()}, [bytes(24)])
    for some in (data, struct.pack("<Q", len(data)) + data, whole[:cut] + data):
        path.write_bytes(some)
        with suppress(BadRequestError):
            check_safetensors(path, "m")
