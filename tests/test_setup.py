"""The set-up's choice of an engine for a processor."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SETUP = runpy.run_path(str(Path(__file__).parent.parent / "tools" / "setup.py"))
X86 = ["flags", ":", "fpu", "sse2", "avx2", "amx_tile", "hypervisor"]
ARM = ["Features", ":", "asimd", "sha1", "sha2", "sve"]


@pytest.mark.parametrize(
    ("words", "others", "same"),
    [
        (X86, [*X86, "nonstop_tsc"], True),
        (X86, X86[::-1], True),
        (X86, [*X86, "avx512f"], False),
        (ARM, [*ARM, "i8mm"], False),
        (ARM, ARM[:-1], False),
        (["Apple M1"], ["Apple M2"], False),
    ],
)
def test_an_engine_serves_processors_with_the_same_instructions(
    words: list[str], others: list[str], same: bool
) -> None:
    key = SETUP["cpu_key"]
    assert (key(words) == key(others)) is same


def test_the_compiler_is_held_back_where_there_are_tiles() -> None:
    flags = SETUP["compiler_flags"]
    assert flags(X86) == {"CMAKE_CXX_FLAGS": "-fno-dse -fno-tree-dse"}
    assert flags(ARM) == flags([]) == {}


def test_this_machines_engine_is_named_in_twelve_digits() -> None:
    key = SETUP["cpu_key"](SETUP["cpu_words"]())
    assert len(key) == 12
    assert int(key, 16) >= 0
