"""Parquet becomes JSON Lines, in a child that runs in the Python that has pyarrow."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ayllu.gguf.tool import child_failure, running
from ayllu.torch_python import find_torch_python

_CHILD = Path(__file__).with_name("parquet_child.py")
_EXTRA = "tune"


async def unpack_parquet(named: str, source: Path, target: Path, name: str) -> None:
    """Write a Parquet file's rows to `target`. `named` is the setting `torch_python`.

    Raises BadRequestError for a damaged file, UnsupportedError where there is no pyarrow, OSError
    where the disk is the reason.
    """
    python = find_torch_python(named, _EXTRA)
    async with running(python, ["-P", str(_CHILD), str(source), str(target)]) as child:
        if code := await child.wait():
            raise await asyncio.to_thread(
                child_failure,
                code,
                child.log,
                python=python,
                target=target,
                doing=f"reading {name}",
                refusal=f"{name} cannot be read",
                extra=_EXTRA,
            )
