"""Jobs of fine-tuning through the API: a real server, whose trainer is a small program."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from reranker_maker import make_reranker
from serving import Serving, launch, serving, wait_until
from small_disk import mounted
from tune_trainer import CHECKPOINT_EVERY, STEPS, write_program
from tuning import (
    CLUSTER,
    OVER,
    ROWS,
    begin,
    lines,
    order,
    post,
    shown,
    training,
    tuning,
    wait_for,
    wait_for_step,
)


@pytest.fixture(scope="module")
def tuner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server whose trainer does what it should."""
    with tuning(tmp_path_factory.mktemp("home")) as server:
        yield server


def events(server: Serving, job: str, last: str = "") -> list[dict[str, str]]:
    """The events of a job to its end, as their fields."""
    headers = {"Last-Event-ID": last} if last else {}
    body = server.get(f"/api/tune/{job}/events", headers=headers).body.decode()
    blocks = (block for block in body.split("\n\n") if block and not block.startswith(":"))
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


def begun(server: Serving) -> tuple[set[str], set[str]]:
    """The jobs that are listed, and those that have a folder."""
    listed = {job["id"] for job in server.get("/api/tune").json["jobs"]}
    return listed, {path.name for path in (server.home / "tune").glob("[!.]*")}


def test_a_preview_begins_nothing(tuner: Serving) -> None:
    before = begun(tuner)
    preview = tuner.post("/api/tune", order(tuner, preview=True)).json["preview"]
    assert preview["name"] == "mini-tuned:latest"
    assert preview["examples"]["rows"] == len(ROWS)
    parts = [part for sample in preview["examples"]["samples"] for part in sample["segments"]]
    learned = "".join(part["text"] for part in parts if part["trained"])
    assert "It is" in learned
    assert "What is" not in learned
    assert preview["measured"]["peak"] == 1 << 20
    assert preview["estimated_seconds"] > 0
    assert preview["problem"] == ""
    assert begun(tuner) == before


def test_a_job_trains_reports_and_is_cancelled_and_resumed_and_removed(tuner: Serving) -> None:
    job = begin(tuner, name="sums")
    wait_for_step(tuner, job, CHECKPOINT_EVERY + 2)
    row = tuner.get("/api/tune").json["jobs"][0]
    assert (row["id"], row["name"], row["state"]) == (job, "sums:latest", "training")
    assert row["tokens_per_second"] > 0
    assert row["seconds_left"] > 0
    assert row["validation_loss"] == 5.0 / (row["step"] // CHECKPOINT_EVERY * CHECKPOINT_EVERY)

    assert post(tuner, job, "cancel").json["state"] == "cancelled"
    assert training(tuner, job) is None
    kept = shown(tuner, job)["step"]
    assert kept < STEPS
    again = post(tuner, job, "cancel")
    assert (again.status, again.json["error"]) == (
        400,
        f"job {job} is cancelled: there is nothing to cancel",
    )

    assert post(tuner, job, "resume").json["state"] == "waiting"
    wait_for_step(tuner, job, kept + 1)
    found = shown(tuner, job)
    assert [step for step, _ in found["curves"]["loss"]] == list(range(1, found["step"] + 1))
    assert tuner.request("DELETE", f"/api/tune/{job}").json == {"id": job}
    assert training(tuner, job) is None
    assert not (tuner.home / "tune" / job).exists()
    gone = tuner.get(f"/api/tune/{job}")
    assert gone.status == 404
    assert job in gone.json["error"]


def test_events_go_on_where_they_were_left_and_curves_are_drawn(tuner: Serving) -> None:
    job = begin(tuner)
    wait_for_step(tuner, job, 5)
    post(tuner, job, "cancel")
    found = events(tuner, job)
    assert found[-1]["event"] == "job"
    assert json.loads(found[-1]["data"])["job"]["state"] == "cancelled"
    steps = [json.loads(one["data"])["report"]["step"] for one in found if one["event"] == "step"]
    assert steps == list(range(1, len(steps) + 1))
    rest = [one["id"] for one in events(tuner, job, "3") if one["event"] == "step"]
    assert rest == [str(number) for number in range(4, len(steps) + 1)]
    wrong = tuner.get(f"/api/tune/{job}/events", headers={"Last-Event-ID": "x"})
    assert wrong.status == 400
    drawn = tuner.get(f"/api/tune/{job}/curves.svg")
    assert drawn.headers["content-type"].startswith("image/svg+xml")
    assert b">loss (nats per token)</text>" in drawn.body
    curves = 1 + (len(steps) >= CHECKPOINT_EVERY)  # of the validation, too, once there is one
    assert drawn.body.count(b"<polyline") == curves


def test_one_job_trains_and_the_next_waits(tuner: Serving) -> None:
    first = begin(tuner)
    wait_for(tuner, first, "training")  # of two that are prepared, the one that is done first
    second = begin(tuner)
    names = [shown(tuner, job)["name"] for job in (first, second)]
    assert names == ["mini-tuned:latest", "mini-tuned-2:latest"]
    wait_for(tuner, second, "waiting")
    assert training(tuner, second) is None
    post(tuner, first, "cancel")
    wait_for(tuner, second, "training")
    post(tuner, second, "cancel")


def test_training_goes_on_while_the_server_is_killed(tmp_path: Path) -> None:
    trainer = str(write_program(tmp_path))
    killed = launch(tmp_path, AYLLU_TORCH_PYTHON=trainer, **CLUSTER)
    job = begin(killed)
    wait_for_step(killed, job, 3)
    before = training(killed, job)
    assert before is not None
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait()
    assert before.is_running()
    with tuning(tmp_path) as server:
        assert shown(server, job)["state"] == "training"
        assert training(server, job) == before
        wait_for_step(server, job, shown(server, job)["step"] + 2)
        assert post(server, job, "cancel").json["state"] == "cancelled"
        assert training(server, job) is None


def test_a_job_that_was_being_prepared_when_the_server_ended_is_prepared_anew(
    tmp_path: Path,
) -> None:
    trainer = str(write_program(tmp_path))
    killed = launch(tmp_path, AYLLU_TORCH_PYTHON=trainer, **CLUSTER)
    job = begin(killed)
    assert shown(killed, job)["state"] == "preparing"
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait()
    begun = killed.home / "tune" / "0badf00d" / "data"
    begun.mkdir(parents=True)  # of a request that the server did not survive
    with tuning(tmp_path) as server:
        assert not begun.parent.exists()
        wait_for(server, job, "training")
        post(server, job, "cancel")


def test_a_training_that_is_killed_goes_on_from_its_checkpoint(tuner: Serving) -> None:
    job = begin(tuner)
    wait_for_step(tuner, job, CHECKPOINT_EVERY + 3)
    process = training(tuner, job)
    assert process is not None
    process.kill()
    wait_until(lambda: training(tuner, job) not in {None, process}, what="a new start")
    wait_for_step(tuner, job, 2 * CHECKPOINT_EVERY)
    raw = (tuner.home / "tune" / job / "progress.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in raw]
    again = next(later for earlier, later in pairwise(steps) if later <= earlier)
    assert again in {CHECKPOINT_EVERY + 1, 2 * CHECKPOINT_EVERY + 1}  # the kill may come late
    assert steps.count(again - 1) == 1
    assert steps.count(again) == 2
    post(tuner, job, "cancel")


def test_a_training_that_dies_again_and_again_fails_with_a_sentence(tmp_path: Path) -> None:
    with tuning(tmp_path, "dies") as server:
        job = begin(server)
        error = wait_for(server, job, "failed")["error"]
        assert error == (
            "the training ended 3 times without a word, most likely because memory ran out; the "
            "last line of its log: on the brink"
        )
        assert training(server, job) is None


def test_what_the_trainer_says_is_the_jobs_error_and_it_can_be_resumed(tmp_path: Path) -> None:
    with tuning(tmp_path, "full") as server:
        job = begin(server)
        assert wait_for(server, job, "failed")["error"] == "the disk is full"
        assert not shown(server, job)["files"]
    with tuning(tmp_path) as server:
        assert shown(server, job)["state"] == "failed"
        post(server, job, "resume")
        wait_for_step(server, job, CHECKPOINT_EVERY + 6)
        post(server, job, "cancel")


def test_a_full_disk_ends_a_job_that_goes_on_once_there_is_room(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=8m") as disk, tuning(disk / "home") as server:
        job = begin(server)
        wait_for_step(server, job, CHECKPOINT_EVERY)
        ballast = disk / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        assert "No space left on device" in wait_for(server, job, "failed")["error"]
        assert "No space left on device" in post(server, job, "resume").json["error"]
        assert shown(server, job)["state"] == "failed"
        ballast.unlink()
        assert post(server, job, "resume").status == 200
        wait_for_step(server, job, shown(server, job)["step"] + 1)
        post(server, job, "cancel")


def test_a_job_that_would_not_fit_is_refused_with_both_figures(tmp_path: Path) -> None:
    with tuning(tmp_path, "huge") as server:
        job = begin(server)
        error = wait_for(server, job, "failed")["error"]
        assert "takes 1125 TB of memory as was measured" in error
        assert "are free" in error
        preview = server.post("/api/tune", order(server, preview=True)).json["preview"]
        assert preview["problem"].startswith("this training takes 1125 TB")


def test_the_data_stays_though_the_store_lets_it_go(tmp_path: Path) -> None:
    with tuning(tmp_path) as server:
        job = begin(server)
        digest = next(iter(shown(server, job)["data"].values()))
        kept = server.home / "tune" / job / "data" / "rows.jsonl"
        blob = server.home / "models" / "blobs" / digest.replace(":", "-")
        assert kept.samefile(blob)
        blob.unlink()
        wait_for(server, job, "training")
        assert kept.read_bytes() == lines(ROWS)
        post(server, job, "cancel")


def test_a_base_that_is_removed_meanwhile_is_asked_for_at_the_end(tmp_path: Path) -> None:
    with tuning(tmp_path) as server:
        server.make("other", **{"from": "mini", "system": "Be brief."})
        job = begin(server, model="other", steps=40)
        wait_for(server, job, "training")
        assert server.request("DELETE", "/api/delete", {"model": "other"}).status == 200
        error = wait_for(server, job, "failed")["error"]
        assert error == (
            "other was removed while it was trained: get it back, and then "
            f"`ayllu tune resume {job}` makes other-tuned:latest of it"
        )
        server.make("other", **{"from": "mini", "system": "Be brief."})
        post(server, job, "resume")
        again = wait_for(server, job, "failed")["error"]
        assert again == "the training left no result: train again"
        assert shown(server, job)["step"] == 40


def test_a_second_server_of_the_same_home_begins_nothing(tuner: Serving, tmp_path: Path) -> None:
    tuner.post("/api/tune", order(tuner, preview=True))
    with serving(tmp_path, AYLLU_HOME=str(tuner.home), **CLUSTER) as other:
        answer = other.post("/api/tune", order(other))
        assert answer.status == 503
        assert "another server trains in" in answer.json["error"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"model": ""}, 400, "model is required"),
        ({"model": "nobody"}, 404, "model 'nobody' not found"),
        ({"data": {}}, 400, "data is required"),
        ({"data": {"../x": "sha256:" + "0" * 64}}, 400, "'../x' is no relative path"),
        ({"data": {"/x": "sha256:" + "0" * 64}}, 400, "'/x' is no relative path"),
        ({"data": {"x": "sha256:" + "0" * 64}}, 404, "upload it first"),
        ({"data": {"x": "nothing"}}, 400, "invalid digest format"),
        ({"name": "a b"}, 400, "invalid model name"),
        ({"name": "mini"}, 400, "there is a model mini:latest already: give another name"),
        ({"method": "full", "dora": True}, 400, "dora and rslora are of adapters"),
        ({"context": 5000}, 400, "longer than the 1024 that the model was made for"),
        ({"quantize": "q4_k_m"}, 400, "an adapter is not quantized"),
        ({"quantize": "q99", "merge": True}, 400, "unsupported quantization type Q99"),
        ({"rank": 0}, 400, "`$.rank`"),
        ({"method": "magic"}, 400, "`$.method`"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_at_once(
    tuner: Serving, body: dict[str, Any], status: int, words: str
) -> None:
    answer = tuner.post("/api/tune", order(tuner) | body)
    assert answer.status == status, answer.body
    assert words in answer.json["error"]
    assert all(job["state"] in OVER for job in tuner.get("/api/tune").json["jobs"])


def test_two_jobs_make_no_model_of_one_name(tuner: Serving) -> None:
    job = begin(tuner, name="twin")
    for body in ({}, {"preview": True}):
        answer = tuner.post("/api/tune", order(tuner, name="twin:latest") | body)
        assert answer.status == 400
        assert answer.json["error"] == "another job makes twin:latest: give another name"
    post(tuner, job, "cancel")
    other = begin(tuner, name="twin")
    answer = post(tuner, job, "resume")
    assert answer.json["error"] == "another job makes twin:latest: give another name"
    post(tuner, other, "cancel")


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\xff\xfe\x00x" * 9, lines([{"messages": []}]), lines([{"what": 1}])]
)
def test_data_that_nothing_can_be_learned_from_begins_no_job(tuner: Serving, data: bytes) -> None:
    before = len(tuner.get("/api/tune").json["jobs"])
    digest = tuner.upload(data)
    answer = tuner.post("/api/tune", {"model": "mini", "data": {"rows.jsonl": digest}})
    assert answer.status == 400, answer.body
    assert answer.json["error"]
    assert len(tuner.get("/api/tune").json["jobs"]) == before


def test_a_base_that_cannot_be_trained_is_refused_with_those_that_can(
    tuner: Serving, tmp_path: Path
) -> None:
    tuner.create("other", make_reranker(tmp_path / "other.gguf"))
    answer = tuner.post("/api/tune", order(tuner) | {"model": "other"})
    assert answer.status == 400
    assert "cannot be trained" in answer.json["error"]
    assert "llama" in answer.json["error"]


@pytest.mark.parametrize("kind", ["bare", "none", "other"])
def test_without_pytorch_the_one_command_is_told(tmp_path: Path, kind: str) -> None:
    pythons = {"bare": write_program(tmp_path), "none": tmp_path / "nothing"}
    python = str(pythons.get(kind) or shutil.which("true"))
    with serving(tmp_path, AYLLU_TORCH_PYTHON=python, TRAINER=kind, **CLUSTER) as server:
        answer = server.post("/api/tune", order(server))
        assert answer.status == 501
        if kind == "bare":
            assert answer.json["error"].endswith(
                "has no peft: `pip install 'ayllu[tune]'`, in a checkout `make extras`, or set "
                "AYLLU_TORCH_PYTHON"
            )
        assert server.get("/api/tune").json["jobs"] == []
