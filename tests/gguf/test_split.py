"""Models in several files: what llama-gguf-split makes is checked and merged as it merges it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_maker import make_successor_model
from gguf_writer import Typed, write_gguf

from ayllu.errors import BadRequestError
from ayllu.gguf.read import Header, read_header
from ayllu.gguf.split import merge, ordered
from ayllu.runner.engine import built_folder


@pytest.fixture(scope="module")
def tool() -> Path:
    folder = built_folder()
    if folder is None or not (folder / "llama-gguf-split").exists():
        pytest.skip("there is no llama-gguf-split")
    return folder / "llama-gguf-split"


@pytest.fixture(scope="module")
def parts(tool: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A real model in several files, and the file that they were made of beside them."""
    folder = tmp_path_factory.mktemp("parts")
    whole = make_successor_model(folder / "whole.gguf")
    split(tool, "--split-max-tensors", "3", str(whole), str(folder / "part"))
    return sorted(folder.glob("part-*.gguf"))


def split(tool: Path, *arguments: str) -> None:
    subprocess.run([tool, *arguments], check=True, capture_output=True)


def merged(sources: list[Path], target: Path) -> list[int]:
    async def steps() -> list[int]:
        return [done async for done in merge(sources, target)]

    target.touch()
    return asyncio.run(steps())


def contents(path: Path) -> dict[str, tuple[Any, ...]]:
    """Each tensor's type, shape and bytes."""
    header, data = read_header(path), path.read_bytes()
    return {
        tensor.name: (
            tensor.type_name,
            tensor.shape,
            data[header.data_offset + tensor.offset :][: tensor.size],
        )
        for tensor in header.tensors
    }


def test_parts_are_merged_as_llama_gguf_split_does(
    tool: Path, parts: list[Path], tmp_path: Path
) -> None:
    assert len(parts) > 2
    steps = merged([parts[2], parts[0], parts[1], *parts[3:]], tmp_path / "ours.gguf")
    split(tool, "--merge", str(parts[0]), str(tmp_path / "theirs.gguf"))
    ours, theirs = read_header(tmp_path / "ours.gguf"), read_header(tmp_path / "theirs.gguf")
    assert steps[-1] == ours.file_size
    assert list(contents(tmp_path / "ours.gguf")) == list(contents(tmp_path / "theirs.gguf"))
    assert contents(tmp_path / "ours.gguf") == contents(tmp_path / "theirs.gguf")
    kept = {key: value for key, value in plain(theirs).items() if not key.startswith("split.")}
    assert plain(ours) == kept
    assert contents(tmp_path / "ours.gguf") == contents(parts[0].parent / "whole.gguf")


def plain(header: Header) -> dict[str, Any]:
    values = header.kvs.items()
    return {key: list(value) if hasattr(value, "items") else value for key, value in values}


NO_KEYS: Mapping[str, Any] = {}


def part(
    number: int, count: int = 2, total: int = 2, name: str = "", kvs: Mapping[str, Any] = NO_KEYS
) -> Callable[[Path], Header]:
    def make(path: Path) -> Header:
        keys = {
            "split.no": Typed(2, number),
            "split.count": Typed(2, count),
            "split.tensors.count": Typed(5, total),
        }
        tensors = {name or f"t{number}": np.zeros(8, np.float32)}
        return read_header(write_gguf(path, keys | dict(kvs), tensors))

    return make


@pytest.mark.parametrize(
    ("makers", "sentence"),
    [
        ([part(0)], "the model has 2 parts, and these are missing: 2;"),
        ([part(1, count=5, total=5)], "these are missing: 1, 3, 4, 5;"),
        ([part(0, count=4000)], "these are missing: 2, 3, 4, 5, 6, 7, 8, 9 and more"),
        ([part(0), part(0, name="b")], "0 and 1 are the same part of the model"),
        ([part(0), part(1, count=3)], "parts of different models"),
        ([part(0), part(1, total=3)], "parts of different models"),
        ([part(0), part(1, name="t0")], "0 and 1 both hold the tensor t0"),
        ([part(0, total=3), part(1, total=3)], "hold 2 tensors, and the model has 3"),
        ([part(2), part(1)], "0 says that it is part 3 of 2"),
        ([part(0, count=65535)], "65535 parts; 2 to 4096 are allowed"),
        ([part(0), part(0, kvs={"split.no": "1"})], "split.no that is not a whole number"),
        ([part(0, kvs={"split.no": Typed(5, -1)})], "split.no that is not a whole number"),
        ([part(0, kvs={"split.tensors.count": True})], "split.tensors.count that is not a whole"),
    ],
)
def test_what_is_not_one_model_is_refused(
    tmp_path: Path, makers: list[Callable[[Path], Header]], sentence: str
) -> None:
    headers = {str(n): make(tmp_path / f"{n}.gguf") for n, make in enumerate(makers)}
    with pytest.raises(BadRequestError) as caught:
        ordered(headers)
    assert sentence in caught.value.sentence
