"""What is added to a model or made of it: drafts, adapters, other quantizations; real engines."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from gguf_maker import CHATML, WIDE, make_adapter, make_successor_model, walk
from gguf_writer import write_gguf
from serving import Serving, serving, wait_until
from small_disk import mounted

from ayllu.gguf.read import read_header

USER = [{"role": "user", "content": "hello"}]
DRAFTS = "loading draft model"
"""What the engine's log says where it drafts."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chat_gguf: Path) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("home")) as running:
        running.create("chat", chat_gguf)
        yield running


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "wide.gguf"
    return make_successor_model(
        path, chat_template=CHATML, end_after="z", replies=WIDE, dtype=np.float16
    )


def upload(server: Serving, path: Path) -> str:
    return server.upload(path.read_bytes())


def create(server: Serving, name: str, **fields: Any) -> list[Any]:
    return server.post("/api/create", {"model": name, **fields}).lines


def chat(server: Serving, model: str, **options: Any) -> Any:
    body = {"model": model, "messages": USER, "stream": False, "options": options}
    return server.post("/api/chat", body).json


def blobs(server: Serving) -> list[str]:
    return sorted(path.name for path in (server.home / "models" / "blobs").iterdir())


def engine_log(server: Serving, name: str) -> str:
    return (server.home / "logs" / f"engine-{name}_latest.log").read_text("utf-8", "replace")


def test_a_model_with_a_draft_says_the_same_and_takes_over_what_was_drafted(
    server: Serving, chat_gguf: Path
) -> None:
    created = create(server, "drafted", **{"from": "chat"}, draft="chat")
    assert created[-1] == {"status": "success"}
    for options in ({"temperature": 0}, {"temperature": 0.8, "seed": 3}):
        alone, drafted = (chat(server, name, **options) for name in ("chat", "drafted"))
        assert drafted["message"]["content"] == alone["message"]["content"] == walk(26)
        assert drafted["eval_count"] == alone["eval_count"]
    assert DRAFTS in engine_log(server, "drafted")
    assert DRAFTS not in engine_log(server, "chat")
    wait_until(lambda: "accepted" in engine_log(server, "drafted"), what="tokens being accepted")
    by_file = create(
        server, "filed", **{"from": "chat"}, draft_files={"d.gguf": upload(server, chat_gguf)}
    )
    assert by_file[-1] == {"status": "success"}
    assert chat(server, "filed")["message"]["content"] == walk(26)


def test_a_model_with_a_draft_says_so(server: Serving) -> None:
    create(server, "shown", **{"from": "chat"}, draft="chat")
    shown = server.post("/api/show", {"model": "shown"}).json
    assert shown["draft_info"]["general.name"] == "successor"
    assert shown["draft_info"]["general.quantization"] == "F32"
    assert shown["draft_info"]["general.parameter_count"] == 363744
    draft = [line for line in shown["modelfile"].splitlines() if line.startswith("DRAFT ")]
    assert [Path(line.removeprefix("DRAFT ")).is_file() for line in draft] == [True]
    assert "draft_info" not in server.post("/api/show", {"model": "chat"}).json


def test_drafting_can_be_turned_off_and_bounded(server: Serving) -> None:
    create(server, "off", **{"from": "chat"}, draft="chat", parameters={"draft_num_predict": 0})
    assert chat(server, "off")["message"]["content"] == walk(26)
    assert DRAFTS not in engine_log(server, "off")
    # More than a step holds would abort the engine.
    assert chat(server, "off", draft_num_predict=10_000)["message"]["content"] == walk(26)
    assert DRAFTS in engine_log(server, "off")
    rows = {row["name"]: row["size"] for row in server.get("/api/ps").json["models"]}
    chat(server, "chat")
    rows |= {row["name"]: row["size"] for row in server.get("/api/ps").json["models"]}
    assert rows["off:latest"] == 2 * rows["chat:latest"]


def test_a_draft_that_cannot_draft_is_refused(server: Serving, wide: Path, tmp_path: Path) -> None:
    base = {"from": "chat"}
    other = make_successor_model(
        tmp_path / "x", extra={"tokenizer.ggml.add_bos_token": True}, dtype=np.float16
    )
    adapter = upload(server, make_adapter(tmp_path / "lora"))
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"draft": "nowhere"}, 404, "model 'nowhere:latest' not found"),
        ({"draft": "../x"}, 400, "invalid model name"),
        (
            {"draft_files": {"wide.gguf": upload(server, wide)}},
            400,
            "wide.gguf cannot draft for this model: its vocabulary has 482 tokens, and the model's",
        ),
        (
            {"draft_files": {"o.gguf": upload(server, other)}},
            400,
            "o.gguf cannot draft for this model: it begins or ends texts with other tokens",
        ),
        ({"draft_files": {"l.gguf": adapter}}, 400, "l.gguf is not a model that could draft"),
        ({"draft_files": {"../l.gguf": adapter}}, 400, "file path must be relative"),
    ]
    for fields, status, words in cases:
        answer = server.post("/api/create", {"model": "bad", **base, **fields})
        assert (answer.status, words in answer.json["error"]) == (status, True), answer.body


def test_an_adapter_changes_the_answer_and_an_empty_one_does_not(
    server: Serving, tmp_path: Path
) -> None:
    empty = upload(server, make_adapter(tmp_path / "zero"))
    turns = upload(server, make_adapter(tmp_path / "turns", {"c": "x", "\n": "b"}))
    for name, digest in (("empty", empty), ("turned", turns)):
        made = create(server, name, **{"from": "chat"}, adapters={"lora.gguf": digest})
        assert made[-1] == {"status": "success"}, made
    assert chat(server, "empty", temperature=0)["message"]["content"] == walk(26)
    assert chat(server, "turned", temperature=0)["message"]["content"] == "bcxyz"
    assert "ADAPTER " in server.post("/api/show", {"model": "turned"}).json["modelfile"]


def test_an_adapter_for_another_model_is_refused_when_the_model_is_made(
    server: Serving, wide: Path, tmp_path: Path
) -> None:
    adapter = {"lora.gguf": upload(server, make_adapter(tmp_path / "lora"))}
    body = {"model": "bad", "files": {"wide.gguf": upload(server, wide)}, "adapters": adapter}
    answer = server.post("/api/create", body)
    assert answer.status == 400
    assert answer.json["error"] == (
        "lora.gguf is for another model: it changes output.weight as one of 288 by 262 numbers, "
        "and this model's has 512 by 482"
    )


@pytest.mark.parametrize("field", ["quantize", "quantization"])
def test_a_file_is_quantized_while_a_model_is_made_of_it(
    server: Serving, wide: Path, field: str
) -> None:
    files = {"wide.gguf": upload(server, wide)}
    parsing, *lines = create(server, field, files=files, **{field: "q4_k_m"})
    assert parsing == {"status": "parsing GGUF"}
    steps = [line for line in lines if line["status"] == "quantizing F16 model to Q4_K_M"]
    assert {step["digest"] for step in steps} == {"0" * 19}
    assert [step.get("completed", 0) for step in steps] == sorted(
        step.get("completed", 0) for step in steps
    )
    assert steps[-1]["completed"] == steps[-1]["total"] < wide.stat().st_size
    layer, *rest = lines[len(steps) :]
    assert layer["status"].startswith("creating new layer sha256:")
    assert [line["status"] for line in rest] == ["writing manifest", "success"]
    shown = server.post("/api/show", {"model": field}).json
    assert shown["details"]["quantization_level"] == "Q4_K_M"
    assert shown["model_info"]["general.file_type"] == 15
    assert chat(server, field, temperature=0)["message"]["content"] == walk(26)
    assert not [name for name in blobs(server) if name.startswith(".tmp")]


def test_a_model_and_its_draft_are_quantized_from_another(server: Serving, wide: Path) -> None:
    server.create("wide", wide)
    body = {"from": "wide", "draft": "wide", "quantize": "Q8_0", "draft_quantize": "q4_0"}
    lines = create(server, "small", **body)
    assert lines[-1] == {"status": "success"}
    statuses = {(line["status"], line["digest"]) for line in lines if line.get("total")}
    assert statuses == {
        ("quantizing F16 model to Q8_0", "0" * 19),
        ("quantizing F16 model to Q4_0", "0" * 18 + "1"),
    }
    shown = server.post("/api/show", {"model": "small"}).json
    assert shown["details"]["quantization_level"] == "Q8_0"
    assert shown["draft_info"]["general.quantization"] == "Q4_0"
    assert chat(server, "small", temperature=0)["message"]["content"] == walk(26)
    again = server.post("/api/create", {"model": "x", "from": "small", "quantize": "Q4_0"})
    assert again.status == 400
    assert "only supported for F16, BF16 and F32 models, and this" in again.json["error"]
    same = create(server, "same", **{"from": "wide"}, quantize="f16")
    assert not any(line.get("total") for line in same)
    assert same[-1] == {"status": "success"}


def test_a_type_that_needs_more_than_the_model_is_refused_in_a_sentence(
    server: Serving, wide: Path
) -> None:
    before = blobs(server)
    body = {"model": "x", "files": {"w": upload(server, wide)}, "quantize": "IQ1_S"}
    last = server.post("/api/create", body).lines[-1]
    assert last["error"].startswith("IQ1_S needs an importance matrix")
    whole = server.post("/api/create", body | {"stream": False})
    assert (whole.status, whole.json["error"]) == (400, last["error"])
    assert blobs(server) == before


def test_who_leaves_while_a_model_is_quantized_ends_it_and_leaves_nothing(
    server: Serving, tmp_path: Path
) -> None:
    digest = upload(server, make_big(tmp_path / "big.gguf"))
    before = blobs(server)
    host, port = server.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port))
    body = {"model": "big", "files": {"big.gguf": digest}, "quantize": "IQ4_XS"}
    connection.request("POST", "/api/create", json.dumps(body))
    response = connection.getresponse()
    while "quantizing" not in json.loads(response.readline())["status"]:
        pass
    wait_until(lambda: quantizers(server), what="llama-quantize")
    assert any(name.startswith(".tmp") for name in blobs(server))
    connection.close()
    response.close()
    wait_until(lambda: not quantizers(server), 3, "the end of llama-quantize")
    wait_until(lambda: blobs(server) == before, 3, "the draft being removed")
    assert "big:latest" not in {row["name"] for row in server.get("/api/tags").json["models"]}


def make_big(path: Path) -> Path:
    """Tensors enough for a slow type to take seconds."""
    small = make_successor_model(path.with_suffix(".small"), replies=WIDE, dtype=np.float16)
    kvs = {
        name: value for name, value in read_header(small).kvs.items() if not hasattr(value, "items")
    }
    tensors = {
        f"blk.{layer}.ffn_up.weight": np.ones((8192, 512), np.float16) for layer in range(24)
    }
    return write_gguf(path, kvs, tensors)


def quantizers(server: Serving) -> list[psutil.Process]:
    return server.programs("llama-quantize")


def test_a_disk_that_fills_up_while_quantizing_is_told(
    tmp_path_factory: pytest.TempPathFactory, wide: Path
) -> None:
    disk_folder = tmp_path_factory.mktemp("disk")
    size = wide.stat().st_size
    with (
        mounted(disk_folder, f"size={size + (size >> 2)}") as disk,
        serving(tmp_path_factory.mktemp("home"), AYLLU_MODELS=str(disk / "models")) as server,
    ):
        digest = upload(server, wide)
        before = sorted(path.name for path in (disk / "models" / "blobs").iterdir())
        body = {"model": "x", "files": {"w": digest}, "quantize": "Q8_0", "stream": False}
        answer = server.post("/api/create", body)
        assert answer.status == 500
        assert "there is no space left in" in answer.json["error"]
        assert sorted(path.name for path in (disk / "models" / "blobs").iterdir()) == before
        assert "x:latest" not in {row["name"] for row in server.get("/api/tags").json["models"]}
