"""The set-up: its choice of an engine for a processor, and what its locks hold."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SETUP = runpy.run_path(str(ROOT / "tools" / "setup.py"))
GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
LOCKS = {"dev": ROOT / "requirements.lock", "torch": ROOT / "torch.lock"} | {
    path.stem: path for path in (ROOT / "tests" / "clients").glob("*.lock")
}
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


@pytest.mark.parametrize("group", GROUPS)
def test_a_lock_holds_what_its_group_wants_and_hashes_of_it(group: str) -> None:
    lock = LOCKS[group].read_text("utf-8")
    locked = dict(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", lock))
    for wanted in GROUPS[group]:
        name, relation, version = re.findall(r"([a-z-]+)[^=>]*?([=>]=)([\d.]+)", wanted)[0]
        assert name in locked
        assert relation == ">=" or locked[name] == version
    entries = re.split(r"(?m)^(?=[a-z])", lock)
    assert [entry for entry in entries if entry and "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("path", [*LOCKS.values(), *ROOT.glob("tests/clients/*/package-lock.json")])
def test_no_lock_names_a_registry(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "://" not in text
    assert '"resolved"' not in text
