"""Documents in order of relevance, by real rerankers in real engines whose order is known."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gguf_maker import CHATML, make_successor_model
from reranker_maker import make_judge, make_reranker
from serving import Answer, Serving, serving

QUERY = "a b c"
DOCUMENTS = ["x y z", "a b c", "a b x", "a x y"]
ORDER = [1, 2, 3, 0]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, base_gguf: Path) -> Iterator[Serving]:
    """A cross-encoder, a judge that says yes or no, one that lost its head, and none."""
    folder = tmp_path_factory.mktemp("models")
    with serving(tmp_path_factory.mktemp("home")) as running:
        running.create("cross", make_reranker(folder / "cross.gguf"))
        running.create("judge", make_judge(folder / "judge.gguf"))
        extra = {"llama.pooling_type": 4}
        running.create("headless", make_successor_model(folder / "headless.gguf", extra=extra))
        extra = {"llama.pooling_type": 1}
        running.create("embedder", make_successor_model(folder / "embedder.gguf", extra=extra))
        running.create("base", base_gguf)
        yield running


def rerank(server: Serving, path: str = "/api/rerank", **fields: Any) -> Answer:
    usual = {"model": "cross", "query": QUERY, "documents": DOCUMENTS}
    return server.post(path, usual | fields)


def places(answer: Answer) -> list[int]:
    assert answer.status == 200, answer.body
    return [row["index"] for row in answer.json["results"]]


@pytest.mark.parametrize("path", ["/api/rerank", "/v1/rerank"])
def test_what_shares_the_querys_words_comes_first(server: Serving, path: str) -> None:
    answer = rerank(server, path)
    assert places(answer) == ORDER
    scores = [row["relevance_score"] for row in answer.json["results"]]
    assert scores == sorted(scores, reverse=True)
    assert 1 > scores[0] > 0.5 > scores[-1] > 0
    assert len(set(scores)) == 4
    assert rerank(server, path, documents=DOCUMENTS[::-1]).json["results"][0]["index"] == 2
    assert rerank(server, path, query="x y z").json["results"][0]["index"] == 0


def test_the_same_documents_get_the_same_scores(server: Serving) -> None:
    once, again = rerank(server).json["results"], rerank(server).json["results"]
    assert once == again
    many = rerank(server, documents=DOCUMENTS * 5).json["results"]
    assert [row["index"] for row in many[:5]] == [1, 5, 9, 13, 17]
    assert {row["relevance_score"] for row in many[:5]} == {once[0]["relevance_score"]}
    alone = rerank(server, documents=DOCUMENTS[1:2]).json["results"]
    assert alone[0]["relevance_score"] == pytest.approx(once[0]["relevance_score"])


def test_ollamas_form_has_durations_and_counts(server: Serving) -> None:
    answer = rerank(server, top_n=2).json
    assert set(answer) == {
        "model",
        "results",
        "total_duration",
        "load_duration",
        "prompt_eval_count",
    }
    assert answer["model"] == "cross"
    assert [set(row) for row in answer["results"]] == [{"index", "relevance_score"}] * 2
    assert answer["prompt_eval_count"] == 4 * (3 + 3 + 2)
    assert answer["total_duration"] > answer["load_duration"] > 0


def test_jinas_form_has_the_documents_and_the_usage(server: Serving) -> None:
    documents = [{"text": text, "id": 7} for text in DOCUMENTS]
    answer = rerank(server, "/v1/rerank", documents=documents, top_n=1).json
    score = answer["results"][0].pop("relevance_score")
    assert 0.9 < score < 1
    assert answer == {
        "object": "list",
        "model": "cross",
        "results": [{"index": 1, "document": {"text": "a b c"}}],
        "usage": {"prompt_tokens": 32, "total_tokens": 32},
    }


@pytest.mark.parametrize("path", ["/api/rerank", "/v1/rerank"])
def test_documents_come_back_where_wanted_and_all_without_top_n(server: Serving, path: str) -> None:
    with_them = rerank(server, path, return_documents=True, top_n=99).json["results"]
    assert [row["document"]["text"] for row in with_them] == [DOCUMENTS[i] for i in ORDER]
    without = rerank(server, path, return_documents=False, top_n=None).json["results"]
    assert ["document" in row for row in without] == [False] * 4


def test_a_judge_with_a_template_of_its_own_tells_a_probability(server: Serving) -> None:
    documents = ["xz", "xa", "xm", "xb"]
    answer = rerank(server, model="judge", documents=documents)
    assert places(answer) == [1, 3, 2, 0]
    assert answer.json["results"][2]["relevance_score"] == pytest.approx(0.5)
    marks = len("judge\n") + len(QUERY) + len("\n") + 2
    assert answer.json["prompt_eval_count"] == 4 * (marks + 2)


@pytest.mark.parametrize("model", ["cross", "judge"])
def test_a_long_document_is_cut_unless_told_otherwise(server: Serving, model: str) -> None:
    long = "a b " * 1000
    documents = [DOCUMENTS[0], long]
    answer = rerank(server, model=model, documents=documents, return_documents=True)
    tokens = answer.json["prompt_eval_count"]
    short = rerank(server, model=model, documents=documents[:1]).json["prompt_eval_count"]
    assert 500 < tokens - short < 512
    assert long in [row["document"]["text"] for row in answer.json["results"]]
    if model == "judge":  # by the last letter that it saw
        assert places(rerank(server, model=model, documents=["z" * 2000 + "a", "b"])) == [1, 0]
    refused = rerank(server, model=model, documents=documents, truncate=False)
    assert refused.status == 400
    assert "documents[1] and the query have" in refused.json["error"]
    assert "this model reads 511" in refused.json["error"]


def test_a_document_that_just_fits_is_not_cut(server: Serving) -> None:
    fits = " ".join("a" * (511 - 4 - 3))
    answer = rerank(server, documents=[fits], truncate=False)
    assert answer.json["prompt_eval_count"] == 3 + 504 + 2
    assert rerank(server, documents=[fits + " a"], truncate=False).status == 400


def test_letters_outside_of_ascii_are_cut_whole(server: Serving) -> None:
    answer = rerank(server, model="judge", documents=["€" * 1000])
    assert 490 < answer.json["prompt_eval_count"] < 512


def test_a_query_that_fills_the_context_is_refused(server: Serving) -> None:
    answer = rerank(server, query="a " * 600)
    assert answer.status == 400
    assert "the query leaves no room" in answer.json["error"]


def test_no_documents_only_load_the_model(server: Serving) -> None:
    assert server.post("/api/rerank", {"model": "cross", "keep_alive": "9m"}).json == {
        "model": "cross",
        "results": [],
    }
    rows = {row["name"]: row for row in server.get("/api/ps").json["models"]}
    assert rows["cross:latest"]["context_length"] == 512
    unload = server.post("/api/generate", {"model": "cross", "keep_alive": 0}).json
    assert unload["done_reason"] == "unload"
    assert "cross:latest" not in {row["name"] for row in server.get("/api/ps").json["models"]}


def test_options_and_keep_alive_count(server: Serving) -> None:
    assert rerank(server, options={"num_ctx": 64}, keep_alive=-1).status == 200
    rows = {row["name"]: row for row in server.get("/api/ps").json["models"]}
    assert rows["cross:latest"]["context_length"] == 64
    assert rows["cross:latest"]["expires_at"] > "2100"
    refused = rerank(server, options={"num_ctx": 64}, documents=["a " * 64], truncate=False)
    assert "this model reads 63" in refused.json["error"]


def test_a_reranker_says_that_it_is_one(server: Serving) -> None:
    for name, can in (
        ("cross", ["rerank"]),
        ("judge", ["rerank"]),
        ("headless", ["rerank"]),
        ("embedder", ["embedding"]),
        ("base", ["completion"]),
    ):
        assert server.post("/api/show", {"model": name}).json["capabilities"] == can


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/api/chat", {"messages": [{"role": "user", "content": "a"}]}, "does not support chat"),
        ("/api/generate", {"prompt": "a"}, "does not support generate"),
        ("/api/embed", {"input": "a"}, "makes no embeddings: use /api/rerank"),
        ("/api/embeddings", {"prompt": "a"}, "makes no embeddings: use /api/rerank"),
        ("/v1/embeddings", {"input": "a"}, "makes no embeddings: use /api/rerank"),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "a"}]},
            "does not support chat",
        ),
        ("/v1/completions", {"prompt": "a"}, "does not support completions"),
    ],
)
def test_a_reranker_does_nothing_else(server: Serving, path: str, body: Any, words: str) -> None:
    for model in ("cross", "headless"):
        answer = server.post(path, {"model": model, **body})
        assert answer.status == 400
        error = answer.json["error"]
        assert words in (error if path.startswith("/api") else error["message"])


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"model": ""}, 400, "model is required"),
        ({"model": "nope"}, 404, "model 'nope' not found"),
        ({"model": "a b"}, 400, "invalid model name"),
        ({"model": "base"}, 400, '"base" does not support rerank'),
        ({"model": "embedder"}, 400, '"embedder" does not support rerank'),
        ({"model": "headless"}, 400, "lacks the classifier (cls.output.weight)"),
        ({"query": ""}, 400, "query is required"),
        ({"query": 5}, 400, "$.query"),
        ({"documents": "a"}, 400, "documents is not a list"),
        ({"documents": ["a", 5]}, 400, "documents[1] is neither a text nor an object"),
        ({"documents": [{"title": "a"}]}, 400, "documents[0] is neither a text nor an object"),
        ({"documents": [None]}, 400, "documents[0] is neither a text nor an object"),
        ({"top_n": 0}, 400, "$.top_n"),
        ({"top_n": "two"}, 400, "$.top_n"),
        ({"keep_alive": "soon"}, 400, "invalid duration"),
    ],
)
def test_mistakes_are_told_in_each_dialects_shape(
    server: Serving, fields: Any, status: int, words: str
) -> None:
    ours = rerank(server, **fields)
    assert (ours.status, words in ours.json["error"]) == (status, True), ours.body
    theirs = rerank(server, "/v1/rerank", **fields)
    assert (theirs.status, words in theirs.json["error"]["message"]) == (status, True), theirs.body


def test_jinas_form_wants_a_document(server: Serving) -> None:
    for body in (b'{"model": "cross", "query": "a", "documents": []}', b'{"model": "cross"}'):
        answer = server.post("/v1/rerank", body)
        assert (answer.status, answer.json["error"]["message"]) == (
            400,
            "documents has no document",
        )


def test_a_file_that_only_has_the_head_of_a_reranker_is_one(
    server: Serving, tmp_path: Path
) -> None:
    """Converters do not write the pooling type of an encoder that classifies."""
    path = make_reranker(tmp_path / "bare.gguf", extra={"bert.pooling_type": 2})
    server.create("bare", path)
    assert places(rerank(server, model="bare")) == ORDER


def test_a_reranker_of_a_chat_family_keeps_its_chat_template(
    server: Serving, tmp_path: Path
) -> None:
    extra = {"tokenizer.chat_template": CHATML}
    server.create("chatty", make_judge(tmp_path / "chatty.gguf", extra=extra))
    assert server.post("/api/show", {"model": "chatty"}).json["capabilities"] == ["rerank"]
    assert places(rerank(server, model="chatty", documents=["z", "a"])) == [1, 0]


def test_a_killed_engine_is_replaced_and_the_documents_are_scored(server: Serving) -> None:
    expected = rerank(server).json["results"]
    for process in server.engines():
        process.send_signal(signal.SIGKILL)
        time.sleep(0.01)
    assert rerank(server).json["results"] == expected
