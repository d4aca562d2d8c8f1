"""`_debug_render_only`: what would be sent is what is sent, whoever renders it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gguf_maker import CHATML, make_successor_model
from serving import Serving, serving

USER = [{"role": "user", "content": "hello"}]
GO = "{{ range .Messages }}[{{ .Role }}] {{ .Content }}\n{{ end }}"
ADD: dict[str, Any] = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object"}},
}
FILL = {
    f"tokenizer.ggml.{n}_token_id": 258 + i for i, n in enumerate(("fim_pre", "fim_suf", "fim_mid"))
}
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, chat_gguf: Path, tool_gguf: Path
) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("models")
    with serving(tmp_path_factory.mktemp("home")) as running:
        running.create("jinja", chat_gguf)
        running.create("go", chat_gguf, template=GO, system="Be kind.")
        running.create("tool", tool_gguf)
        fills = make_successor_model(folder / "f.gguf", chat_template=CHATML, extra=FILL)
        running.create("fills", fills)
        yield running


def shown(server: Serving, path: str, **fields: Any) -> Any:
    answer = server.post(path, {"_debug_render_only": True, **fields})
    assert answer.status == 200, answer.body
    assert answer.headers["content-type"].startswith("application/json")
    return answer.json


def test_generate_shows_the_prompt_in_place_of_an_answer(server: Serving) -> None:
    for stream in (True, False):
        answer = shown(server, "/api/generate", model="go", prompt="hi", stream=stream)
        assert answer.pop("created_at").endswith("Z")
        assert answer == {
            "model": "go",
            "response": "",
            "done": False,
            "_debug_info": {"rendered_template": "[system] Be kind.\n[user] hi\n"},
        }


def test_chat_shows_what_the_engine_renders(server: Serving) -> None:
    answer = shown(server, "/api/chat", model="jinja", messages=USER)
    assert answer["message"] == {"role": "assistant", "content": ""}
    assert answer["done"] is False
    assert answer["_debug_info"] == {
        "rendered_template": "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    }


def test_openais_route_shows_it_too(server: Serving) -> None:
    body: dict[str, Any] = {"model": "go", "messages": USER, "stream": True}
    answer = shown(server, "/v1/chat/completions", **body)
    assert answer["object"] == "chat.completion"
    assert answer["choices"] == []
    prompt = answer["_debug_info"]["rendered_template"]
    assert prompt == "[system] Be kind.\n[user] hello\n"


@pytest.mark.parametrize("model", ["go", "jinja", "tool", "mini"])
@pytest.mark.parametrize("think", [None, False])
def test_what_is_shown_is_what_is_sent(server: Serving, model: str, think: bool | None) -> None:
    tools = [ADD] if model in {"tool", "mini"} else []
    body = {"model": model, "messages": USER, "think": think, "tools": tools}
    prompt = shown(server, "/api/chat", **body)["_debug_info"]["rendered_template"]
    assert all(tool["function"]["name"] in prompt for tool in tools)
    options = {"num_predict": 1}
    sent = server.post("/api/chat", body | {"stream": False, "options": options}).json
    count = {"model": model, "content": prompt, "add_special": True}
    tokens = server.post("/api/tokenize", count).json["tokens"]
    assert len(tokens) == sent["prompt_eval_count"]


def test_raw_prompts_templates_and_earlier_tokens_are_shown(server: Serving) -> None:
    def prompt(**fields: Any) -> Any:
        answer = shown(server, "/api/generate", model="jinja", **fields)
        return answer["_debug_info"]["rendered_template"]

    assert prompt(prompt="<b>&", raw=True) == "<b>&"
    assert prompt(prompt="hi", template="T {{ .Prompt }}!") == "T hi!"
    assert prompt(prompt="hi", template="{{ .Prompt }}", context=[97, 257]) == "a<|im_end|>hi"


def test_the_marks_around_a_gap_are_shown(server: Serving) -> None:
    answer = shown(server, "/api/generate", model="fills", prompt="a", suffix="b")
    assert answer["_debug_info"]["rendered_template"] == "<think>a</think>b<tool_call>"


def test_old_messages_are_left_out_as_they_would_be(server: Serving) -> None:
    old = [{"role": "user", "content": letter * 300} for letter in "xyz"]
    for model in ("go", "jinja"):
        prompt = shown(server, "/api/chat", model=model, messages=old)["_debug_info"]
        assert "z" * 300 in prompt["rendered_template"]
        assert "y" not in prompt["rendered_template"].replace("system", "")
        body = {"model": model, "messages": old, "_debug_render_only": True}
        refused = server.post("/api/chat", body | {"truncate": False})
        assert (refused.status, "the context holds 512" in refused.json["error"]) == (400, True)
        long = [{"role": "user", "content": "x" * 600}]
        refused = server.post("/api/chat", body | {"messages": [*old, *long]})
        assert (refused.status, "the context holds 512" in refused.json["error"]) == (400, True)


def test_mistakes_are_told_before_anything_is_rendered(server: Serving) -> None:
    picture = [{"role": "user", "content": "a", "images": [PICTURE]}]
    for body, words in (
        ({"model": "jinja", "messages": USER, "think": True}, "does not support thinking"),
        ({"model": "jinja", "messages": picture}, "does not support vision"),
        ({"model": "jinja", "messages": USER, "tool_choice": "required"}, "needs tools"),
    ):
        answer = server.post("/api/chat", {"_debug_render_only": True, **body})
        assert (answer.status, words in answer.json["error"]) == (400, True)


def test_an_empty_request_still_loads(server: Serving) -> None:
    body = {"model": "jinja", "_debug_render_only": True}
    assert server.post("/api/generate", body).json["done_reason"] == "load"
    assert server.post("/api/chat", body).json["done_reason"] == "load"
