"""Models that come in several files, `name-00001-of-00005.gguf`: checked as a set, and merged.

The first file has the keys, each has some of the tensors. Source: llama.cpp's
tools/gguf-split/gguf-split.cpp, whose `--merge` makes the same file.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TypeVar

from ayllu.errors import BadRequestError, GGUFError
from ayllu.gguf import arch
from ayllu.gguf.cache import cached_header
from ayllu.gguf.read import Header
from ayllu.gguf.shards import MAX_SHARDS
from ayllu.gguf.write import tensor_of, values_of, write_gguf

NUMBER, TENSORS = "split.no", "split.tensors.count"

Name = TypeVar("Name")


def ordered(files: Mapping[Name, Header]) -> tuple[Name, ...]:
    """The files of one model in their order, by whatever names the caller has for them.

    Raises BadRequestError where they are not all of it, or not of one model.
    """
    counts = {arch.split_count(header) for header in files.values()}
    totals = {_number(header, TENSORS) for header in files.values()}
    if len(counts) > 1 or len(totals) > 1:
        raise BadRequestError("the files are parts of different models: give those of one")
    (count,), (total,) = counts, totals
    if not 1 < count <= MAX_SHARDS:
        raise GGUFError(f"the files say that they are {count} parts; 2 to {MAX_SHARDS} are allowed")
    places: dict[int, Name] = {}
    for name, header in files.items():
        number = _number(header, NUMBER)
        if number >= count:
            raise GGUFError(f"{name} says that it is part {number + 1} of {count}")
        if number in places:
            raise BadRequestError(f"{places[number]} and {name} are the same part of the model")
        places[number] = name
    if missing := [number for number in range(count) if number not in places]:
        numbers = ", ".join(str(number + 1) for number in missing[:8])
        more = " and more" if len(missing) > 8 else ""
        raise BadRequestError(
            f"the model has {count} parts, and these are missing: {numbers}{more}; give all files"
        )
    names = tuple(places[number] for number in range(count))
    _check_tensors({name: files[name] for name in names}, total)
    return names


async def merge(sources: Sequence[Path], target: Path) -> AsyncGenerator[int]:
    """Write the model that some files are the parts of; yields how many bytes there are by now.

    `target` has to exist and is written from its beginning; its size will be about that of all
    sources. Raises BadRequestError and GGUFError for files that are not one model, OSError when
    the target cannot be written.
    """
    headers = {path: await asyncio.to_thread(cached_header, path) for path in sources}
    paths = ordered(headers)
    first = headers[paths[0]]
    keys = {key: value for key, value in values_of(first).items() if not key.startswith("split.")}
    tensors = [
        tensor_of(path, headers[path], tensor) for path in paths for tensor in headers[path].tensors
    ]
    async with aclosing(write_gguf(target, keys, tensors, alignment=first.alignment)) as steps:
        async for done in steps:
            yield done


def _check_tensors(files: Mapping[Name, Header], total: int) -> None:
    """Each tensor is in one file, and they are as many as the files say."""
    owners: dict[str, Name] = {}
    for file, header in files.items():
        for tensor in header.tensors:
            if tensor.name in owners:
                raise BadRequestError(
                    f"{owners[tensor.name]} and {file} both hold the tensor {tensor.name}: they "
                    "are not parts of one model"
                )
            owners[tensor.name] = file
    if len(owners) != total:
        raise BadRequestError(
            f"the parts hold {len(owners)} tensors, and the model has {total}: they are not parts "
            "of one model"
        )


def _number(header: Header, key: str) -> int:
    value = header.kvs.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise GGUFError(f"the GGUF has a {key} that is not a whole number")
    return value
