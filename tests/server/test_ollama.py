"""Ollama's API on a real server with real engines; what the models answer is known beforehand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gguf_maker import make_successor_model, walk
from serving import Serving

from ayllu import __version__

GREEDY = {"temperature": 0}
USER = [{"role": "user", "content": "hello"}]
F = {"name": "add"}


def chat(server: Serving, **fields: Any) -> Any:
    return server.post("/api/chat", {"messages": USER, "stream": False, **fields}).json


def generate(server: Serving, **fields: Any) -> Any:
    return server.post("/api/generate", {"stream": False, **fields}).json


def test_the_root_says_what_ollama_says(server: Serving) -> None:
    assert server.get("/").body == b"Ollama is running"
    assert server.request("HEAD", "/").status == 200


def test_the_version_is_told_and_that_of_an_ollama_that_can_as_much(server: Serving) -> None:
    told = server.get("/api/version").json
    assert told["ayllu"] == __version__
    # Codex wants 0.13.4, VS Code 0.6.4.
    assert tuple(map(int, told["version"].split("."))) >= (0, 13, 4)


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/api/nowhere", 404, b"404 page not found"),
        ("GET", "/api/chat", 405, b"405 method not allowed"),
    ],
)
def test_unknown_paths_and_methods_answer_as_gos_router_does(
    server: Serving, method: str, path: str, status: int, body: bytes
) -> None:
    answer = server.request(method, path)
    assert (answer.status, answer.body) == (status, body)


def test_a_chat_is_answered_with_the_models_own_template(server: Serving) -> None:
    answer = chat(server, model="chat")
    assert answer["message"] == {"role": "assistant", "content": walk(26)}
    assert (answer["done"], answer["done_reason"], answer["model"]) == (True, "stop", "chat")
    assert answer["prompt_eval_count"] == len("user\nhello\nassistant\n") + 3
    assert answer["eval_count"] == 27
    assert answer["total_duration"] > answer["eval_duration"] > 0


def test_a_chat_streams_a_line_per_token(server: Serving) -> None:
    answer = server.post("/api/chat", {"model": "chat", "messages": USER})
    assert answer.headers["content-type"] == "application/x-ndjson"
    *pieces, last = answer.lines
    assert "".join(line["message"]["content"] for line in pieces) == walk(26)
    assert len(pieces) == 26
    assert not any(line["done"] for line in pieces)
    assert (last["done"], last["message"]["content"]) == (True, "")


def test_a_prompt_is_answered_and_its_context_continues_it(server: Serving) -> None:
    first = generate(server, model="base", prompt="abc", options={"num_predict": 3})
    assert (first["response"], first["done_reason"]) == ("def", "length")
    assert first["context"] == [ord(letter) for letter in "abcdef"]
    second = generate(
        server, model="base", prompt="g", context=first["context"], options={"num_predict": 2}
    )
    assert second["response"] == "hi"
    assert second["prompt_eval_count"] == 7


def test_a_raw_prompt_goes_as_it_is(server: Serving) -> None:
    answer = generate(
        server, model="chat", prompt="x", raw=True, options={"num_predict": 2} | GREEDY
    )
    assert answer["response"] == "yz"
    assert "context" not in answer


def test_a_template_of_the_request_replaces_the_models(server: Serving) -> None:
    answer = generate(
        server, model="chat", prompt="a", template="{{ .Prompt }}bc", options={"num_predict": 2}
    )
    assert answer["response"] == "de"


def test_a_system_prompt_comes_before_the_prompt(server: Serving) -> None:
    alone = generate(server, model="chat", prompt="hi")["prompt_eval_count"]
    more = generate(server, model="chat", prompt="hi", system="Be brief.")["prompt_eval_count"]
    assert more == alone + len("system\nBe brief.\n") + 2


def test_stop_words_seed_and_limits_are_honoured(server: Serving) -> None:
    assert chat(server, model="chat", options={"stop": ["d"]})["message"]["content"] == "abc"
    limited = chat(server, model="chat", options={"num_predict": 5})
    assert (limited["message"]["content"], limited["done_reason"]) == ("abcde", "length")


def test_json_is_forced_by_format(server: Serving) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "boolean"}}, "required": ["n"]}
    answer = chat(server, model="chat", format=schema, options={"num_predict": 200})
    assert set(json.loads(answer["message"]["content"])) == {"n"}
    anything = generate(server, model="base", prompt="a", format="json", options={"num_predict": 9})
    assert anything["response"].lstrip().startswith("{")


def test_thinking_and_tool_calls_come_apart(server: Serving) -> None:
    number = {"type": "number"}
    parameters = {"type": "object", "properties": {"a": number, "b": number}}
    tool = {"function": {"name": "add", "parameters": parameters}}
    lines = server.post("/api/chat", {"model": "tool", "messages": USER, "tools": [tool]}).lines
    thinking = "".join(line["message"].get("thinking", "") for line in lines)
    calls = [call for line in lines for call in line["message"].get("tool_calls", ())]
    assert thinking.strip() == "Let me see."
    assert [call["function"]["name"] for call in calls] == ["add"]
    assert calls[0]["function"]["arguments"] == {"a": 1, "b": 2}
    assert not any("<think>" in line["message"]["content"] for line in lines)


def test_probabilities_come_with_the_tokens(server: Serving) -> None:
    answer = chat(
        server, model="chat", logprobs=True, top_logprobs=2, options={"num_predict": 2} | GREEDY
    )
    assert [item["token"] for item in answer["logprobs"]] == ["a", "b"]
    assert answer["logprobs"][0]["bytes"] == [97]
    assert len(answer["logprobs"][0]["top_logprobs"]) == 2
    alone = chat(server, model="chat", logprobs=True, options={"num_predict": 1})
    assert "top_logprobs" not in alone["logprobs"][0]


def test_an_empty_request_loads_and_keep_alive_0_unloads(server: Serving) -> None:
    assert generate(server, model="chat")["done_reason"] == "load"
    assert "chat:latest" in {row["name"] for row in server.get("/api/ps").json["models"]}
    assert generate(server, model="chat", keep_alive=0)["done_reason"] == "unload"
    assert "chat:latest" not in {row["name"] for row in server.get("/api/ps").json["models"]}


def test_texts_become_vectors_of_unit_length(server: Serving) -> None:
    answer = server.post("/api/embed", {"model": "base", "input": ["ab", "zzz"]}).json
    assert len(answer["embeddings"]) == 2
    assert answer["prompt_eval_count"] == 5
    for vector in answer["embeddings"]:
        assert sum(x * x for x in vector) == pytest.approx(1.0)
    # A letter's vector is near one-hot: only that of the byte 3 has anything in its first numbers.
    short = server.post("/api/embed", {"model": "base", "input": "a\3", "dimensions": 7}).json
    assert short["embeddings"][0] == pytest.approx([0, 0, 0, 1, 0, 0, 0], abs=1e-6)
    old = server.post("/api/embeddings", {"model": "base", "prompt": "ab"}).json
    assert old["embedding"] == pytest.approx(answer["embeddings"][0])


def test_long_texts_are_cut_to_embed_them_unless_told_otherwise(server: Serving) -> None:
    body = {"model": "base", "input": "a" * 2000}
    assert server.post("/api/embed", body).json["prompt_eval_count"] == 512
    answer = server.post("/api/embed", body | {"truncate": False})
    assert (answer.status, answer.json["error"]) == (
        400,
        "the input length exceeds the context length",
    )


def test_old_messages_are_left_out_where_a_chat_is_too_long(server: Serving) -> None:
    long = [
        {"role": "system", "content": "s"},
        *({"role": "user", "content": "x" * 100} for _ in range(10)),
    ]
    answer = chat(server, model="chat", messages=long)
    assert answer["message"]["content"] == walk(26)
    assert answer["truncated"] == 6
    refused = server.post(
        "/api/chat", {"model": "chat", "messages": long, "stream": False, "truncate": False}
    )
    assert refused.status == 400
    assert "the context holds 512" in refused.json["error"]


def test_a_single_message_over_the_context_is_refused(server: Serving) -> None:
    messages = [{"role": "user", "content": "x" * 600}]
    answer = server.post("/api/chat", {"model": "chat", "messages": messages})
    assert answer.status == 400
    assert "shorten the prompt or raise num_ctx" in answer.json["error"]


def test_without_shift_an_answer_ends_where_the_context_does(server: Serving) -> None:
    options = {"num_predict": 5000, "num_ctx": 64}
    body = {"model": "base", "prompt": "x" * 40, "raw": True, "options": options}
    assert generate(server, **body)["eval_count"] == 640
    bounded = generate(server, **body, shift=False)
    assert (bounded["eval_count"], bounded["done_reason"]) == (24, "length")


def test_odd_options_reach_the_engine_within_its_limits(server: Serving) -> None:
    options = {"num_batch": 1, "num_thread": 10**6, "num_ctx": 256, "seed": 1 << 60}
    assert chat(server, model="chat", options=options)["message"]["content"] == walk(26)


def test_the_models_system_prompt_gives_way_to_the_chats(server: Serving) -> None:
    stored = [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]
    create = {"model": "own", "from": "chat", "system": "s", "messages": stored, "stream": False}
    assert server.post("/api/create", create).json["status"] == "success"
    with_its_own = chat(server, model="own")["prompt_eval_count"]
    messages = [{"role": "system", "content": "s"}, *USER]
    assert chat(server, model="own", messages=messages)["prompt_eval_count"] == with_its_own


def test_a_model_stays_known_by_every_name_until_it_is_unloaded(server: Serving) -> None:
    for name in ("Twin", "other"):
        body = {"source": "chat", "destination": name}
        assert server.post("/api/copy", body).status == 200
    create = {"model": "Twin", "from": "chat", "system": "x", "stream": False}
    assert server.post("/api/create", create).status == 200
    chat(server, model="TWIN", keep_alive="1e300")
    assert "Twin:latest" in {row["name"] for row in server.get("/api/ps").json["models"]}
    assert server.request("DELETE", "/api/delete", {"model": "tWIN"}).status == 200
    assert "Twin:latest" not in {row["name"] for row in server.get("/api/ps").json["models"]}
    chat(server, model="chat")
    generate(server, model="other", keep_alive=0)
    assert "chat:latest" not in {row["name"] for row in server.get("/api/ps").json["models"]}


def test_num_ctx_is_clamped_to_what_there_can_be(server: Serving) -> None:
    for asked, given in ((10**9, 512), (64, 64), (0, 4), (-1, 4)):
        generate(server, model="chat", options={"num_ctx": asked})
        rows = {row["name"]: row for row in server.get("/api/ps").json["models"]}
        assert rows["chat:latest"]["context_length"] == given


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("generate", {}, 404, "model '' not found"),
        ("chat", {}, 400, "model is required"),
        ("embed", {"input": "a"}, 404, "model '' not found"),
        ("embeddings", {"prompt": "a"}, 400, "model is required"),
        ("show", {}, 400, "model is required"),
        ("copy", {}, 400, 'source "" is invalid'),
        ("create", {}, 400, "invalid model name"),
        ("generate", {"model": "a b"}, 400, "invalid model name"),
        ("chat", {"model": "../../etc"}, 400, "invalid model name"),
        ("generate", {"model": "nope"}, 404, "model 'nope' not found"),
        ("chat", {"model": "nope"}, 404, "model 'nope' not found"),
        ("embed", {"model": "nope"}, 404, 'model "nope" not found, try pulling it first'),
        ("show", {"model": "nope"}, 404, "model 'nope:latest' not found"),
        ("copy", {"source": "nope", "destination": "x"}, 404, 'model "nope" not found'),
        ("copy", {"source": "chat", "destination": "x y"}, 400, 'destination "x y" is invalid'),
        ("generate", {"model": "chat", "prompt": "a", "raw": True, "system": "s"}, 400, "raw mode"),
        ("chat", {"model": "chat", "messages": USER, "think": True}, 400, "support thinking"),
        ("chat", {"model": "chat", "messages": USER, "think": "very"}, 400, "invalid think value"),
        ("chat", {"model": "chat", "messages": USER, "think": 1}, 400, "think must be a boolean"),
        (
            "chat",
            {"model": "base", "messages": USER, "tools": [{"function": {"name": "f"}}]},
            400,
            "registry.ollama.ai/library/base:latest does not support tools",
        ),
        ("chat", {"model": "tool", "messages": USER, "tools": [{}]}, 400, "no function"),
        (
            "chat",
            {"model": "tool", "messages": USER, "tools": [{"function": {"name": ""}}]},
            400,
            "tools[0] has no function with a name",
        ),
        (
            "chat",
            {"model": "tool", "messages": USER, "tools": [{"type": {}, "function": F}]},
            400,
            "a type other than function",
        ),
        ("chat", {"model": "chat", "messages": [{"role": "robot"}]}, 400, "'robot'"),
        ("generate", {"model": "chat", "prompt": "a", "context": [-1]}, 400, "token id -1"),
        ("generate", {"model": "chat", "prompt": "a", "context": [1 << 40]}, 400, "vocabulary"),
        ("generate", b'{"model": "chat", "options": {"top_p": NaN}}', 400, "not JSON"),
        ("generate", b'{"model": "chat", "options": {"top_p": 1e999}}', 400, "out of range"),
        (
            "chat",
            {"model": "tool", "messages": USER, "tools": [{"type": "web", "function": F}]},
            400,
            "a type other than function",
        ),
        (
            "chat",
            {"model": "tool", "messages": USER, "tools": [{"function": F | {"description": 1}}]},
            400,
            "a description that is no text",
        ),
        ("generate", {"model": "chat", "prompt": "a", "images": ["AA"]}, 400, "support vision"),
        (
            "chat",
            {"model": "chat", "messages": [{"role": "user", "content": "", "images": ["AA"]}]},
            400,
            "support vision",
        ),
        (
            "chat",
            {"model": "chat", "messages": USER, "options": {"num_gpu": 1e30}},
            400,
            'option "num_gpu" is out of range',
        ),
        ("generate", {"model": "chat", "prompt": "a", "suffix": "b"}, 400, "support insert"),
        ("chat", {"model": "chat", "messages": USER, "format": 5}, 400, "invalid format: 5"),
        (
            "chat",
            {"model": "chat", "messages": USER, "options": {"num_ctx": "x"}},
            400,
            'option "num_ctx" must be of type integer',
        ),
        ("chat", {"model": "chat", "messages": USER, "top_logprobs": 21}, 400, "between 0 and 20"),
        ("chat", {"model": "chat", "messages": USER, "keep_alive": []}, 400, "Unsupported type"),
        ("embed", {"model": "base", "input": [1]}, 400, "invalid input type"),
        ("generate", {"model": "chat", "prompt": "a", "template": "{{"}, 400, "template"),
    ],
)
def test_mistakes_are_answered_as_ollama_answers_them(
    server: Serving, path: str, body: Any, status: int, words: str
) -> None:
    answer = server.post(f"/api/{path}", body)
    assert (answer.status, words in answer.json["error"]) == (status, True), answer.body


def test_a_text_as_long_as_the_context_is_embedded(server: Serving, tmp_path: Path) -> None:
    server.create("long", make_successor_model(tmp_path / "long.gguf", context=4096))
    answer = server.post("/api/embed", {"model": "long", "input": "x" * 10_000})
    assert answer.json["prompt_eval_count"] == 4096
