"""Perplexity, importance matrices and plans by the API; real engines."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from gguf_maker import make_successor_model
from serving import Serving, serving, wait_until
from small_disk import mounted

from ayllu.gguf.read import read_header
from ayllu.models.matrix import FOLDER, KEPT
from ayllu.models.shelf import ASSETS
from ayllu.models.tools import CALIBRATION, MAX_TEXT_BYTES
from ayllu.server.quantize import LADDER, recommend
from ayllu.server.wire_quantize import Quantization

TEXT = CALIBRATION.read_text("utf-8")
SHORT = {"context": 64, "chunks": 6, "stream": False}
MATRIX = "computing the importance matrix"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, base_gguf: Path) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("home")) as running:
        running.create("base", base_gguf)
        yield running


def create(server: Serving, name: str, **fields: Any) -> list[Any]:
    lines: list[Any] = server.post("/api/create", {"model": name, "from": "mini", **fields}).lines
    return lines


def measured(server: Serving, model: str, **fields: Any) -> Any:
    answer = server.post("/api/perplexity", {"model": model, **SHORT, **fields})
    assert answer.status == 200, answer.body
    return answer.json


def files(server: Serving) -> list[str]:
    folder = server.home / "models"
    return sorted(str(path) for path in folder.rglob("*") if path.is_file())


def programs(server: Serving) -> list[psutil.Process]:
    return server.programs("llama-imatrix") + server.programs("llama-quantize")


def digest_of_weights(server: Serving, model: str) -> str:
    path = server.home / "models/manifests/registry.ollama.ai/library" / model / "latest"
    layers = json.loads(path.read_text("utf-8"))["layers"]
    return str(next(row["digest"] for row in layers if row["mediaType"].endswith(".model")))


def test_the_perplexity_comes_in_the_last_line(server: Serving) -> None:
    before = files(server)
    body = {"model": "mini", "text": TEXT, "context": 64, "chunks": 6}
    first, *steps, last = server.post("/api/perplexity", body).lines
    assert first == {"status": "loading mini:latest"}
    assert [step.get("completed", 0) for step in steps] == list(range(7))
    assert {(step["status"], step["total"], step["unit"]) for step in steps} == {
        ("measuring mini:latest", 6, "chunks")
    }
    header = read_header(ASSETS / "mini-f16.gguf")
    assert last["status"] == "success"
    assert (last["tokens"], last["context"]) == (6 * 64, 64)
    assert (last["quantization"], last["size"]) == ("F16", header.file_size)
    assert last["bits_per_weight"] == pytest.approx(16.01, abs=0.01)
    assert last["perplexity"] > 1
    assert last["perplexity_error"] > 0
    assert measured(server, "mini") == last, "the text of ours is what is read without one"
    assert files(server) == before


def test_eight_bits_lose_nothing_and_two_bits_much(server: Serving) -> None:
    create(server, "eight", quantize="q8_0")
    create(server, "four", quantize="q4_k_m")
    known = "abcdefghijklmnopqrstuvwxyz" * 30
    create(server, "known8", **{"from": "base"}, quantize="q8_0")
    for whole, eight, text in (("mini", "eight", TEXT), ("base", "known8", known)):
        before, after = (measured(server, model, text=text) for model in (whole, eight))
        assert after["perplexity"] == pytest.approx(before["perplexity"], rel=0.02)
        assert after["size"] < 0.6 * before["size"]
    assert 4.5 < measured(server, "four")["bits_per_weight"] < 5.5
    assert measured(server, "base", text=known)["perplexity"] < 4


def test_a_loaded_model_stays_as_it_is(server: Serving) -> None:
    prompt = {"model": "mini", "prompt": "Hi!", "stream": False, "options": {"num_predict": 2}}
    assert server.post("/api/generate", prompt).status == 200
    engines = [engine.pid for engine in server.engines()]
    loaded = server.get("/api/ps").json["models"][0]["name"]
    measured(server, "mini")
    assert [engine.pid for engine in server.engines()] == engines
    assert server.get("/api/ps").json["models"][0]["name"] == loaded


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"text": ""}, 400, "the text is empty"),
    ({"text": " \n\t "}, 400, "the text is empty"),
    ({"text": "too short"}, 400, "the text is too short: it has "),
    ({"text": "x" * (MAX_TEXT_BYTES + 1)}, 413, "the text is larger than 16 MiB"),
    ({"text": 7}, 400, "does not fit"),
    ({"context": 7}, 400, "does not fit"),
    ({"context": 1025}, 400, "longer than the 1024 that the model was made for"),
    ({"context": 1 << 40}, 400, "does not fit"),
    ({"chunks": 0}, 400, "does not fit"),
    ({"chunks": -1}, 400, "does not fit"),
    ({"model": "nobody"}, 404, "model 'nobody' not found"),
    ({"model": ""}, 400, "model is required"),
    ({"model": "../x"}, 400, "invalid model name"),
]


@pytest.mark.parametrize(("fields", "status", "sentence"), BAD, ids=lambda item: str(item)[:30])
def test_what_cannot_be_measured_is_refused_in_a_sentence(
    server: Serving, fields: dict[str, Any], status: int, sentence: str
) -> None:
    before = files(server)
    answer = server.post("/api/perplexity", {"model": "mini", **SHORT, **fields})
    assert answer.status == status
    assert sentence in answer.json["error"]
    assert files(server) == before
    assert programs(server) == []


def test_a_text_that_is_not_utf_8_is_no_json(server: Serving) -> None:
    body = b'{"model": "mini", "text": "\xff\xfe"}'
    assert server.post("/api/perplexity", body).status == 400


def test_a_model_that_writes_nothing_has_no_perplexity(server: Serving, tmp_path: Path) -> None:
    extra = {"llama.pooling_type": 1}
    server.create("embeds", make_successor_model(tmp_path / "embeds.gguf", extra=extra))
    for path in ("/api/perplexity", "/api/create"):
        body = {"model": "embeds", **SHORT}
        if path == "/api/create":
            more = {"from": "embeds", "quantize": "q4_0", "imatrix": True}
            body = {"model": "x", "stream": False, **more}
        answer = server.post(path, body)
        assert (answer.status, answer.json["error"]) == (
            400,
            "the model writes no text: only models that do have a perplexity",
        )


def test_a_damaged_file_never_reaches_the_engine(server: Serving, tmp_path: Path) -> None:
    path = make_successor_model(tmp_path / "cut.gguf", dtype=np.float16)
    server.create("cut", path)
    blob = server.home / "models/blobs" / digest_of_weights(server, "cut").replace(":", "-")
    blob.write_bytes(blob.read_bytes()[:-1000])
    bodies = {
        "/api/perplexity": {"model": "cut", **SHORT},
        "/api/quantizations": {"model": "cut"},
        "/api/create": {"model": "x", "from": "cut", "quantize": "Q8_0", "stream": False},
    }
    for route, body in bodies.items():
        answer = server.post(route, body)
        assert answer.status == 400, route
        assert "ends after the end of the file" in answer.json["error"]
    server.request("DELETE", "/api/delete", {"model": "cut"})


def leave(server: Serving, path: str, body: dict[str, Any], status: str) -> None:
    """Ask, and close the connection once that is being done."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.request("POST", path, json.dumps(body))
    response = connection.getresponse()
    while status not in json.loads(response.readline())["status"]:
        pass
    wait_until(lambda: programs(server), what="the program")
    response.close()
    connection.close()


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/api/perplexity", {"model": "mini", "text": TEXT * 100, "chunks": 9999}, "measuring"),
        ("/api/create", {"model": "x", "from": "mini", "quantize": "q4_0"}, MATRIX),
    ],
)
def test_who_leaves_ends_the_work_and_leaves_nothing(
    server: Serving, path: str, body: dict[str, Any], status: str
) -> None:
    if path == "/api/create":
        body = body | {"imatrix": server.upload((TEXT * 100).encode())}
    before = files(server)
    leave(server, path, body, status)
    wait_until(lambda: not programs(server), 5, "the program's end")
    wait_until(lambda: files(server) == before, 5, "the draft being removed")
    assert measured(server, "mini")["perplexity"] > 1, "the next one has its turn"


def test_a_program_that_is_killed_is_told(server: Serving) -> None:
    body = {"model": "mini", "text": TEXT * 100, "chunks": 9999}
    host, port = server.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port))
    connection.request("POST", "/api/perplexity", json.dumps(body))
    response = connection.getresponse()
    assert json.loads(response.readline())["status"] == "loading mini:latest"
    wait_until(lambda: programs(server), what="the program")
    programs(server)[0].kill()
    last = json.loads(response.read().splitlines()[-1])
    assert last["error"] == "measuring was killed, most likely because memory ran out"
    connection.close()


def test_a_model_is_quantized_by_a_matrix_that_is_made_once(server: Serving) -> None:
    matrices = server.home / "models" / FOLDER
    before = set(matrices.glob("*"))
    text = server.upload(TEXT[:20_000].encode())
    lines = create(server, "by", quantize="IQ2_XXS", imatrix=text)
    steps = [line for line in lines if line["status"] == MATRIX]
    assert [step.get("completed", 0) for step in steps] == list(range(steps[0]["total"] + 1))
    assert {step["unit"] for step in steps} == {"chunks"}
    assert lines[-1] == {"status": "success"}
    shown = server.post("/api/show", {"model": "by"}).json
    assert shown["details"]["quantization_level"] == "IQ2_XXS"
    again = create(server, "again", quantize="q4_0", imatrix=text)
    assert not [line for line in again if line["status"] == MATRIX]
    assert again[-1] == {"status": "success"}
    create(server, "without", quantize="q4_0")
    assert digest_of_weights(server, "again") != digest_of_weights(server, "without")
    (kept,) = set(matrices.iterdir()) - before
    given = server.upload(kept.read_bytes())
    ready = create(server, "ready", quantize="q4_0", imatrix=given)
    assert not [line for line in ready if line["status"] == MATRIX]
    assert ready[-1] == {"status": "success"}
    for name in ("by", "ready"):
        blob = digest_of_weights(server, name).replace(":", "-")
        kvs = read_header(server.home / "models/blobs" / blob).kvs
        paths = [kvs["quantize.imatrix.file"], kvs["quantize.imatrix.dataset"]]
        assert not [path for path in paths if "/" in path], "nobody's folders are given away"


def test_only_the_matrices_used_last_are_kept(server: Serving) -> None:
    folder = server.home / "models" / FOLDER
    folder.mkdir(exist_ok=True)
    for place in range(KEPT + 4):
        (folder / f"{place:064d}.gguf").touch()
    create(server, "by", quantize="q4_0", imatrix=server.upload(TEXT[:9000].encode()))
    assert len(list(folder.iterdir())) == KEPT


def bad_matrices(server: Serving) -> list[tuple[dict[str, Any], int, str]]:
    own = server.upload((ASSETS / "mini-f16.gguf").read_bytes())
    return [
        ({"imatrix": True, "quantize": ""}, 400, "is for quantizing: say to which type"),
        ({"imatrix": True, "quantize": "f32"}, 400, "F32 needs no importance matrix"),
        ({"imatrix": "sha256:" + "0" * 64}, 400, "is not here: send sha256:0"),
        ({"imatrix": "text.txt"}, 400, "invalid digest format"),
        ({"imatrix": "../../x"}, 400, "invalid digest format"),
        ({"imatrix": 7}, 400, "does not fit"),
        ({"imatrix": own}, 400, "the file is a GGUF, but no importance matrix"),
        ({"imatrix": server.upload(b"GGUF" + bytes(99))}, 400, "the importance matrix has GGUF"),
        ({"imatrix": server.upload(b"  \n ")}, 400, "the text is empty"),
        ({"imatrix": server.upload(b"too short")}, 400, "the text is too short: it has"),
        ({"imatrix": server.upload(b"caf\xe9 " * 900)}, 400, "the text is not UTF-8 (byte 4)"),
        ({"imatrix": server.upload(bytes(MAX_TEXT_BYTES + 1))}, 413, "larger than 16 MiB"),
    ]


def test_what_makes_no_matrix_is_refused_in_a_sentence(server: Serving) -> None:
    cases = bad_matrices(server)
    before = files(server)
    for fields, status, sentence in cases:
        body = {"model": "x", "from": "mini", "quantize": "q4_k_m", "stream": False, **fields}
        answer = server.post("/api/create", body)
        assert (answer.status, sentence in answer.json["error"]) == (status, True), answer.body
    assert files(server) == before


def test_a_matrix_of_another_model_is_refused(server: Serving) -> None:
    create(server, "by", quantize="q4_0", imatrix=server.upload(TEXT[:9000].encode()))
    kept = [path.read_bytes() for path in (server.home / "models" / FOLDER).iterdir()]
    matrix = server.upload(max(kept, key=len))
    body = {"model": "x", "from": "base", "quantize": "q4_0", "imatrix": matrix, "stream": False}
    answer = server.post("/api/create", body)
    assert (answer.status, answer.json["error"]) == (
        400,
        "the importance matrix was made for another model",
    )


def test_a_type_that_needs_a_matrix_is_refused_before_anything_is_done(server: Serving) -> None:
    answer = server.post("/api/create", {"model": "x", "from": "mini", "quantize": "iq1_s"})
    assert answer.status == 400
    assert answer.json["error"].startswith("IQ1_S needs an importance matrix: give one with")


def test_what_is_quantized_is_quantized_again_only_where_that_is_said(server: Serving) -> None:
    create(server, "once", quantize="q8_0")
    body = {"model": "twice", "from": "once", "quantize": "q4_0", "stream": False}
    refused = server.post("/api/create", body)
    assert refused.status == 400
    assert refused.json["error"].endswith(
        "this one is Q8_0 already: quantize its F16 original instead, or allow it with "
        "`requantize`, which loses more"
    )
    assert server.post("/api/create", body | {"requantize": True}).json == {"status": "success"}
    shown = server.post("/api/show", {"model": "twice"}).json
    assert shown["details"]["quantization_level"] == "Q4_0"


def test_a_disk_that_is_full_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("disk")
    with (
        mounted(folder, "size=48k") as disk,
        serving(tmp_path_factory.mktemp("home"), AYLLU_MODELS=str(disk)) as server,
    ):
        before = sorted(disk.rglob("*"))
        body = {"model": "x", "from": "mini", "quantize": "q4_0", "stream": False}
        for path, more in (
            ("/api/create", body),
            ("/api/create", body | {"imatrix": True}),
            ("/api/perplexity", {"model": "mini", "text": TEXT + TEXT, **SHORT}),
        ):
            answer = server.post(path, more)
            assert answer.status == 500
            assert "there is no space left in" in answer.json["error"]
        assert sorted(path for path in disk.rglob("*") if path.is_file()) == [
            path for path in before if path.is_file()
        ]


def test_a_plan_has_every_type_with_its_size(server: Serving) -> None:
    plan = server.post("/api/quantizations", {"model": "mini"}).json
    assert (plan["quantization"], plan["recommended"]) == ("F16", "Q8_0")
    rows = {row["type"]: row for row in plan["types"]}
    assert len(rows) == 35
    assert [row["size"] for row in plan["types"]] == sorted(
        (row["size"] for row in plan["types"]), reverse=True
    )
    assert rows["IQ1_S"]["needs_imatrix"]
    assert not rows["Q4_K_M"]["needs_imatrix"]
    assert rows["F16"]["size"] == pytest.approx(plan["size"], abs=512)
    beside = {row["memory"] - row["size"] for row in plan["types"]}
    short = server.post("/api/quantizations", {"model": "mini", "context": 64}).json
    assert short["context"] == 64
    assert len(beside) == 1
    assert min(beside) > short["types"][0]["memory"] - short["types"][0]["size"] > 0
    assert all(row["fits_now"] <= row["fits"] for row in plan["types"])
    create(server, "four", quantize="q4_k_m")
    small = server.post("/api/quantizations", {"model": "four"}).json
    assert (small["quantization"], small["recommended"]) == ("Q4_K_M", "Q4_K_M")
    assert server.post("/api/quantizations", {"model": "nobody"}).status == 404


@pytest.mark.parametrize(
    ("room", "kind", "size", "best"),
    [
        (999, "F16", 160, "Q8_0"),
        (85, "F16", 160, "Q8_0"),
        (84, "F16", 160, "Q6_K"),
        (50, "F16", 160, "Q4_K_M"),
        (20, "F16", 160, ""),
        (999, "Q6_K", 70, "Q6_K"),
        (999, "Q5_0", 60, "Q5_K_M"),
        (40, "Q6_K", 70, "Q3_K_M"),
    ],
)
def test_the_best_type_is_the_largest_that_fits(room: int, kind: str, size: int, best: str) -> None:
    sizes = dict(zip(LADDER, (85, 70, 55, 50, 45, 40, 30), strict=True))
    rows = [
        Quantization(
            type=name,
            size=bits,
            bits_per_weight=bits / 10,
            memory=bits,
            fits=True,
            fits_now=True,
            needs_imatrix=False,
        )
        for name, bits in sizes.items()
    ]
    assert recommend(rows, room, kind, size) == best
