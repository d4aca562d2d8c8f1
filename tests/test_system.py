from __future__ import annotations

import math
import os
import shutil
import socket
import sys
from pathlib import Path

import psutil
import pytest

from ayllu import system
from ayllu.system import (
    cpu_quota,
    free_disk,
    instruction_sets,
    largest_cache,
    memory,
    port_owner,
    processor,
    usable_cores,
    usable_cpus,
    usable_threads,
)

MIB = 1 << 20


@pytest.mark.parametrize(
    "names",
    [
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ],
)
def test_a_containers_limit_counts_instead_of_the_machines(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    for name, value in zip(names, (64 * MIB, 16 * MIB), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    found = memory(tmp_path)
    assert (found.total, found.available) == (64 * MIB, 48 * MIB)
    statistics = (tmp_path / names[0]).with_name("memory.stat")
    statistics.write_text(f"anon 1\ninactive_file {8 * MIB}\ntotal_inactive_file {8 * MIB}\n")
    assert memory(tmp_path).available == 56 * MIB


def test_without_a_limit_the_machines_memory_counts(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1\n")
    assert memory(tmp_path).total == psutil.virtual_memory().total


def test_the_limits_of_a_cgroup_and_of_those_above_it_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service with limits sees the whole tree, unlike a container."""
    own = tmp_path / "own"
    own.write_text("5:cpu,cpuacct:/one/two\n0::/slice/service\n")
    monkeypatch.setattr(system, "_OWN_CGROUPS", own)
    tree = tmp_path / "tree"
    for place, limit in (("slice", 64 * MIB), ("slice/service", 128 * MIB), ("other", MIB)):
        (tree / place).mkdir(parents=True)
        (tree / place / "memory.max").write_text(f"{limit}\n")
        (tree / place / "memory.current").write_text(f"{MIB}\n")
    assert (memory(tree).total, memory(tree).available) == (64 * MIB, 63 * MIB)
    assert cpu_quota(tree) == math.inf
    (tree / "slice" / "cpu.max").write_text("150000 100000\n")
    (tree / "slice" / "service" / "cpu.max").write_text("max 100000\n")
    assert cpu_quota(tree) == 1.5
    assert usable_threads(tree) == min(2, len(usable_cpus()))
    (tree / "cpu" / "one" / "two").mkdir(parents=True)
    (tree / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (tree / "cpu" / "one" / "cpu.cfs_quota_us").write_text("50000\n")
    for place in ("cpu", "cpu/one"):
        (tree / place / "cpu.cfs_period_us").write_text("100000\n")
    assert cpu_quota(tree) == 0.5
    assert usable_threads(tree) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems pin no process")
def test_only_processors_that_this_process_may_use_count() -> None:
    before = os.sched_getaffinity(0)
    assert set(usable_cpus()) == before
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cpus() == (min(before),)
        assert (usable_threads(), usable_cores()) == (1, 1)
    finally:
        os.sched_setaffinity(0, before)


def test_cores_and_caches_that_processors_share_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two cores with two threads each, a cache of the third level for both."""
    monkeypatch.setattr(system, "usable_cpus", lambda: (0, 1, 2, 3))
    for cpu in range(4):
        topology, cache = (tmp_path / f"cpu{cpu}" / name for name in ("topology", "cache"))
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{cpu % 2},{cpu % 2 + 2}\n")
        for index, (level, size, shared) in enumerate(
            ((1, "32K", f"{cpu % 2}"), (2, "2048K", f"{cpu % 2}"), (3, "8192K", "0-3"))
        ):
            (cache / f"index{index}").mkdir(parents=True)
            (cache / f"index{index}" / "level").write_text(f"{level}\n")
            (cache / f"index{index}" / "size").write_text(f"{size}\n")
            (cache / f"index{index}" / "shared_cpu_list").write_text(f"{shared}\n")
    assert usable_cores(tmp_path) == 2
    assert largest_cache(tmp_path) == 8 * MIB
    for cpu in range(4):
        shutil.rmtree(tmp_path / f"cpu{cpu}" / "cache" / "index2")
    assert largest_cache(tmp_path) == 4 * MIB


def test_a_system_that_tells_nothing_of_its_processors_has_some_all_the_same(
    tmp_path: Path,
) -> None:
    assert 1 <= usable_cores(tmp_path) <= len(usable_cpus())
    assert largest_cache(tmp_path) == 0


def test_instruction_sets_are_those_that_matter_to_the_engine() -> None:
    assert instruction_sets("fpu sse2 avx avx512f md_clear amx_tile") == (
        "avx",
        "avx512f",
        "amx_tile",
    )
    assert instruction_sets("fp asimd evtstrm asimddp i8mm sve") == (
        "neon",
        "asimddp",
        "i8mm",
        "sve",
    )


def test_a_folder_that_is_still_to_be_made_has_the_free_space_of_its_disk(tmp_path: Path) -> None:
    missing = tmp_path / "a" / "b"
    assert abs(free_disk(missing) - shutil.disk_usage(tmp_path).free) < 1 << 30


def test_the_holder_of_a_port_is_named() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert str(psutil.Process().pid) in port_owner(port)
    assert port_owner(port) == ""


def test_the_processor_has_a_name() -> None:
    assert processor()
