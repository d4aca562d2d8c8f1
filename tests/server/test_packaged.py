"""A real server out of a package with models of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ollama
import pytest
from gguf_maker import walk
from mini.package import PARAMETERS
from packages import install, make_assets
from serving import Serving, serving, wait_until

ASK = {"messages": [{"role": "user", "content": "hello"}], "stream": False}


@pytest.fixture(scope="module")
def package(
    tmp_path_factory: pytest.TempPathFactory, chat_gguf: Path, base_gguf: Path
) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("package")
    assets = make_assets(folder / "assets", mini=chat_gguf, mini_draft=base_gguf)
    return install(folder / "installed", assets)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, package: dict[str, str]) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("home"), **package) as running:
        yield running


def names(server: Serving) -> set[str]:
    return {row["name"] for row in server.get("/api/tags").json["models"]}


def says(server: Serving, model: str) -> Any:
    return server.post("/api/chat", {"model": model, **ASK}).json["message"]["content"]


def test_a_new_server_answers_with_a_model_that_it_was_never_given(server: Serving) -> None:
    assert names(server) == {"mini:latest", "mini-draft:latest"}
    assert says(server, "Mini") == walk(26)
    assert not (server.home / "models" / "blobs").exists()
    shown = server.post("/api/show", {"model": "mini"}).json
    parameters = dict(line.split() for line in shown["parameters"].splitlines())
    assert parameters == {name: str(value) for name, value in PARAMETERS["mini"].items()}
    assert shown["license"].startswith("MIT License")


def test_what_is_deleted_is_unloaded_and_a_pull_brings_it_back(server: Serving) -> None:
    assert says(server, "mini") == walk(26)
    assert server.request("DELETE", "/api/delete", {"model": "mini"}).status == 200
    wait_until(lambda: not server.engines())
    assert names(server) == {"mini-draft:latest"}
    assert server.post("/api/chat", {"model": "mini", **ASK}).status == 404
    assert server.request("DELETE", "/api/delete", {"model": "mini"}).status == 404
    answer = server.post("/api/pull", {"name": "mini", "stream": False})
    assert (answer.status, answer.json) == (200, {"status": "success"})
    assert says(server, "mini") == walk(26)


def test_a_pull_is_streamed_to_ollamas_client(server: Serving) -> None:
    with ollama.Client(host=server.url) as client:
        client.delete("mini")
        lines = list(client.pull("mini", stream=True))
        statuses = [line.status or "" for line in lines]
        assert statuses[0] == "pulling manifest"
        assert [status[:8] for status in statuses[1:5]] == ["pulling "] * 4
        assert all(line.total == line.completed for line in lines[1:5])
        assert statuses[5:] == ["verifying sha256 digest", "writing manifest", "success"]
        assert client.pull("mini-draft").status == "success"


@pytest.mark.parametrize("stream", [True, False])
def test_what_cannot_be_pulled_is_one_sentence(server: Serving, stream: bool) -> None:
    answer = server.post("/api/pull", {"model": "127.0.0.1:9/me/x", "stream": stream})
    assert answer.status == 403
    assert "127.0.0.1 is on a private address" in answer.json["error"]
    answer = server.post("/api/pull", {"model": "no such name", "stream": stream})
    assert (answer.status, answer.json) == (400, {"error": "invalid model name"})


def test_the_command_brings_it_back_on_the_way_to_an_answer(server: Serving) -> None:
    for arguments, answer in ((["rm", "mini"], "deleted 'mini'\n"), (["run", "mini", "hello"], "")):
        done = server.ayllu(*arguments)
        assert done.stdout == (answer or f"{walk(26)}\n")
    assert done.stderr.splitlines()[0] == "pulling manifest"


def test_copies_stay_what_they_were_when_an_upgrade_changes_the_model(
    tmp_path: Path, package: dict[str, str], endless_gguf: Path
) -> None:
    home = tmp_path / "home"
    options = {"num_predict": 40, "temperature": 0}
    with serving(home, **package) as server:
        assert server.post("/api/copy", {"source": "mini", "destination": "foo"}).status == 200
        body = {"model": "bar", "from": "mini", "system": "Be kind.", "stream": False}
        assert server.post("/api/create", body).json == {"status": "success"}
        assert server.request("DELETE", "/api/delete", {"model": "mini-draft"}).status == 200
        assert names(server) == {"mini:latest", "foo:latest", "bar:latest"}
    newer = install(
        tmp_path / "installed",
        make_assets(tmp_path / "newer", mini=endless_gguf, mini_draft=endless_gguf),
    )
    with serving(home, **newer) as server:
        assert names(server) == {"mini:latest", "foo:latest", "bar:latest"}
        assert says(server, "foo") == says(server, "bar") == walk(26)
        ask = {"model": "mini", **ASK, "options": options}
        assert server.post("/api/chat", ask).json["message"]["content"] == walk(40)
