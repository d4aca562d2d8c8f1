"""Models on machines that their owner names: by the commands and the API of real servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from ayllu_servers import Machines, nodes
from serving import Serving, wait_until

PATH = "/api/cluster/deployments"
LAYERS = 6
"""Of the model that comes with the package."""
GREEDY = {
    "model": "mine",
    "prompt": "What colour is snow?",
    "stream": False,
    "options": {"temperature": 0, "num_predict": 24},
}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, Serving]]:
    """`anta` alone has the model `mine`, `bari` alone has `solo`."""
    with ExitStack() as stack:
        anta, bari = Machines(tmp_path_factory.mktemp("two"), stack).pair("anta", "bari")
        anta.make("mine", **{"from": "mini", "system": "You are Anta."})
        bari.make("solo", **{"from": "mini"})
        wait_until(lambda: "solo:latest" in held(anta, "bari"), what="hearing of a model")
        yield anta, bari


def held(server: Serving, name: str) -> set[str]:
    """The models of a machine, as another one knows them."""
    return {model["name"] for model in nodes(server)[name]["models"]}


def deployments(server: Serving) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get(PATH).json["deployments"]
    return found


def test_a_model_runs_where_its_owner_says_and_is_let_go(two: tuple[Serving, Serving]) -> None:
    anta, bari = two
    alone = anta.post("/api/generate", GREEDY).json["response"]
    rows = anta.get("/api/ps").json["models"]
    assert rows[0]["ayllu"].keys() == {"measured"}
    assert "LAYERS" not in anta.ayllu("ps").stdout

    made = anta.ayllu("deploy", "mine", "--nodes", "anta,bari", "--split", "2,4", "--slots", "2")
    assert made.status == 0, made.stderr
    assert "bari: " in made.stderr
    assert " runs on anta 0-1, bari 2-5, " in made.stdout
    assert anta.post("/api/generate", GREEDY).json["response"] == alone

    (row,) = anta.get("/api/ps").json["models"]
    assert [(one["name"], one["first"], one["layers"]) for one in row["ayllu"]["stages"]] == [
        ("anta", 0, 2),
        ("bari", 2, 4),
    ]
    assert row["ayllu"]["predicted"] > 0
    assert row["ayllu"]["measured"] > 0
    header, shown = anta.ayllu("ps").stdout.splitlines()
    assert header.split()[-2:] == ["TOKENS/S", "LAYERS"]
    assert "anta 0-1, bari 2-5" in shown

    (mine,) = deployments(anta)
    assert (mine["pinned"], mine["name"], mine["model"]) == (True, "anta", "mine:latest")
    wait_until(lambda: deployments(bari), what="hearing of it")
    (theirs,) = deployments(bari)
    assert theirs["id"] == mine["id"]
    assert theirs["placement"]["stages"] == mine["placement"]["stages"]
    refused = bari.ayllu("undeploy", "mine")
    assert refused.stderr == "Error: no deployment 'mine' is of this machine\n"

    gone = anta.ayllu("undeploy", mine["id"])
    assert gone.stdout == f"mine:latest ({mine['id']}) is deployed no more.\n"
    assert (deployments(anta), anta.get("/api/ps").json["models"]) == ([], [])
    wait_until(lambda: not bari.workers(), what="ending the worker")
    assert anta.request("DELETE", f"{PATH}/{mine['id']}").status == 404


def test_all_machines_can_work_at_each_layer(two: tuple[Serving, Serving]) -> None:
    anta, _ = two
    alone = anta.post("/api/generate", GREEDY).json["response"]
    body = {"model": "mine", "nodes": ["anta", "bari"], "split": [3, 3], "tensor_split": True}
    answer = anta.post(PATH, {**body, "context": 512, "stream": False})
    assert answer.status == 200, answer.body
    assert answer.json["deployment"]["tensor_split"] is True
    assert anta.get("/api/ps").json["models"][0]["context_length"] == 512
    assert anta.post("/api/generate", GREEDY).json["response"] == alone
    assert anta.request("DELETE", f"{PATH}/mine").json["model"] == "mine:latest"


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({}, 400, "model is required"),
    ({"model": "nothing"}, 404, "model 'nothing' not found"),
    ({"model": "solo"}, 404, "model 'solo' is on bari and not on this machine"),
    ({"model": "mini", "nodes": ["nobody"]}, 404, "no machine 'nobody' is there"),
    ({"model": "mini", "nodes": ["bari"]}, 400, "anta is to answer: name it too"),
    ({"model": "mini", "split": [3, 3]}, 400, "a split wants as many nodes"),
    ({"model": "mini", "nodes": ["bari", "anta"], "split": [3, 3]}, 400, "name anta first"),
    ({"model": "mini", "nodes": ["anta", "bari"], "split": [3]}, 400, "as many numbers of layers"),
    ({"model": "mini", "nodes": ["anta"], "split": [LAYERS]}, 400, "split over 2 to"),
    ({"model": "mini", "nodes": ["anta", "bari"], "split": [6, 0]}, 400, "at least one layer"),
    ({"model": "mini", "nodes": ["anta", "bari"], "split": [3, 4]}, 400, "the model has 6 layers"),
    ({"model": "mini", "nodes": ["anta", "bari"], "split": [-1, 7]}, 400, "does not fit"),
    ({"model": "mini", "slots": 0}, 400, "does not fit"),
    ({"model": "mini", "context": "long"}, 400, "does not fit"),
    ({"model": "mini", "context": 1 << 40}, 400, "does not fit"),
]


@pytest.mark.parametrize(("body", "status", "words"), BAD)
def test_what_cannot_be_is_refused_and_changes_nothing(
    two: tuple[Serving, Serving], body: dict[str, Any], status: int, words: str
) -> None:
    answer = two[0].post(PATH, body)
    assert (answer.status, words in answer.json["error"]) == (status, True), answer.body
    assert deployments(two[0]) == []


def test_a_split_of_words_is_a_mistake_of_the_command(two: tuple[Serving, Serving]) -> None:
    refused = two[0].ayllu("deploy", "mini", "--nodes", "anta,bari", "--split", "2,many")
    assert refused.status == 1
    assert "'many' is no number of layers" in refused.stderr


def test_a_machine_that_gives_nothing_holds_no_layers_any_more(
    two: tuple[Serving, Serving],
) -> None:
    anta, bari = two
    alone = anta.post("/api/generate", GREEDY).json["response"]
    body = {"model": "mine", "nodes": ["anta", "bari"], "split": [3, 3]}
    assert anta.post(PATH, {**body, "stream": False}).status == 200
    assert bari.workers()
    bari.ayllu("contribute", "--off")
    try:
        wait_until(lambda: not bari.workers(), 10.0, "ending the worker")
        assert anta.post("/api/generate", GREEDY).json["response"] == alone
        assert anta.request("DELETE", f"{PATH}/mine").status == 200
        wait_until(lambda: not nodes(anta)["bari"]["contribute"]["enabled"], what="hearing of it")
        refused = anta.post(PATH, body)
        assert refused.status == 400
        assert "bari takes no parts of other machines' models" in refused.json["error"]
    finally:
        bari.ayllu("contribute", "--on")
        wait_until(lambda: nodes(anta)["bari"]["contribute"]["enabled"], what="hearing of it")
