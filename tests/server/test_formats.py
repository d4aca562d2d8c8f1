"""Models whose config names a parser or a renderer, answered by a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gguf_maker import CHATML_TOOLS_THINK, make_successor_model
from serving import Serving, serving

CALL = "<tool_call>\n<function=add>\n<parameter=a>\n12\n</parameter>\n</function>\n</tool_call>"
TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "adds",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}
TEMPLATE = "{{ range .Messages }}{{ .Role }}: {{ .Content }}\n{{ end }}"
HOLDER = "{{ .Prompt }}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("models")
    thinks = "<think>\nWhy?\n</think>\n\n"
    coder = make_successor_model(folder / "coder.gguf", replies={"\n": f"{thinks}So: {CALL}"})
    jinja = make_successor_model(
        folder / "jinja.gguf", chat_template=CHATML_TOOLS_THINK, end_after="e"
    )
    loop = make_successor_model(folder / "loop.gguf", successor={"a": "a"})
    with serving(tmp_path_factory.mktemp("home")) as running:
        running.create("coder", coder, template=TEMPLATE, parser="qwen3.5")
        running.create(
            "mapped", jinja, template=HOLDER, renderer="qwen3-vl-thinking", parser="qwen3-thinking"
        )
        running.create("lost", coder, template=HOLDER, renderer="qwen3.5", parser="qwen3.5")
        running.create("kept", coder, template=TEMPLATE, renderer="qwen3.5", parser="qwen3.5")
        running.create("loop", loop, template=TEMPLATE)
        yield running


def chat(server: Serving, model: str, **fields: Any) -> Any:
    body = {"model": model, "stream": False, "messages": [{"role": "user", "content": "hi"}]}
    return server.post("/api/chat", body | fields)


@pytest.mark.parametrize("model", ["coder", "kept"])
def test_the_named_parser_reads_what_is_rendered_here(server: Serving, model: str) -> None:
    message = chat(server, model, tools=[TOOL]).json["message"]
    assert (message["thinking"], message["content"]) == ("Why?", "So:")
    (call,) = message["tool_calls"]
    assert call["function"] == {"name": "add", "arguments": {"a": 12}, "index": 0}


def test_a_call_that_num_predict_cuts_is_none(server: Serving) -> None:
    for stream in (False, True):
        options = {"num_predict": 24, "temperature": 0}
        answer = chat(server, "coder", tools=[TOOL], options=options, stream=stream)
        messages = [line["message"] for line in answer.lines if "message" in line]
        assert "".join(m["content"] for m in messages).startswith("So: <tool_call>\n<function=add>")
        assert not any("tool_calls" in message for message in messages)
        assert answer.lines[-1]["done_reason"] == "length"


def test_a_named_parser_has_its_capabilities(server: Serving) -> None:
    for model in ("coder", "lost", "mapped"):
        shown = server.post("/api/show", {"model": model}).json["capabilities"]
        assert {"tools", "thinking"} <= set(shown), model


def test_a_named_renderer_is_the_ggufs_own_template(server: Serving) -> None:
    answer = chat(server, "mapped", think=False).json
    assert answer["message"]["content"] == "abcde"
    assert answer["prompt_eval_count"] > len("<|im_start|>")


def test_a_renderer_without_any_template_is_one_clear_error(server: Serving) -> None:
    answer = chat(server, "lost")
    assert answer.status == 400
    assert answer.json["error"].startswith('the renderer "qwen3.5" needs the chat template')
    raw = {"model": "lost", "prompt": "x\n", "raw": True, "stream": False}
    assert server.post("/api/generate", raw).json["response"].startswith("<think>")


def test_a_form_waits_for_the_thinking(server: Serving) -> None:
    schema = {"type": "boolean"}
    answer = chat(server, "coder", format=schema, options={"temperature": 0, "num_predict": 60})
    message = answer.json["message"]
    assert message["thinking"] == "Why?"
    assert message["content"].strip() in {"true", "false"}
    assert answer.json["eval_count"] > 5


def test_an_endless_answer_ends(server: Serving) -> None:
    answer = chat(server, "loop").json
    assert answer["done_reason"] == "length"
    assert set(answer["message"]["content"]) == {"a"}
    assert answer["eval_count"] < 50
