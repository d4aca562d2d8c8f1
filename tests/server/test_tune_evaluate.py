"""A tuned model beside its base, by the API and the command line: models whose words are known."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from gguf_maker import CHATML, END, SPECIALS, START, make_adapter, make_successor_model, walk
from registries import docker_registry
from serving import Answer, Serving, serving

from ayllu.models.create import CreateRequest, Trained, create
from ayllu.models.name import parse_name
from ayllu.models.store import Store

RIGHT = "abcxyz"
"""What the tuned model answers to everything, and the base does not."""


def ids(text: str) -> list[int]:
    """Tokens of a successor model: bytes, and the special ones by their names."""
    found: list[int] = []
    while text:
        special = next((name for name in SPECIALS if text.startswith(name)), "")
        found += [256 + SPECIALS.index(special)] if special else text[0].encode()
        text = text[len(special) or 1 :]
    return found


def write_examples(folder: Path, answers: Sequence[str], held: Sequence[int]) -> None:
    """What a training leaves of its data: a question, and an answer that counts."""
    prompt = ids(f"{START}user\nhi{END}\n{START}assistant\n")
    rows = [prompt + ids(answer + END) for answer in answers]
    marks = [[0] * len(prompt) + [1] * (len(row) - len(prompt)) for row in rows]
    folder.mkdir(parents=True)
    np.savez(
        folder / "examples.npz",
        tokens=np.array([token for row in rows for token in row], np.int32),
        trained=np.array([mark for row in marks for mark in row], np.uint8),
        ends=np.cumsum([len(row) for row in rows], dtype=np.int64),
        held=np.array(held, np.uint8),
    )


def say_tuned(server: Serving, name: str, job: str, adapter: Path) -> None:
    """Give the server a model with an adapter and a card, as a job leaves it."""
    digest = server.upload(adapter.read_bytes())
    card = msgspec.json.encode({"base": "base:latest", "kind": "adapter", "job": job})

    async def run() -> None:
        request = CreateRequest(from_="base", adapters={"adapter.gguf": digest})
        store = Store(server.home / "models")
        work = create(store, parse_name(name), request, trained=Trained(card=card))
        assert [line.status async for line in work][-1] == "success"

    asyncio.run(run())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("evaluate")
    gguf = make_successor_model(
        folder / "base.gguf", chat_template=CHATML, end_after="z", sharpness=0.5
    )
    adapter = make_adapter(folder / "adapter.gguf", {"c": "x"})
    with serving(folder / "home", AYLLU_REGISTRIES="127.0.0.1") as running:
        running.create("base", gguf)
        say_tuned(running, "tuned", "job1", adapter)
        say_tuned(running, "lost", "job-that-is-gone", adapter)
        say_tuned(running, "whole", "job2", adapter)
        say_tuned(running, "climbing", "../job1", adapter)
        write_examples(running.home / "tune" / "job1", [walk(3), RIGHT, "ABCxyz "], [0, 1, 1])
        write_examples(running.home / "tune" / "job2", [RIGHT], [0])
        yield running


def evaluate(server: Serving, **body: Any) -> Answer:
    return server.post("/api/tune/evaluate", {"stream": False, **body})


def rows(server: Serving, *answers: str) -> dict[str, str]:
    """Uploaded data: questions with answers."""
    lines = [{"question": "hi", "answer": answer} for answer in answers]
    return {"rows.jsonl": server.upload("\n".join(map(json.dumps, lines)).encode())}


def test_what_was_held_back_is_read_and_answered_by_both(server: Serving) -> None:
    said = evaluate(server, model="tuned").json
    assert (said["status"], said["examples"]) == ("success", 2)
    base, tuned = said["base"], said["tuned"]
    assert (base["model"], tuned["model"]) == ("base:latest", "tuned:latest")
    assert base["tokens"] == tuned["tokens"] == len("abcxyz") + 1 + len("ABCxyz ") + 1
    assert tuned["loss"] < base["loss"]
    assert tuned["perplexity"] == pytest.approx(np.exp(tuned["loss"]))
    counts = {name: (said[name]["exact"], said[name]["matching"]) for name in ("base", "tuned")}
    assert counts == {"base": (0, 0), "tuned": (1, 2)}
    assert base["answers"] == tuned["answers"] == 2
    first = said["samples"][0]
    assert first["prompt"].endswith(f"{START}assistant\n")
    assert (first["expected"], first["base"], first["tuned"]) == (RIGHT, walk(26), RIGHT)


def test_data_of_ones_own_is_rendered_as_the_model_is_served(server: Serving) -> None:
    said = evaluate(server, model="tuned", data=rows(server, RIGHT, RIGHT, "other"), answers=2).json
    assert said["examples"] == 3
    assert said["tuned"]["exact"] == said["tuned"]["answers"] == 2
    assert said["samples"][0]["prompt"] == f"{START}user\nhi{END}\n{START}assistant\n"
    few = evaluate(server, model="tuned", data=rows(server, RIGHT, RIGHT), examples=1, longest=3)
    assert few.json["examples"] == 1
    assert few.json["samples"][0]["base"] == walk(3)


def test_any_two_models_of_the_same_words_are_compared(server: Serving) -> None:
    said = evaluate(server, model="base", base="tuned", data=rows(server, RIGHT, RIGHT)).json
    assert (said["base"]["model"], said["tuned"]["model"]) == ("tuned:latest", "base:latest")
    assert (said["base"]["exact"], said["tuned"]["exact"]) == (2, 0)


def test_an_adapter_counts_as_much_as_it_does_in_answers(server: Serving) -> None:
    server.make("silent", **{"from": "tuned", "parameters": {"adapter_scale": [0]}})
    said = evaluate(server, model="silent", base="base", data=rows(server, RIGHT, RIGHT)).json
    assert said["tuned"]["loss"] == said["base"]["loss"]
    assert said["tuned"]["exact"] == 0


def test_each_step_is_told(server: Serving) -> None:
    body = {"model": "tuned", "data": rows(server, RIGHT, RIGHT)}
    lines = server.post("/api/tune/evaluate", body).lines
    told = list(dict.fromkeys(line["status"] for line in lines))
    assert told[0] == "reading data"
    assert told[-4:] == [
        "loading base:latest",
        "evaluating base:latest",
        "evaluating tuned:latest",
        "success",
    ]
    done = [line for line in lines if line["status"] == "evaluating tuned:latest"][-1]
    assert (done["completed"], done["unit"]) == (done["total"], "tokens")


MISTAKES: list[tuple[dict[str, Any], int, str]] = [
    ({}, 400, "model is required"),
    ({"model": "nobody"}, 404, "model 'nobody' not found"),
    (
        {"model": "base"},
        400,
        "base:latest was not trained here: name with `base` what to compare it to",
    ),
    (
        {"model": "base", "base": "tuned"},
        400,
        "base:latest was not trained here: give data to evaluate it on",
    ),
    ({"model": "tuned", "base": "nobody"}, 404, "model 'nobody' not found"),
    ({"model": "lost"}, 400, "the job's examples are gone: give data to evaluate on"),
    ({"model": "whole"}, 400, "the job held no examples back: give data to evaluate on"),
    (
        {"model": "climbing"},
        400,
        "climbing:latest was not trained here: give data to evaluate it on",
    ),
    ({"model": "tuned", "base": "mini"}, 400, "mini:latest cannot be compared with tuned:latest: "),
    ({"model": "tuned", "data": {"a": "sha256:12"}}, 400, "invalid digest format"),
    ({"model": "tuned", "data": {"a": "sha256:" + "0" * 64}}, 404, "the blob sha256:0000"),
    ({"model": "tuned", "examples": 0}, 400, "`$.examples`"),
    ({"model": "tuned", "longest": -1}, 400, "`$.longest`"),
]


@pytest.mark.parametrize(("body", "status", "sentence"), MISTAKES)
def test_a_mistake_is_told_in_a_sentence(
    server: Serving, body: dict[str, Any], status: int, sentence: str
) -> None:
    for stream in (False, True):
        answer = evaluate(server, **body, stream=stream)
        assert answer.status == status
        assert sentence in answer.json["error"]
        assert "\n" not in answer.json["error"]


def test_a_path_that_leaves_the_data_and_an_empty_file_are_told(server: Serving) -> None:
    (digest,) = rows(server, RIGHT).values()
    answer = evaluate(server, model="tuned", data={"../rows.jsonl": digest})
    assert (answer.status, answer.json["error"]) == (
        400,
        "'../rows.jsonl' is no relative path of a file of data",
    )
    answer = evaluate(server, model="tuned", data={"rows.jsonl": server.upload(b"")})
    assert answer.status == 400


def test_examples_and_answers_fit_what_both_models_were_made_for(server: Serving) -> None:
    adapter = make_adapter(server.home / "long.gguf", {"c": "x"})
    for name, letters in (("long", 600), ("full", 440)):
        write_examples(server.home / "tune" / name, ["a" * letters], [1])
        say_tuned(server, name, name, adapter)
    answer = evaluate(server, model="long")
    assert answer.status == 400
    assert "the model was made for 512: give a `context` that cuts them" in answer.json["error"]
    gguf = server.home / "short.gguf"
    server.create("short", make_successor_model(gguf, chat_template=CHATML, context=480))
    (sample,) = evaluate(server, model="full", base="short").json["samples"]
    size = len(ids(f"{START}user\nhi{END}\n{START}assistant\n")) + 440 + 1
    assert sample["base"] == walk(480 - size)
    assert sample["tuned"] == RIGHT


def test_the_command_shows_a_table_with_samples_or_json(server: Serving, tmp_path: Path) -> None:
    ran = server.ayllu("tune", "eval", "tuned", "--samples", "1")
    assert ran.status == 0, ran.stderr
    table, _, sample = ran.stdout.partition("\n\n")
    lines = [line.split() for line in table.splitlines()]
    assert lines[0] == ["base:latest", "tuned:latest"]
    assert lines[3] == ["exact", "answers", "0", "of", "2", "(0%)", "1", "of", "2", "(50%)"]
    assert lines[4][-3:] == ["of", "2", "(100%)"]
    assert [line.split()[0] for line in sample.splitlines()] == [
        "PROMPT",
        "DATA",
        "base:latest",
        "tuned:latest",
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"question": "hi", "answer": RIGHT}) + "\n", "utf-8")
    file.write_text(file.read_text("utf-8") * 2, "utf-8")
    ran = server.ayllu("tune", "eval", "tuned", "--data", str(tmp_path), "--json")
    assert ran.status == 0, ran.stderr
    assert json.loads(ran.stdout)["tuned"]["exact"] == 2
    ran = server.ayllu("tune", "eval", "tuned", "--data", str(tmp_path / "none"))
    assert (ran.status, ran.stdout) == (1, "")
    assert f"there is no file {tmp_path / 'none'}" in ran.stderr


def test_the_record_of_a_training_survives_a_push_and_a_pull(
    server: Serving, tmp_path: Path
) -> None:
    with docker_registry(tmp_path / "registry") as registry:
        name = f"{registry.host}/me/tuned"
        server.post("/api/copy", {"source": "tuned", "destination": name})
        asked = {"model": name, "insecure": True, "stream": False}
        assert server.post("/api/push", asked).json == {"status": "success"}
        with serving(tmp_path / "other", AYLLU_REGISTRIES="127.0.0.1") as other:
            assert other.post("/api/pull", asked).json == {"status": "success"}
            shown = [one.post("/api/show", {"model": name}).json for one in (server, other)]
    assert shown[0]["tuned"] == shown[1]["tuned"]
    assert shown[1]["tuned"]["base"] == "base:latest"
