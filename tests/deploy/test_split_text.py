"""What a model says that lies on several machines is what it says on one: real servers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from ayllu_servers import Machines, nodes
from serving import Serving, wait_until

PATH = "/api/cluster/deployments"
STORY = "Tell me a story about a cat."
NAMES = ("anta", "bari", "chaka")
LIMIT = 50_000_000
"""Bytes that a machine gives: mini with one slot takes more by itself."""


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Serving]]:
    """Machines of an ayllu, the first of which has mini with a draft model and without."""
    with ExitStack() as stack:
        machines = Machines(tmp_path_factory.mktemp("three"), stack)
        found = [machines.start(name) for name in NAMES]
        anta, *others = found
        assert anta.post("/api/cluster/up", {}).status == 200
        for other in others:
            code = anta.post("/api/cluster/invite", {}).json["code"]
            assert other.post("/api/cluster/join", {"code": code}).status == 200
        anta.make("plain", **{"from": "mini"})
        anta.make("drafted", **{"from": "mini", "draft": "mini-draft"})
        wait_until(lambda: all(len(nodes(one)) == len(NAMES) for one in found), what="seeing")
        yield found


def tell(server: Serving, model: str) -> Any:
    """An answer by greedy sampling, in one piece."""
    body = {"model": model, "prompt": STORY, "think": False, "stream": False}
    return server.post("/api/generate", {**body, "options": {"temperature": 0}})


def stages(server: Serving, model: str) -> list[tuple[str, int, int]]:
    """Where its layers are."""
    rows = server.get("/api/ps").json["models"]
    (row,) = (row for row in rows if row["name"] == f"{model}:latest")
    return [(one["name"], one["first"], one["layers"]) for one in row["ayllu"].get("stages", ())]


@pytest.mark.parametrize("model", ["plain", "drafted"])
def test_greedy_text_over_2_and_3_machines_is_that_of_one(three: list[Serving], model: str) -> None:
    anta = three[0]
    alone = tell(anta, model).json
    assert alone["eval_count"] > 40
    assert stages(anta, model) == []
    for split in ([2, 4], [0, 6], [2, 2, 2]):
        names = NAMES[: len(split)]
        body = {"model": model, "nodes": names, "split": split, "stream": False}
        assert anta.post(PATH, body).status == 200
        told = tell(anta, model).json
        assert (told["response"], told["eval_count"]) == (alone["response"], alone["eval_count"])
        ends = [sum(split[:place]) for place in range(len(split))]
        assert stages(anta, model) == list(zip(names, ends, split, strict=True))
        commands = [" ".join(engine.cmdline()) for engine in anta.engines()]
        head = next(command for command in commands if "--rpc" in command)
        assert ("-devd none" in head) == ("--spec-draft-model" in head) == (model == "drafted")
        assert anta.request("DELETE", f"{PATH}/{model}").status == 200


def test_a_model_larger_than_every_limit_runs_on_two_and_is_refused_on_one(
    three: list[Serving],
) -> None:
    anta = three[0]
    alone = tell(anta, "plain").json["response"]
    assert anta.post("/api/generate", {"model": "plain", "keep_alive": 0}).status == 200
    try:
        give(three, "anta", ram=f"{LIMIT}")
        give(three, "bari", ram=f"{LIMIT}")
        give(three, "chaka", contribute=False)
        assert tell(anta, "plain").json["response"] == alone
        assert [name for name, _, _ in stages(anta, "plain")] == ["anta", "bari"]

        assert anta.post("/api/generate", {"model": "plain", "keep_alive": 0}).status == 200
        give(three, "bari", contribute=False)
        refused = tell(anta, "plain")
        assert refused.status == 500  # as Ollama answers what does not fit
        sentence = refused.json["error"]
        assert sentence.startswith("plain:latest needs ")
        assert "anta gives 50 MB: " in sentence
        assert "MB are missing" in sentence
    finally:
        for name in NAMES:
            give(three, name, ram="", contribute=True)


def give(three: list[Serving], name: str, **chosen: Any) -> None:
    """Have a machine give so much, and wait until the first one knows it."""
    server = dict(zip(NAMES, three, strict=True))[name]
    answer = server.request("PUT", "/api/cluster/contribute", chosen)
    assert answer.status == 200, answer.body
    now = answer.json["now"]
    wait_until(lambda: nodes(three[0])[name]["contribute"] == now, what="hearing of it")
