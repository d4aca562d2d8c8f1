"""A model on three machines, of which one is lost in the middle of an answer: real servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ayllu_servers import Machines, models, nodes
from gguf_maker import make_successor_model
from houses import PATH, House, check, told
from serving import wait_until

LAYERS = 6


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    gguf = make_successor_model(folder / "endless.gguf", context=2048, layers=LAYERS)
    with ExitStack() as stack:
        yield House(Machines(folder, stack), gguf, {"anta": {}, "bari": {}, "chaka": {}})


def test_an_answer_outlives_the_worker_that_holds_layers(house: House) -> None:
    house.deploy("anta", "bari", "chaka")
    assert house.stages() == [("anta", 2), ("bari", 2), ("chaka", 2)]
    check(told(house.head))
    check(told(house.head, 97, lambda: house.kill_worker("bari")))
    assert "bari" not in dict(house.stages()), "a machine that failed a moment ago is left alone"


def test_an_answer_outlives_a_machine_that_is_killed(house: House) -> None:
    house.deploy("anta", "bari", "chaka")
    check(told(house.head, 30, lambda: house.kill("bari")))
    house.mend("bari")


def test_an_answer_outlives_a_machine_that_freezes(house: House) -> None:
    house.deploy("anta", "chaka")
    try:
        check(told(house.head, 211, lambda: house.freeze("chaka")))
    finally:
        house.mend("chaka")


def test_a_machine_that_joins_disturbs_nothing(house: House, tmp_path: Path) -> None:
    house.deploy("anta", "bari")
    engines, before = house.head.engines(), house.stages()
    with ExitStack() as stack:
        house.servers["dana"] = Machines(tmp_path, stack).start("dana")
        check(told(house.head, 50, lambda: house.join("dana")))
        wait_until(lambda: "dana" in nodes(house.head), what="seeing it")
        check(told(house.head))
        assert (house.head.engines(), house.stages()) == (engines, before)
        house.servers.pop("dana").post("/api/cluster/leave", {})
    house.all_there()


def test_what_a_machine_coordinated_is_taken_over_and_it_yields_when_it_is_back(
    house: House,
) -> None:
    for name in ("bari", "chaka"):  # whoever has the model can take it over
        answer = house.servers[name].post("/api/pull", {"model": "endless", "stream": False})
        assert answer.json == {"status": "success"}, answer.body
    house.deploy("anta", "bari", "chaka")
    (mine,) = running(house, "anta")
    wait_until(lambda: len(models(house.head)["endless:latest"]) == 3, what="copies")
    house.kill("anta")
    wait_until(lambda: heirs(house, mine["id"]), 20.0, what="taking it over")
    (heir,) = heirs(house, mine["id"])
    check(told(house.servers[heir]))
    (taken,) = running(house, heir)
    assert taken["pinned"]

    house.mend("anta")
    wait_until(lambda: not running(house, "anta"), what="yielding")
    assert [row["id"] for row in running(house, heir)] == [taken["id"]]
    check(told(house.servers[heir]))


def running(house: House, name: str) -> list[dict[str, Any]]:
    """What a machine coordinates, as it says."""
    rows = house.servers[name].get(PATH).json["deployments"]
    return [row for row in rows if row["name"] == name]


def heirs(house: House, deployment: str) -> list[str]:
    """Who of the others coordinates a deployment."""
    others = ("bari", "chaka")
    return [name for name in others if deployment in [row["id"] for row in running(house, name)]]
