"""Models in the form of Ollama's odd GGUFs: corrected once, and then answering as any other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gguf_maker import walk
from media_samples import b64, png
from odd_maker import KINDS, SIDE, make_odd
from projector_maker import WIDTH
from serving import Serving, serving

SEEING = ["gemma3", "qwen25vl", "qwen3vl", "mistral3"]
COLOURS = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("odd")
    with serving(tmp_path_factory.mktemp("home")) as running:
        for kind in KINDS:
            running.create(kind.replace("_", "-"), make_odd(folder / f"{kind}.gguf", kind))
        yield running


def copies(server: Serving) -> set[str]:
    folder = server.home / "models" / ".ayllu.compat"
    return {path.name for path in folder.iterdir()} - {"lock"} if folder.is_dir() else set()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "embeddinggemma"])
def test_an_odd_model_answers(server: Serving, kind: str) -> None:
    body = {"model": kind.replace("_", "-"), "prompt": "a", "raw": True, "stream": False}
    before = copies(server)
    answer = server.post("/api/generate", body)
    assert answer.status == 200, answer.body
    assert answer.json["response"] == walk(26)[1:], answer.body
    made = {name.rpartition("-")[2] for name in copies(server) - before}
    by_keys_alone = kind in {"gemma3_text", "llama3"}
    assert len(made) == (0 if by_keys_alone else 2 if kind in SEEING else 1), made


@pytest.mark.parametrize("kind", SEEING)
@pytest.mark.parametrize("letter", COLOURS)
def test_an_odd_model_sees(server: Serving, kind: str, letter: str) -> None:
    assert "vision" in server.post("/api/show", {"model": kind}).json["capabilities"]
    message = {"role": "user", "content": "look", "images": [b64(png(SIDE, SIDE, COLOURS[letter]))]}
    body = {
        "model": kind,
        "messages": [message],
        "stream": False,
        "options": {"num_predict": 3, "temperature": 0},
    }
    answer = server.post("/api/chat", body)
    assert answer.status == 200, answer.body
    assert answer.json["message"]["content"] == letter * 3


def test_an_odd_embedding_model_embeds(server: Serving) -> None:
    answer = server.post("/api/embed", {"model": "embeddinggemma", "input": ["abc", "xyz"]})
    assert answer.status == 200, answer.body
    one, other = answer.json["embeddings"]
    assert len(one) == len(other) == WIDTH
    assert one != other
    assert sum(number * number for number in one) == pytest.approx(1)


@pytest.mark.parametrize("kind", KINDS)
def test_an_odd_model_is_neither_measured_nor_quantized_as_it_is(
    server: Serving, kind: str
) -> None:
    name = kind.replace("_", "-")
    quantized = {"model": "x", "from": name, "quantize": "q8_0", "stream": False}
    for path, body in (
        ("/api/perplexity", {"model": name}),
        ("/api/create", quantized),
        ("/api/quantizations", {"model": name}),
    ):
        answer = server.post(path, body)
        assert answer.status == 400, (path, answer.body)
        if kind != "embeddinggemma" or path != "/api/perplexity":  # which writes no text
            assert "in a form of Ollama's own" in answer.json["error"], path
