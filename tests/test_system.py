from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest

from ayllu.system import memory, port_owner, processor

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


def test_the_holder_of_a_port_is_named() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert str(psutil.Process().pid) in port_owner(port)
    assert port_owner(port) == ""


def test_the_processor_has_a_name() -> None:
    assert processor()
