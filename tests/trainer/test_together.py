"""Trainings that real helpers compute parts of: they learn what one machine alone learns."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training import CHILD, KEYS, SECONDS, helping, make_job, reports, rows_of, run, start

from ayllu.trainer.files import write_json
from ayllu.trainer.spec import HELPERS, KEY, LISTENING, LOG, PARALLEL, RESULT, Helper, Helpers

ROWS, HELD = rows_of(40), rows_of(6, seed=2)


def job(folder: Path, model: Path, **values: Any) -> Path:
    """Twenty-five steps of sixteen examples."""
    usual: dict[str, Any] = {"held": HELD, "epochs": 10, "accumulate": 4, "noise": 0.2}
    return make_job(folder, model, ROWS, **usual | values)


def weights(folder: Path) -> Any:
    """All numbers of what came of a job."""
    data = (folder / RESULT / "adapter_model.safetensors").read_bytes()
    return np.frombuffer(data[8 + int.from_bytes(data[:8], "little") :], np.float32)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, torch_python: Path, mini_gguf: Path) -> Path:
    """What one machine learns."""
    folder = job(tmp_path_factory.mktemp("alone") / "job", mini_gguf)
    ended = run(torch_python, folder)
    assert ended is not None, (folder / LOG).read_text()
    return folder


def test_with_helpers_it_learns_the_same_also_where_one_is_killed(
    alone: Path, tmp_path: Path, torch_python: Path, mini_gguf: Path
) -> None:
    folder = job(tmp_path / "job", mini_gguf)
    left, right = (job(tmp_path / name, mini_gguf) for name in ("left", "right"))
    other = job(tmp_path / "other", mini_gguf, rank=8)
    with (
        helping(torch_python, left) as (killed, first),
        helping(torch_python, right) as (_, second),
        helping(torch_python, other) as (_, third),
        ExitStack() as stack,
    ):
        ports = {"left": first, "right": second, "other": third}
        helpers = [Helper(name, port, KEYS) for name, port in ports.items()]
        thief = Helper("thief", third, KEYS[::-1])
        write_json(folder / HELPERS, Helpers((thief, *helpers)))
        process = start(torch_python, folder)
        stack.callback(process.kill)
        while not (folder / PARALLEL).exists() and process.poll() is None:
            time.sleep(0.01)
        killed.kill()
        assert process.wait(SECONDS) == 0
    log = (folder / LOG).read_text()
    assert "thief cannot help: it is somebody else's helper" in log
    assert "other cannot help: it would train other weights" in log
    assert "left is lost: " in log
    assert "right is lost" not in log
    losses, others = reports(alone), reports(folder)
    assert len(others) == len(losses) == 25
    for step, report in others.items():
        assert report.loss == pytest.approx(losses[step].loss, abs=1e-5)
        assert report.tokens == losses[step].tokens
    assert weights(folder) == pytest.approx(weights(alone), abs=1e-4)


def test_what_cannot_be_trained_is_said_and_nothing_listens(
    tmp_path: Path, torch_python: Path, mini_gguf: Path
) -> None:
    folder = job(tmp_path / "job", mini_gguf, targets=("nothing",))
    (folder / KEY).write_text(KEYS)
    command = [str(torch_python), "-P", str(CHILD), str(folder), "--assist"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ran.returncode == 1
    assert LISTENING not in ran.stdout
    assert "nothing" in ran.stdout
