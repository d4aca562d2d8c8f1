"""Which numbers this machine computes with the soonest. Needs no PyTorch."""

from __future__ import annotations

from functools import cache
from pathlib import Path

BFLOAT16_WIDTH = 1024
"""From this width of a model on a CPU with AMX is quicker with bfloat16: measured (one thread) 1.7
times as quick at 1,024, 0.8 times at 512 and 0.4 times at 256."""

_FLAGS = frozenset({"amx_bf16", "avx512_bf16", "bf16"})
"""What /proc/cpuinfo calls products of bfloat16; the last is ARM's."""


def prefers_bfloat16(width: int) -> bool:
    """Whether this CPU is quicker with bfloat16 for a model of so many numbers per token."""
    return width >= BFLOAT16_WIDTH and bool(_cpu_flags() & _FLAGS)


@cache
def _cpu_flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return frozenset(flags.partition(":")[2].split())
