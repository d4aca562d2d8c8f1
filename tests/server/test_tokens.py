"""Texts as token ids and back, by the tokenizers of real models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gguf_maker import CHATML, make_successor_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reranker_maker import make_reranker
from serving import Answer, Serving, serving

from ayllu.chat.tokens import surely_fits


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chat_gguf: Path) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("models")
    with serving(tmp_path_factory.mktemp("home")) as running:
        running.create("chat", chat_gguf)
        extra = {"tokenizer.ggml.add_bos_token": True}
        begins = make_successor_model(folder / "b.gguf", chat_template=CHATML, extra=extra)
        running.create("begins", begins)
        running.create("cross", make_reranker(folder / "cross.gguf"))
        yield running


def tokenize(server: Serving, content: Any, model: str = "chat", **fields: Any) -> Any:
    answer = server.post("/api/tokenize", {"model": model, "content": content, **fields})
    assert answer.status == 200, answer.body
    return answer.json["tokens"]


def detokenize(server: Serving, tokens: Any, model: str = "chat") -> Any:
    answer = server.post("/api/detokenize", {"model": model, "tokens": tokens})
    assert answer.status == 200, answer.body
    return answer.json["content"]


def test_a_text_becomes_tokens_and_a_text_again(server: Serving) -> None:
    answer = server.post("/api/tokenize", {"model": "chat", "content": "héllo"})
    assert answer.json["tokens"] == list("héllo".encode())
    assert set(answer.json) == {"model", "tokens", "total_duration", "load_duration"}
    assert answer.json["total_duration"] > answer.json["load_duration"] > 0
    back = server.post("/api/detokenize", {"model": "chat", "tokens": answer.json["tokens"]})
    assert back.json["content"] == "héllo"
    assert set(back.json) == {"model", "content", "total_duration", "load_duration"}
    assert (tokenize(server, ""), detokenize(server, [])) == ([], "")


def test_special_tokens_are_found_and_added_where_wanted(server: Serving) -> None:
    marked = "<|im_start|>a"
    assert tokenize(server, marked) == [256, 97]
    assert tokenize(server, marked, parse_special=False) == list(marked.encode())
    assert tokenize(server, "a", model="begins") == [97]
    assert tokenize(server, "a", model="begins", add_special=True) == [256, 97]
    assert detokenize(server, [256, 97, 257]) == "<|im_start|>a<|im_end|>"


def test_pieces_that_are_no_text_alone_are_bytes(server: Serving) -> None:
    pieces = tokenize(server, "aé", with_pieces=True)
    assert pieces == [
        {"id": 97, "piece": "a"},
        {"id": 195, "piece": [195]},
        {"id": 169, "piece": [169]},
    ]
    special = tokenize(server, "<|im_end|>", with_pieces=True, add_special=True)
    assert special == [{"id": 257, "piece": "<|im_end|>"}]


def test_models_that_do_not_chat_have_tokens_too(server: Serving) -> None:
    assert tokenize(server, "a b", model="cross", add_special=True) == [2, 5, 6, 3]
    assert detokenize(server, [5, 6], model="cross") == " a b"


def test_the_tokens_are_those_that_a_prompt_counts(server: Serving) -> None:
    text = "Count me, por favor: 1, 2, 3. <|im_start|>"
    ours = len(tokenize(server, text, model="mini", add_special=True))
    body = {"model": "mini", "prompt": text, "raw": True, "stream": False}
    answer = server.post("/api/generate", body | {"options": {"num_predict": 1}})
    assert answer.json["prompt_eval_count"] == ours


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=st.text(max_size=30))
def test_every_text_comes_back_as_it_was(server: Serving, text: str) -> None:
    tokens = tokenize(server, text, parse_special=False)
    assert detokenize(server, tokens) == text
    pieces = tokenize(server, text, parse_special=False, with_pieces=True)
    raw = [bytes(p) if isinstance(p, list) else p.encode() for p in (i["piece"] for i in pieces)]
    assert b"".join(raw).decode() == text
    assert not surely_fits(text, len(tokens) - 1)


def test_keep_alive_and_options_count(server: Serving) -> None:
    tokenize(server, "a", keep_alive=-1, options={"num_ctx": 128})
    rows = {row["name"]: row for row in server.get("/api/ps").json["models"]}
    assert rows["chat:latest"]["context_length"] == 128
    assert rows["chat:latest"]["expires_at"] > "2100"
    body = {"model": "chat", "tokens": [97], "keep_alive": 0}
    assert server.post("/api/detokenize", body).json["content"] == "a"
    assert "chat:latest" not in {row["name"] for row in server.get("/api/ps").json["models"]}


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("tokenize", {"content": "a"}, 400, "model is required"),
        ("detokenize", {"tokens": [1]}, 400, "model is required"),
        ("tokenize", {"model": "nope", "content": "a"}, 404, "model 'nope' not found"),
        ("tokenize", {"model": "chat"}, 400, "content is required"),
        ("tokenize", {"model": "chat", "content": ["a"]}, 400, "$.content"),
        ("tokenize", {"model": "chat", "content": "a", "add_special": "x"}, 400, "$.add_special"),
        ("tokenize", {"model": "chat", "content": "a", "keep_alive": {}}, 400, "Unsupported type"),
        ("detokenize", {"model": "chat"}, 400, "tokens is required"),
        ("detokenize", {"model": "chat", "tokens": "a"}, 400, "$.tokens"),
        ("detokenize", {"model": "chat", "tokens": [1.5]}, 400, "$.tokens[0]"),
        ("detokenize", {"model": "chat", "tokens": [True]}, 400, "$.tokens[0]"),
        ("detokenize", {"model": "chat", "tokens": [0, 262]}, 400, "262 is not below 262"),
        ("detokenize", {"model": "chat", "tokens": [-1]}, 400, "-1 is not below 262"),
        ("detokenize", {"model": "chat", "tokens": [1 << 70]}, 400, "is not below 262"),
    ],
)
def test_mistakes_are_told(server: Serving, path: str, body: Any, status: int, words: str) -> None:
    answer = server.post(f"/api/{path}", body)
    assert (answer.status, words in answer.json["error"]) == (status, True), answer.body


def test_tokens_of_an_earlier_answer_are_checked_as_well(server: Serving) -> None:
    body = {"model": "chat", "prompt": "a", "context": [97, 262]}
    answers: list[Answer] = [
        server.post("/api/generate", body),
        server.post("/api/generate", body | {"_debug_render_only": True}),
    ]
    for answer in answers:
        assert (answer.status, "262 is not below 262" in answer.json["error"]) == (400, True)
