"""Measuring: a real child, what is kept of it, and children that fail."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import structlog

from ayllu.cluster import measure
from ayllu.cluster.hardware import hardware
from ayllu.cluster.measure import Measured, fingerprint, kept_speed, measured_speed
from ayllu.cluster.record import Hardware, Speed

HARDWARE = hardware(())


def speed_of(
    folder: Path, *, of: Hardware = HARDWARE, again: bool = False
) -> tuple[Speed | None, list[str]]:
    """What is measured or kept, and what is logged meanwhile."""
    with structlog.testing.capture_logs() as logs:
        file, models = folder / "cluster" / "measured.json", folder / "models"
        found = None if again else kept_speed(file, of, models)
        if found is None:
            measurement = asyncio.run(measured_speed(file, of, models))
            found = measurement.speed if measurement is not None else None
    return found, [" ".join(map(str, (log["event"], log.get("reason", "")))) for log in logs]


def child_that(monkeypatch: pytest.MonkeyPatch, folder: Path, program: str) -> None:
    """Another child in the place of ours."""
    path = folder / "child.py"
    path.write_text(program)
    monkeypatch.setattr(measure, "_CHILD", path)


def test_a_machine_is_measured_once_and_again_when_asked_or_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child_that(monkeypatch, tmp_path, "print('@speed 1 2 3 0.9')")
    first, logs = speed_of(tmp_path)
    assert first is not None
    assert logs == ["this machine was measured "]
    assert speed_of(tmp_path) == (first, [])
    other = msgspec.structs.replace(HARDWARE, cpu="another")
    changed, _ = speed_of(tmp_path, of=other)
    assert changed is not None
    assert changed.measured_at > first.measured_at
    again, _ = speed_of(tmp_path, of=other, again=True)
    assert again is not None
    assert again.measured_at > changed.measured_at


def test_the_child_measures_this_machine_and_leaves_nothing(tmp_path: Path) -> None:
    found, _ = speed_of(tmp_path)
    assert found is not None
    assert 0.0001 < found.tflops < 1000
    assert 0.1 < found.memory_gbs < 10_000
    assert found.disk_mbs > 0 or sys.platform != "linux"
    assert [path.name for path in tmp_path.iterdir()] in ([], ["cluster"])


@pytest.mark.parametrize("damage", [b"", b"{", b'{"of": 1}', b"\xff" * 100, b"[" * 100_000])
def test_a_damaged_file_is_as_good_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    child_that(monkeypatch, tmp_path, "print('@speed 1 2 3 0.9')")
    file = tmp_path / "cluster" / "measured.json"
    file.parent.mkdir()
    file.write_bytes(damage)
    found, _ = speed_of(tmp_path)
    assert found is not None
    assert (found.tflops, found.memory_gbs, found.disk_mbs) == (1, 2, 3)
    kept = msgspec.json.decode(file.read_bytes(), type=Measured)
    assert kept == Measured(fingerprint(HARDWARE, tmp_path / "models"), found)


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os; os.kill(os.getpid(), 9)", "memory ran out"),
        ("import os; os.abort()", "crashed (signal 6)"),
        ("raise ImportError('no numpy')", "ended with code 1: ImportError: no numpy"),
        ("pass", "ended with code 0: it said nothing"),
        ("print('@speed 1 2 3')", "ended with code 0"),
        ("print('@speed nan inf -1 1')", "ended with code 0"),
        ("print('@speed a b c d')", "ended with code 0"),
        ("import time; print('@speed 1 2 3 0.9', flush=True); time.sleep(60)", "took too long"),
    ],
)
def test_a_child_that_fails_leaves_the_machine_unmeasured_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, words: str
) -> None:
    child_that(monkeypatch, tmp_path, program)
    monkeypatch.setattr(measure, "LIMIT_SECONDS", 2.0)
    found, logs = speed_of(tmp_path)
    assert found is None
    assert len(logs) == 1
    assert words in logs[0]
    assert not (tmp_path / "cluster").exists()


@pytest.mark.parametrize(
    ("ran", "quota", "disturbed"),
    [
        (1.0, None, False),
        (0.8, None, False),
        (0.5, None, True),
        (0.25, 0.5, False),
        (0.1, 0.5, True),
    ],
)
def test_what_was_disturbed_is_told_and_not_kept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ran: float,
    quota: float | None,
    disturbed: bool,
) -> None:
    """A quota of half a processor for two threads lets them run a quarter of their time."""
    child_that(monkeypatch, tmp_path, f"print('@speed 1 2 3 {ran}')")
    monkeypatch.setattr(measure, "cpu_quota", lambda: quota or math.inf)
    file, two = tmp_path / "measured.json", msgspec.structs.replace(HARDWARE, threads=2)
    found = asyncio.run(measured_speed(file, two, tmp_path))
    assert found is not None
    assert found.disturbed is disturbed
    assert (kept_speed(file, two, tmp_path) is None) is disturbed


def test_a_folder_that_cannot_be_written_costs_only_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child_that(monkeypatch, tmp_path, "print('@speed 1 2 3 0.9')")
    (tmp_path / "cluster").write_text("a file where the folder should be")
    found, logs = speed_of(tmp_path)
    assert found is not None
    assert "cannot be kept" in logs[-1]


def test_the_server_does_not_grow_by_numpy() -> None:
    code = "import sys, ayllu.server.app; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
