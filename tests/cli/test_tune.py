"""`ayllu tune` on a real server, whose trainer is a small program."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Serving
from tune_trainer import CHECKPOINT_EVERY
from tuning import ROWS, begin, lines, post, shown, tuning, wait_for, wait_for_step

from ayllu.trainer.spec import PARALLEL, Parallel
from ayllu.tune.job import Folder


@pytest.fixture(scope="module")
def tuner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with tuning(tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good rows, and one that is none."""
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    path.write_bytes(lines([*ROWS, {"prompt": "no answer"}]))
    return path


def test_a_preview_marks_what_is_learned_and_names_bad_rows(tuner: Serving, data: Path) -> None:
    before = tuner.get("/api/tune").json["jobs"]
    ran = tuner.ayllu("tune", "mini", "--data", str(data), "--preview")
    assert ran.status == 0, ran.stderr
    learned = "".join(re.findall(r"⟦(.*?)⟧", ran.stdout, re.DOTALL))
    assert "It is" in learned
    assert "What is" not in learned
    assert f"rows.jsonl, line {len(ROWS) + 1}:" in ran.stdout
    assert "Nothing was begun." in ran.stdout
    assert "noise" not in ran.stdout
    noisy = tuner.ayllu("tune", "mini", "--data", str(data), "--preview", "--noise", "0.25")
    assert "\nnoise        25% of the prompts' words are replaced" in noisy.stdout
    assert tuner.get("/api/tune").json["jobs"] == before


def test_strict_refuses_what_a_preview_leaves_out(tuner: Serving, data: Path) -> None:
    ran = tuner.ayllu("tune", "mini", "--data", str(data), "--strict")
    assert ran.status == 1
    assert ran.stderr.splitlines()[-1].startswith("Error: ")
    assert str(len(ROWS) + 1) in ran.stderr


def test_a_job_is_begun_listed_shown_cancelled_and_removed(tuner: Serving, data: Path) -> None:
    options = ("--name", "sums", "--rank", "4", "--targets", "q_proj, v_proj", "--no-packing")
    long = ("--steps", "1000", "--detach")  # it trains until it is cancelled
    begun = tuner.ayllu("tune", "mini", "--data", str(data.parent), *options, *long)
    job = begun.stdout.strip()
    settings = shown(tuner, job)["settings"]
    assert (settings["rank"], settings["targets"]) == (4, ["q_proj", "v_proj"])
    assert settings["packing"] is False
    wait_for_step(tuner, job, CHECKPOINT_EVERY)
    for command in ("ps", "doctor"):
        ran = tuner.ayllu(command)
        words = rf"sums:latest is tuned from mini: training, step \d+ of 1000, .* \(`.* {job}`\)\n"
        assert re.search(words, ran.stdout + ran.stderr)
    listed = tuner.ayllu("tune", "list").stdout
    assert "NODE" not in listed
    assert re.search(rf"(?m)^{job} +sums:latest +mini +training +\d+/1000 ", listed)
    told = tuner.ayllu("tune", "show", job).stdout
    assert re.search(r"(?m)^state +training$", told)
    assert "loss in nats per token" in told
    assert tuner.ayllu("tune", "export", job, str(data.parent / "out")).stderr == (
        f"Error: job {job} is training: it has no result yet\n"
    )
    assert "is cancelled: `ayllu tune resume" in tuner.ayllu("tune", "cancel", job).stdout
    assert "was cancelled" in tuner.ayllu("tune", "watch", job).stderr
    assert tuner.ayllu("tune", "resume", job, "--detach").stdout == f"{job} goes on.\n"
    assert tuner.ayllu("tune", "rm", job).stdout == f"removed {job}\n"
    assert "tuned" not in tuner.ayllu("ps").stderr
    gone = tuner.ayllu("tune", "show", job)
    assert gone.status == 1
    assert (
        gone.stderr == f"Error: there is no job '{job}': `ayllu tune list` shows those there are\n"
    )


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (Parallel(), ""),
        (Parallel(machines=("attic",), speedup=1.74), "2, 1.7 times as fast with attic"),
        (
            Parallel(machines=("attic", "desk"), speedup=2.5, aside={"old": 0.6}),
            "3, 2.5 times as fast with attic, desk; not worth it: old (0.6 times)",
        ),
        (
            Parallel(aside={"old": 0.6}),
            "1, for with another it would not be faster: old (0.6 times)",
        ),
    ],
)
def test_a_job_says_which_machines_compute_it(tuner: Serving, told: Parallel, said: str) -> None:
    job = begin(tuner, data_parallel=True)
    wait_for_step(tuner, job, 1)
    Folder(tuner.home / "tune" / job).put(PARALLEL, told)
    lines = tuner.ayllu("tune", "show", job).stdout.splitlines()
    found = [line.split(maxsplit=1)[1] for line in lines if line.startswith("machines ")]
    assert found == ([said] if said else [])
    post(tuner, job, "cancel")


def test_ctrl_c_leaves_the_job_running_and_says_how_to_come_back(tuner: Serving) -> None:
    job = begin(tuner)
    wait_for_step(tuner, job, 2)
    terminal, inner = pty.openpty()
    command = [sys.executable, "-m", "ayllu", "tune", "watch", job]
    with subprocess.Popen(
        command, env=tuner.environment, stdout=inner, stderr=inner, start_new_session=True
    ) as watching:
        os.close(inner)
        said = b""
        while b"tok/s" not in said:
            said += os.read(terminal, 4096)
        watching.send_signal(signal.SIGINT)
        with os.fdopen(terminal, "rb", buffering=0) as rest:
            try:
                while piece := rest.read(4096):
                    said += piece
            except OSError:  # Linux says so that the other end is closed
                pass
        assert watching.wait(30) == 130
    assert f"`ayllu tune watch {job}` comes back to it".encode() in said
    assert shown(tuner, job)["state"] == "training"
    post(tuner, job, "cancel")


def test_what_cannot_be_is_one_sentence(tuner: Serving, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    (tmp_path / "nothing").mkdir()
    for arguments, words in (
        (("mini", "--data", str(tmp_path / "none")), "there is no file"),
        (("mini", "--data", str(tmp_path / "nothing")), "has no files"),
        (("mini", "--data", str(empty)), "empty"),
        (("mini",), "Missing option"),
        ((str(tmp_path), "--data", str(empty)), "no Modelfile or safetensors files found"),
        (("mini", "--data", str(empty), "--rank", "0"), "'--rank'"),
        (("cancel", "nobody"), "there is no job 'nobody'"),
    ):
        ran = tuner.ayllu("tune", *arguments)
        assert ran.status == 1, arguments
        last = [line for line in ran.stderr.splitlines() if line.startswith("Error: ")]
        assert len(last) == 1, ran.stderr
        assert words in ran.stderr
        assert "Traceback" not in ran.stderr


def test_a_failed_job_says_why_and_how_to_go_on(tmp_path: Path, data: Path) -> None:
    with tuning(tmp_path, "full") as server:
        ran = server.ayllu("tune", "mini", "--data", str(data))
        assert ran.status == 1
        job = wait_for(server, server.get("/api/tune").json["jobs"][0]["id"], "failed")["id"]
        assert f"Error: the disk is full (`ayllu tune resume {job}` goes on" in ran.stderr
        assert "left out" in ran.stderr
