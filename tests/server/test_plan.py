"""POST /api/cluster/plan: where a model would run, on one machine and on two."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from ayllu_servers import Machines, nodes
from serving import Serving, wait_until


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, Serving]]:
    """Two machines of an ayllu; both have mini, which ships."""
    with ExitStack() as stack:
        yield Machines(tmp_path_factory.mktemp("machines"), stack).pair("desk", "laptop")


def plan(server: Serving, **body: Any) -> Any:
    answer = server.post("/api/cluster/plan", {"model": "mini"} | body)
    assert answer.status == 200, answer.body
    return answer.json


def give(server: Serving, ram: str) -> None:
    assert server.request("PUT", "/api/cluster/contribute", {"ram": ram}).status == 200


def test_a_machine_alone_runs_its_models_itself(server: Serving) -> None:
    found = plan(server)
    assert (found["model"], found["layers"], found["context"]) == ("mini", 6, 1024)
    assert 10_000_000 < found["size"] < 11_000_000
    assert found["refusal"] == ""
    [best] = found["candidates"]
    assert best["kind"] == "local"
    assert best["why"]
    assert best["tokens_per_second"] > 0
    [stage] = best["stages"]
    assert (stage["name"], stage["first"], stage["layers"]) == (found["name"], 0, 6)
    assert stage["size"] > found["size"]


def test_more_context_and_more_slots_take_more(server: Serving) -> None:
    def size(**body: int) -> int:
        stage = plan(server, **body)["candidates"][0]["stages"][0]
        return int(stage["size"])

    assert size(context=256, slots=1) < size(context=1024, slots=1) < size(context=1024, slots=64)
    assert plan(server, context=1 << 20)["context"] == 1024
    assert plan(server, slots=64)["slots"] == 64


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({}, 400, "model is required"),
        ({"model": "nobody"}, 404, "model 'nobody' not found"),
        ({"model": "mini", "slots": 0}, 400, "slots"),
        ({"model": "mini", "context": "many"}, 400, "context"),
        ({"model": "mini", "context": -1}, 400, "context"),
    ],
)
def test_what_makes_no_sense_is_refused(
    server: Serving, body: dict[str, Any], status: int, why: str
) -> None:
    answer = server.post("/api/cluster/plan", body)
    assert answer.status == status
    assert why in answer.json["error"]


def test_a_model_that_no_machine_may_hold_is_split_and_else_refused_in_bytes(
    two: tuple[Serving, Serving],
) -> None:
    desk = two[0]
    wait_until(lambda: len(nodes(desk)["laptop"]["models"]) > 0, what="hearing of the models")
    whole = plan(desk)
    assert {one["kind"] for one in whole["candidates"]} == {"local", "route"}

    for one in two:
        give(one, "50000000")
    wait_until(
        lambda: nodes(desk)["laptop"]["contribute"]["ram"] == 50_000_000, what="hearing of it"
    )
    best = plan(desk)["candidates"][0]
    assert best["kind"] == "split"
    assert {stage["name"] for stage in best["stages"]} == {"desk", "laptop"}
    assert sum(stage["layers"] for stage in best["stages"]) == 6
    assert best["stages"][0]["first"] == 0
    assert all(stage["size"] <= 50_000_000 for stage in best["stages"])

    for one in two:
        give(one, "40000000")
    wait_until(
        lambda: nodes(desk)["laptop"]["contribute"]["ram"] == 40_000_000, what="hearing of it"
    )
    found = plan(desk)
    assert found["candidates"] == []
    assert "desk gives 40 MB" in found["refusal"]
    assert found["refusal"].endswith("MB are missing")
