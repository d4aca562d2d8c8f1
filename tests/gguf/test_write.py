"""Files written out of pieces of others are what the reader, and so the engine, expects."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_maker import make_successor_model
from gguf_writer import Array, Raw, Typed
from gguf_writer import write_gguf as write_sample
from small_disk import mounted

from ayllu.errors import GGUFError
from ayllu.gguf.read import read_header
from ayllu.gguf.write import Items, Made, Span, Tensor, Value, tensor_of, values_of, write_gguf

KVS = {
    "general.architecture": "llama",
    "u8": Typed(0, 255),
    "i8": Typed(1, -128),
    "u16": Typed(2, 65535),
    "i16": Typed(3, -5),
    "u32": 7,
    "i32": Typed(5, -7),
    "f32": 0.5,
    "no": False,
    "u64": Typed(10, 2**64 - 1),
    "i64": Typed(11, -(2**63)),
    "f64": Typed(12, 0.1),
    "text": "ñ",
    "empty": "",
    "words": ["a", "", "ñ"],
    "flags": Array(7, [True, False]),
    "long": list(range(5000)),
    "none": Array(8, []),
}


def run(
    target: Path, keys: Mapping[str, Value], tensors: Iterable[Tensor], alignment: int = 32
) -> list[int]:
    async def steps() -> list[int]:
        return [done async for done in write_gguf(target, keys, tensors, alignment=alignment)]

    target.touch()
    return asyncio.run(steps())


@pytest.mark.parametrize("alignment", [1, 32, 4096])
def test_a_file_written_again_is_the_same_byte_for_byte(tmp_path: Path, alignment: int) -> None:
    tensors: dict[str, Any] = {
        "a": np.arange(33, dtype=np.float32),
        "b": Raw(14, (256, 2), bytes(range(210)) * 2),
        "c": np.ones((3, 5), np.float16),
    }
    kvs = {**KVS, "general.alignment": alignment}
    path = write_sample(tmp_path / "x.gguf", kvs, tensors, alignment=alignment)
    header = read_header(path)
    again = tmp_path / "again.gguf"
    copies = [tensor_of(path, header, tensor) for tensor in header.tensors]
    steps = run(again, values_of(header), copies, alignment)
    assert again.read_bytes() == path.read_bytes()
    assert steps[-1] == path.stat().st_size
    assert steps == sorted(steps)


def test_a_new_header_and_tensors_of_several_files(tmp_path: Path) -> None:
    one = make_successor_model(tmp_path / "one.gguf")
    header = read_header(one)
    keys = {
        "general.architecture": Value(8, "other"),
        "words": Value(9, Items(8, ("x", "ñ"))),
        "numbers": Value(9, Items(5, (-1, 2))),
        "tokens": values_of(header)["tokenizer.ggml.tokens"],
    }
    wide = next(tensor for tensor in header.tensors if tensor.name == "token_embd.weight")
    copy = tensor_of(one, header, wide)
    (span,) = copy.parts
    assert isinstance(span, Span)
    row = span.size // wide.shape[1]
    tensors = [
        Tensor("first", (wide.shape[0],), 0, (Span(one, span.offset, row),)),
        Tensor("two", (4,), 0, (Made(lambda: bytes(8), 8), Made(lambda: b"\1" * 8, 8))),
    ]
    target = tmp_path / "new.gguf"
    run(target, keys, tensors)
    new = read_header(target)
    assert new.kvs["general.architecture"] == "other"
    assert new.kvs["words"].items() == ["x", "ñ"]
    assert new.kvs["numbers"].values == (-1, 2)
    assert new.kvs["tokens"].items() == header.kvs["tokenizer.ggml.tokens"].items()
    data = target.read_bytes()[new.data_offset :]
    assert data[:row] == np.eye(1, wide.shape[0], dtype=np.float32).tobytes()
    assert data[new.tensors[1].offset :][:16] == bytes(8) + b"\1" * 8


def test_it_writes_to_another_file_system_too(tmp_path: Path) -> None:
    """There the system does not copy for us."""
    source = make_successor_model(tmp_path / "x.gguf")
    header = read_header(source)
    copies = [tensor_of(source, header, tensor) for tensor in header.tensors]
    with mounted(tmp_path / "other", "size=4m") as other:
        run(other / "y.gguf", values_of(header), copies)
        assert (other / "y.gguf").read_bytes() == source.read_bytes()


def test_a_source_that_became_shorter_is_told(tmp_path: Path) -> None:
    source = make_successor_model(tmp_path / "x.gguf")
    header = read_header(source)
    copies = [tensor_of(source, header, tensor) for tensor in header.tensors]
    os.truncate(source, source.stat().st_size // 2)
    with pytest.raises(GGUFError, match="became shorter"):
        run(tmp_path / "y.gguf", values_of(header), copies)


def test_a_full_disk_is_an_os_error(tmp_path: Path) -> None:
    source = make_successor_model(tmp_path / "x.gguf")
    header = read_header(source)
    copies = [tensor_of(source, header, tensor) for tensor in header.tensors]
    with (
        mounted(tmp_path / "small", "size=256k") as small,
        pytest.raises(OSError, match="No space left"),
    ):
        run(small / "y.gguf", values_of(header), copies)
