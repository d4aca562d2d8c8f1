"""Models with adapters over the wire: made, asked, listed; one engine for what shares weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gguf_maker import make_adapter
from serving import Serving, serving, wait_until

BASE = {"from": "chat"}


@pytest.fixture
def server(tmp_path: Path, chat_gguf: Path) -> Iterator[Serving]:
    """A server with a model and three adapters for it, none of them loaded."""
    with serving(tmp_path / "home") as running:
        running.create("chat", chat_gguf)
        yield running


def adapters(server: Serving, folder: Path, **successors: str) -> dict[str, str]:
    """Adapters in which a letter has another successor, by the names of their files."""
    return {
        f"{now}.gguf": server.upload(make_adapter(folder / now, {now: then}).read_bytes())
        for now, then in successors.items()
    }


def create(server: Serving, name: str, **fields: Any) -> None:
    answer = server.post("/api/create", {"model": name, "stream": False, **fields})
    assert answer.json == {"status": "success"}, answer.body


def said(server: Serving, model: str, prompt: str, **options: Any) -> Any:
    body = {"model": model, "prompt": prompt, "raw": True, "stream": False}
    body["options"] = {"temperature": 0, "num_predict": 3, **options}
    answer = server.post("/api/generate", body)
    return answer.json["response"] if answer.status == 200 else answer.json["error"]


def rows(server: Serving) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in server.get("/api/ps").json["models"]}


def test_several_adapters_act_by_their_scales(server: Serving, tmp_path: Path) -> None:
    two = adapters(server, tmp_path, c="x", k="a")
    create(server, "both", **BASE, adapters=two)
    create(server, "second", **BASE, adapters=two, parameters={"adapter_scale": [0]})
    create(server, "third", **{"from": "second"}, adapters=adapters(server, tmp_path, p="b"))
    assert [said(server, "chat", letter) for letter in "bj"] == ["cde", "klm"]
    assert [said(server, "both", letter) for letter in "bj"] == ["cxy", "kab"]
    assert [said(server, "second", letter) for letter in "bj"] == ["cde", "kab"]
    assert [said(server, "third", letter) for letter in "bjo"] == ["cde", "kab", "pbc"]
    assert said(server, "both", "b", adapter_scale=[0, 1]) == "cde"
    assert said(server, "both", "j", adapter_scale=[1, 0]) == "klm"
    assert said(server, "second", "b", adapter_scale=[1]) == "cxy"
    shown = server.post("/api/show", {"model": "second"}).json
    assert shown["modelfile"].count("\nADAPTER ") == 2
    assert "\nPARAMETER adapter_scale 0\n" in shown["modelfile"]
    assert shown["parameters"].split() == ["adapter_scale", "0"]


@pytest.mark.parametrize(
    ("model", "scales", "sentence"),
    [
        ("one", [1, 1], "adapter_scale names more scales (2) than the model has adapters (1)"),
        ("chat", [1], "adapter_scale names more scales (1) than the model has adapters (0)"),
        ("one", [101], 'option "adapter_scale" is out of range: at most 100'),
        ("one", [-1e99], 'option "adapter_scale" is out of range: at most 100'),
        ("one", 1, 'option "adapter_scale" must be of type array'),
        ("one", ["1"], 'option "adapter_scale" must be of type an array of numbers'),
    ],
)
def test_scales_that_do_not_fit_are_refused(
    server: Serving, tmp_path: Path, model: str, scales: Any, sentence: str
) -> None:
    create(server, "one", **BASE, adapters=adapters(server, tmp_path, c="x"))
    for route in ("/api/generate", "/api/embed"):
        body = {"model": model, "prompt": "b", "input": "b", "options": {"adapter_scale": scales}}
        answer = server.post(route, body)
        assert (answer.status, answer.json["error"]) == (400, sentence)
    assert said(server, "one", "b") == "cxy"


def test_models_of_the_same_weights_are_loaded_once_and_listed_each(
    server: Serving, tmp_path: Path
) -> None:
    for name, then in (("x", "x"), ("k", "k")):
        create(server, name, **BASE, adapters=adapters(server, tmp_path, c=then))
    create(server, "polite", **BASE, system="Be polite.")
    assert said(server, "x", "b") == "cxy"
    (engine,) = server.engines()
    whole = rows(server)["x:latest"]["size"]
    assert [said(server, name, "b") for name in ("chat", "k", "polite")] == ["cde", "ckl", "cde"]
    assert server.engines() == [engine], "it had the other adapter, too"
    listed = rows(server)
    assert set(listed) == {"x:latest", "chat:latest", "k:latest", "polite:latest"}
    assert listed["x:latest"]["size"] == whole
    assert 0 < listed["k:latest"]["size"] < whole / 10
    assert listed["chat:latest"]["size"] == 0
    server.post("/api/generate", {"model": "x", "keep_alive": 0})
    assert set(rows(server)) == {"chat:latest", "k:latest", "polite:latest"}
    assert server.engines() == [engine]
    for name in ("chat", "k", "polite"):
        server.post("/api/generate", {"model": name, "keep_alive": 0})
    assert rows(server) == {}
    wait_until(lambda: not server.engines(), what="the engine's end")


def test_a_new_adapter_is_loaded_when_it_is_asked_for(server: Serving, tmp_path: Path) -> None:
    create(server, "x", **BASE, adapters=adapters(server, tmp_path, c="x"))
    assert said(server, "x", "b") == "cxy"
    (engine,) = server.engines()
    create(server, "k", **BASE, adapters=adapters(server, tmp_path, c="k"))
    assert said(server, "x", "b") == "cxy"
    assert server.engines() == [engine]
    assert said(server, "k", "b") == "ckl"
    (other,) = server.engines()
    assert other != engine
    assert set(rows(server)) == {"x:latest", "k:latest"}


def test_a_bad_adapter_of_another_model_keeps_no_model_from_loading(
    server: Serving, tmp_path: Path
) -> None:
    create(server, "bad", **BASE, adapters=adapters(server, tmp_path, c="k"))
    create(server, "x", **BASE, adapters=adapters(server, tmp_path, c="x"))
    manifest = server.post("/api/show", {"model": "bad"}).json["modelfile"]
    (line,) = [line for line in manifest.splitlines() if line.startswith("ADAPTER ")]
    Path(line.removeprefix("ADAPTER ")).write_bytes(b"GGUF")
    assert said(server, "x", "b") == "cxy"
    assert "is truncated" in said(server, "bad", "b")
