"""Filling in between a prompt and a suffix, by the vocabulary's tokens or by a Go template."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gguf_maker import CHATML, CYCLE, SPECIALS, byte_letters, make_successor_model, walk
from serving import Serving, serving, wait_until

PREFIX, SUFFIX, MIDDLE = 258, 259, 260
IDS = {"fim_pre": PREFIX, "fim_suf": SUFFIX, "fim_mid": MIDDLE}
BY_KEY: dict[str, Any] = {f"tokenizer.ggml.{name}_token_id": id_ for name, id_ in IDS.items()}
SPELLED = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
BY_TEXT = {"tokenizer.ggml.tokens": [*byte_letters(), *SPECIALS[:2], *SPELLED, SPECIALS[5]]}
GREEDY = {"temperature": 0}
ANSWER = [*b"abcdefghij", 257]
"""With the end token."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, chat_gguf: Path) -> Iterator[Serving]:
    """Models that fill in by token, by spelling, by spelling with a begin token; and one not."""
    folder = tmp_path_factory.mktemp("models")
    begins = BY_TEXT | {"tokenizer.ggml.add_bos_token": True}
    with serving(tmp_path_factory.mktemp("home")) as running:
        for name, extra in (("key", BY_KEY), ("text", BY_TEXT), ("begins", begins)):
            running.create(
                name,
                make_successor_model(
                    folder / name, chat_template=CHATML, end_after="j", extra=extra
                ),
            )
        running.create("chat", chat_gguf)
        running.create("go", chat_gguf, template="{{ .Suffix }}|{{ .Prompt }}")
        own = "{{ .Suffix }}|{{ .Prompt }}{{ .Response }}"
        running.create("both", folder / "key", template=own)
        running.create("other", folder / "key", template="{{ .Prompt }}")
        yield running


def generate(server: Serving, model: str, **fields: Any) -> Any:
    return server.post("/api/generate", {"model": model, "stream": False, **fields}).json


def ids(text: str) -> list[int]:
    return list(text.encode())


@pytest.mark.parametrize(
    ("model", "can"),
    [("key", True), ("text", True), ("begins", True), ("chat", False), ("go", True)],
)
def test_a_model_that_can_insert_says_so(server: Serving, model: str, can: bool) -> None:
    shown = server.post("/api/show", {"model": model}).json["capabilities"]
    assert ("insert" in shown) is can


@pytest.mark.parametrize("model", ["key", "text", "begins", "other"])
def test_the_gap_is_filled_in(server: Serving, model: str) -> None:
    answer = generate(server, model, prompt="def f(", suffix="):\n")
    assert answer["response"] == "abcdefghij"
    assert answer["done_reason"] == "stop"
    begin = [256] if model == "begins" else []
    prompt = [*begin, PREFIX, *ids("def f("), SUFFIX, *ids("):\n"), MIDDLE]
    assert answer["context"] == [*prompt, *ANSWER]
    assert answer["prompt_eval_count"] == len(prompt)
    assert answer["eval_count"] == 11


def test_the_gap_is_filled_in_a_line_per_token(server: Serving) -> None:
    body = {"model": "text", "prompt": "x", "suffix": "y"}
    *pieces, last = server.post("/api/generate", body).lines
    assert [line["response"] for line in pieces] == list("abcdefghij")
    assert last["done"]
    assert last["total_duration"] > last["eval_duration"] > 0


def test_options_format_and_probabilities_count_as_usual(server: Serving) -> None:
    gap = {"prompt": "x", "suffix": "y"}
    assert generate(server, "key", **gap, options={"stop": ["d"]})["response"] == "abc"
    short = generate(server, "key", **gap, options={"num_predict": 2})
    assert (short["response"], short["done_reason"]) == ("ab", "length")
    schema = {"type": "boolean"}
    forced = generate(server, "key", **gap, format=schema, options={"num_predict": 20} | GREEDY)
    assert forced["response"].strip() in {"true", "false"}
    told = generate(server, "key", **gap, logprobs=True, options={"num_predict": 1})
    assert [item["token"] for item in told["logprobs"]] == ["a"]


def test_names_of_special_tokens_in_the_texts_are_text(server: Serving) -> None:
    answer = generate(server, "text", prompt="<|fim_middle|>", suffix="<|im_end|>")
    assert answer["context"][: -len(ANSWER)] == [
        PREFIX,
        *ids("<|fim_middle|>"),
        SUFFIX,
        *ids("<|im_end|>"),
        MIDDLE,
    ]


def test_the_gap_may_be_at_the_start_of_a_text(server: Serving) -> None:
    answer = generate(server, "key", suffix="xyz")
    assert answer["response"] == "abcdefghij"
    assert answer["context"][:2] == [PREFIX, SUFFIX]
    assert generate(server, "chat")["done_reason"] == "load"
    assert generate(server, "go", suffix="xyz")["done_reason"] == "load"


def test_a_context_goes_before_the_gap(server: Serving) -> None:
    first = generate(server, "begins", prompt="x", suffix="y", options={"num_predict": 2})
    second = generate(
        server,
        "begins",
        prompt="v",
        suffix="w",
        context=first["context"],
        options={"num_predict": 1},
    )
    more = [PREFIX, ord("v"), SUFFIX, ord("w"), MIDDLE, ord("a")]
    assert second["context"] == [*first["context"], *more]


def test_long_texts_are_cut_far_from_the_gap(server: Serving) -> None:
    before = "".join(CYCLE[n % 26] for n in range(2000))
    answer = generate(server, "key", prompt=before, suffix=before[::-1])
    prompt = answer["context"][: -len(ANSWER)]
    assert len(prompt) == answer["prompt_eval_count"] == 512 - 512 // 4
    gap = prompt.index(SUFFIX)
    assert prompt[1:gap] == ids(before)[-(gap - 1) :]
    assert prompt[gap + 1 : -1] == ids(before[::-1])[: len(prompt) - gap - 2]
    assert 2.9 < (gap - 1) / (len(prompt) - gap - 2) < 3.1
    body = {"model": "key", "prompt": before, "suffix": "x", "truncate": False}
    refused = server.post("/api/generate", body)
    assert refused.status == 400
    assert "the prompt has 2004 tokens and the context holds 512" in refused.json["error"]


def test_without_shift_an_answer_in_a_gap_ends_where_the_context_does(
    server: Serving, tmp_path: Path
) -> None:
    server.create("endless", make_successor_model(tmp_path / "x", context=64, extra=BY_KEY))
    answer = generate(server, "endless", prompt="x", suffix="y", shift=False)
    assert (answer["response"], answer["done_reason"]) == (walk(64 - 5), "length")


def test_a_raw_prompt_stays_as_it_is(server: Serving) -> None:
    answer = generate(server, "key", prompt="c", suffix="y", raw=True, options={"num_predict": 1})
    assert (answer["response"], answer["prompt_eval_count"]) == ("d", 1)


def test_a_go_template_with_a_suffix_comes_first(server: Serving) -> None:
    answer = generate(server, "both", prompt="ab", suffix="xy", options={"num_predict": 1})
    assert answer["context"] == ids("xy|abc")
    asked = generate(
        server,
        "key",
        prompt="ab",
        suffix="xy",
        template="{{ .Prompt }}{{ .Suffix }}",
        options={"num_predict": 1},
    )
    assert asked["context"] == ids("abxyz")


@pytest.mark.parametrize(
    ("model", "fields", "words"),
    [
        ("chat", {}, "registry.ollama.ai/library/chat:latest does not support insert"),
        ("key", {"images": ["AA"]}, "a suffix and images cannot be in one request"),
        ("key", {"template": "{{ if"}, "template"),
        ("key", {"raw": True, "system": "x"}, "raw mode does not support template"),
    ],
)
def test_what_cannot_be_filled_in_is_refused(
    server: Serving, model: str, fields: dict[str, Any], words: str
) -> None:
    body = {"model": model, "prompt": "a", "suffix": "b", **fields}
    answer = server.post("/api/generate", body)
    assert (answer.status, words in answer.json["error"]) == (400, True), answer.body


def test_who_leaves_a_gap_frees_the_slot(server: Serving, tmp_path: Path) -> None:
    path = make_successor_model(tmp_path / "x", context=8192, extra=BY_KEY)
    server.create("long", path)
    host, port = server.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port))
    body = {"model": "long", "prompt": "a", "suffix": "b", "keep_alive": 0}
    connection.request("POST", "/api/generate", json.dumps(body))
    assert json.loads(connection.getresponse().readline())["response"] == "a"
    connection.close()
    wait_until(
        lambda: "long:latest" not in {row["name"] for row in server.get("/api/ps").json["models"]},
        what="the model being let go",
    )
