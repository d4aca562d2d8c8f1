"""Models with a Go template beside the GGUF's own in Jinja, answered by a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gguf_maker import make_successor_model
from serving import Serving, serving

TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
    },
}
GO = "Q: {{ .Prompt }}\nA:\n{{ .Response }}"
ZEPHYR = (
    "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + '</s>\n' }}{% endfor %}"
    "{% if false %}{{ '<|user|>' }}{% endif %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def zephyr_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "zephyr.gguf"
    return make_successor_model(path, chat_template=ZEPHYR, end_after="e")


@pytest.fixture(scope="module", params=["", "1", "0"])
def server(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    chat_gguf: Path,
    tool_gguf: Path,
    zephyr_gguf: Path,
) -> Iterator[Serving]:
    """A server for each value of the setting; its models have the same names."""
    with serving(tmp_path_factory.mktemp("home"), OLLAMA_GO_TEMPLATE=request.param) as running:
        running.create("equal", chat_gguf, template=GO)
        running.create("less", tool_gguf, template=GO)
        running.create("found", zephyr_gguf)
        yield running


@pytest.fixture
def setting(server: Serving, request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.params["server"]) if server else ""


def chat(server: Serving, model: str, **fields: Any) -> Any:
    body = {"model": model, "stream": False, "messages": [{"role": "user", "content": "hi"}]}
    return server.post("/api/chat", body | fields)


def tokens(server: Serving, model: str, prompt: str) -> int:
    body = {"model": model, "prompt": prompt, "raw": True, "stream": False}
    count = server.post("/api/generate", body).json["prompt_eval_count"]
    assert isinstance(count, int)
    return count


def test_the_go_template_is_used_where_jinja_can_do_no_more(server: Serving, setting: str) -> None:
    jinja = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    prompt = jinja if setting == "0" else "Q: hi\nA:\n"
    assert chat(server, "equal").json["prompt_eval_count"] == tokens(server, "equal", prompt)


def test_jinja_is_used_where_it_can_do_more(server: Serving, setting: str) -> None:
    shown = server.post("/api/show", {"model": "less"}).json
    assert shown["template"] == GO
    answer = chat(server, "less", tools=[TOOL])
    if setting == "1":
        assert shown["capabilities"] == ["completion"]
        assert (answer.status, "does not support tools" in answer.json["error"]) == (400, True)
        return
    assert shown["capabilities"] == ["completion", "tools", "thinking"]
    message = answer.json["message"]
    assert message["thinking"] == "Let me see."
    assert message["tool_calls"][0]["function"]["name"] == "add"


def test_a_requests_template_is_used_whatever_there_is(server: Serving) -> None:
    for model in ("equal", "less", "found"):
        body = {"model": model, "prompt": "hi", "template": "{{ .Prompt }}!\n", "stream": False}
        count = server.post("/api/generate", body).json["prompt_eval_count"]
        assert count == tokens(server, model, "hi!\n")


def test_a_template_that_was_found_gives_way_to_what_it_was_found_by(
    server: Serving, setting: str
) -> None:
    shown = server.post("/api/show", {"model": "found"}).json
    assert shown["template"].startswith("{{ if .System }}<|system|>")
    assert '"</s>"' in shown["parameters"]
    odd = {"role": "user", "content": "hi"}, {"role": "tool", "content": "x"}
    answer = chat(server, "found", messages=odd).json
    assert answer["message"]["content"] == "abcde"
    # Only Jinja writes a role that the Go template does not know.
    prompt = "<|user|>\nhi</s>\n" + ("" if setting == "1" else "<|tool|>\nx</s>\n")
    expected = tokens(server, "found", prompt + "<|assistant|>\n")
    assert answer["prompt_eval_count"] == expected
