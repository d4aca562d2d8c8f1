"""Parquet becomes JSON Lines, in a child that runs in the Python that has pyarrow."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from ayllu.errors import AylluError, BadRequestError, UnsupportedError
from ayllu.gguf.tool import failure, probe_disk, running
from ayllu.torch_python import find_torch_python

REMEDY = "`pip install 'ayllu[tune]'`, in a checkout `make extras`, or set AYLLU_TORCH_PYTHON"

_CHILD = Path(__file__).with_name("parquet_child.py")
_NOTHING = re.compile(rb"(?!)")


async def unpack_parquet(named: str, source: Path, target: Path, name: str) -> None:
    """Write a Parquet file's rows to `target`. `named` is the setting `torch_python`.

    Raises BadRequestError for a damaged file, UnsupportedError where there is no pyarrow, OSError
    where the disk is the reason.
    """
    python = find_torch_python(named)
    async with running(python, ["-P", str(_CHILD), str(source), str(target)]) as child:
        async for _ in child.matches(_NOTHING):
            pass
        if code := await child.wait():
            raise await asyncio.to_thread(_failure, code, child.log, python, target, name)


def _failure(code: int, log: str, python: Path, target: Path, name: str) -> AylluError:
    if re.search(r"(?m)^@disk$", log):
        probe_disk(target)

    def refused(why: str) -> AylluError:
        return BadRequestError(f"{name} cannot be read: {why}")

    def missing(module: str) -> AylluError:
        return UnsupportedError(f"{name} is Parquet, and {python} has no {module}: {REMEDY}")

    reasons = ((r"(?m)^@refused (.+)$", refused), (r"(?m)^@missing (.+)$", missing))
    return failure(code, log, program=python, doing=f"reading {name}", reasons=reasons)
