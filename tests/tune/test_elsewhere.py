"""A fine-tuning that another machine of the ayllu does, by the real program."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from ayllu_servers import Machines, join, nodes
from serving import Serving, wait_until
from tune_trainer import write_program
from tuning import OVER, order, shown

LIST = "/api/tune"
SLOW = 180.0
"""Seconds that PyTorch may take on a machine that has other things to do."""


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, torch_python: Path
) -> Iterator[tuple[Serving, Serving]]:
    """Two machines, the first of which cannot train."""
    with ExitStack() as stack:
        machines = Machines(tmp_path_factory.mktemp("two"), stack)
        one = machines.start("one", AYLLU_TORCH_PYTHON=sys.executable)
        other = machines.start("other", AYLLU_TORCH_PYTHON=str(torch_python))
        one.post("/api/cluster/up", {})
        code = one.post("/api/cluster/invite", {}).json["code"]
        assert other.post("/api/cluster/join", {"code": code}).status == 200
        wait_until(lambda: len(nodes(one)) == len(nodes(other)) == 2, what="seeing each other")
        yield one, other


def test_a_job_goes_where_it_can_be_done_and_its_model_comes_back(
    pair: tuple[Serving, Serving],
) -> None:
    one, other = pair
    wait_until(lambda: one.post(LIST, order(one, name="tuned", steps=3)).status == 200, 30, "it")
    (job,) = one.get(LIST).json["jobs"]
    assert job["node"] == "other"
    wait_until(lambda: shown(one, job["id"])["state"] in OVER, SLOW, "its end")
    done = shown(one, job["id"])
    assert done["state"] == "done", done
    assert done["step"] == 3
    assert done["files"]
    (there,) = other.get(LIST).json["jobs"]
    assert (there["id"], there["node"]) == (job["id"], "")
    stream = one.request("GET", f"{LIST}/{job['id']}/events").body
    assert stream.count(b"event: step") == 3
    assert one.request("GET", f"{LIST}/{job['id']}/curves.svg").body.startswith(b"<svg")

    def has_it() -> bool:
        return "tuned:latest" in {row["name"] for row in one.get("/api/tags").json["models"]}

    wait_until(has_it, 30, "the model")
    answer = one.post("/api/generate", {"model": "tuned", "prompt": "Hello", "stream": False})
    assert answer.json["response"]
    assert one.request("DELETE", f"{LIST}/{job['id']}").status == 200
    assert [server.get(LIST).json["jobs"] for server in pair] == [[], []]
    assert one.get(f"{LIST}/{job['id']}").status == 404


def test_what_was_cancelled_elsewhere_is_resumed_there(pair: tuple[Serving, Serving]) -> None:
    one, _ = pair
    body = order(one, name="long", steps=400, node="other")
    job = one.post(LIST, body).json["job"]["id"]
    wait_until(lambda: shown(one, job)["step"] >= 1, SLOW, "a step")
    assert one.post(f"{LIST}/{job}/cancel", {}).json["state"] == "cancelled"
    assert one.post(f"{LIST}/{job}/cancel", {}).status == 400
    assert one.post(f"{LIST}/{job}/resume", {}).json["state"] == "waiting"
    assert one.request("DELETE", f"{LIST}/{job}").status == 200


def test_a_machine_that_cannot_is_told(pair: tuple[Serving, Serving]) -> None:
    one, other = pair
    answer = other.post(LIST, order(other, node="one"))
    assert answer.status == 400
    assert "one cannot train" in answer.json["error"]
    assert one.post(LIST, order(one, node="nobody")).status == 404
    refused = one.post(LIST, order(one, node="other", context=0, epochs=-1))
    assert refused.status == 400


def test_a_job_is_removed_though_its_machine_has_it_no_more_or_is_away(tmp_path: Path) -> None:
    with ExitStack() as stack:
        machines = Machines(tmp_path, stack)
        one = machines.start("one", AYLLU_TORCH_PYTHON=sys.executable)
        trainer = str(write_program(tmp_path))
        other = machines.start("other", AYLLU_TORCH_PYTHON=trainer)
        assert one.post("/api/cluster/up", {}).status == 200
        join(one, other)
        jobs: list[str] = []

        def begins() -> bool:
            answer = one.post(LIST, order(one, node="other"))
            jobs.extend([answer.json["job"]["id"]] if answer.status == 200 else [])
            return answer.status == 200

        for _ in range(2):
            wait_until(begins, 30, "a job elsewhere")
        assert other.request("DELETE", f"{LIST}/{jobs[0]}").status == 200
        (row,) = (row for row in one.get(LIST).json["jobs"] if row["id"] == jobs[0])
        assert row["error"] == "other has it no more"
        assert one.request("DELETE", f"{LIST}/{jobs[0]}").json == {"id": jobs[0]}
        other.stop()
        wait_until(lambda: len(nodes(one)) == 1, what="that it is away")
        (row,) = one.get(LIST).json["jobs"]
        assert row["error"] == "other cannot be reached now"
        assert one.post(f"{LIST}/{jobs[1]}/cancel", {}).status == 502
        assert one.request("DELETE", f"{LIST}/{jobs[1]}").json == {"id": jobs[1]}
        assert one.get(LIST).json["jobs"] == []
        assert one.request("DELETE", f"{LIST}/{jobs[1]}").status == 404
        one.stop()
        one = machines.start("one", AYLLU_TORCH_PYTHON=sys.executable)
        other = machines.start("other", AYLLU_TORCH_PYTHON=trainer)
        assert one.get(LIST).json["jobs"] == []
        assert [job["id"] for job in other.get(LIST).json["jobs"]] == [jobs[1]]
        wait_until(lambda: other.get(LIST).json["jobs"] == [], 60, "that it hears of it")
