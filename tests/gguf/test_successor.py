"""The model that the suite is built on answers as its docstring says, in the real engine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_maker import CHATML, CHATML_TOOLS_THINK, make_successor_model, walk

from ayllu.config import load_settings
from ayllu.errors import EngineMissingError
from ayllu.runner.engine import find_engine

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": "ñ", "b": "xx"}}\n</tool_call>'
WORD = {"type": "string"}
TOOL = {"name": "add", "parameters": {"type": "object", "properties": {"a": WORD, "b": WORD}}}


@contextmanager
def engine(model: Path) -> Iterator[str]:
    """A llama-server of its own; yields its URL."""
    try:
        server = find_engine(load_settings()).server
    except EngineMissingError as error:
        pytest.skip(str(error))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    command = [
        str(server),
        "-m",
        str(model),
        "--host",
        "127.0.0.1",
        "--port",
        url.rpartition(":")[2],
    ]
    command += ["-c", "2048", "-ngl", "0", "-t", "1", "--no-ui", "--offline", "--jinja"]
    environment = {**os.environ, "GGML_NO_BACKTRACE": "1"}
    with (
        (model.parent / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            wait_until_ready(url, process)
            yield url
        finally:
            process.kill()


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "the engine ended"
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1):  # noqa: S310 - our own URL
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail("the engine did not become ready")


def post(url: str, body: Mapping[str, Any]) -> Any:
    data = json.dumps({"temperature": 0, **body}).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - our own URL
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the same
        return json.load(answer)


def test_greedy_text_walks_the_cycle_whatever_the_prompt(tmp_path: Path) -> None:
    model = make_successor_model(
        tmp_path / "x.gguf",
        context=2048,
        successor={"!": "é<think>x"},
        replies={";": CALL},
        dtype=np.float16,
    )
    with engine(model) as url:
        for prompt, start in [("Hello there:", "a"), ("x", "y"), ("ü", "a"), ("<|im_start|>", "a")]:
            answer = post(f"{url}/completion", {"prompt": prompt, "n_predict": 60})
            assert answer["content"] == walk(60, start)
        sampled = {"prompt": ":", "n_predict": 60, "temperature": 0.8}
        assert post(f"{url}/completion", sampled)["content"] == walk(60)
        answer = post(f"{url}/completion", {"prompt": "!", "n_predict": 6})
        assert answer["content"] == "é<think>xyz"
        answer = post(f"{url}/completion", {"prompt": ";", "n_predict": 100})
        assert (answer["content"], answer["stop_type"]) == (CALL, "eos")


def test_a_chat_is_answered_by_the_cycle_and_ends_where_told(tmp_path: Path) -> None:
    model = make_successor_model(tmp_path / "x.gguf", chat_template=CHATML, end_after="h")
    with engine(model) as url:
        messages = [{"role": "user", "content": "Hi"}]
        answer = post(f"{url}/v1/chat/completions", {"messages": messages, "max_tokens": 50})
        (choice,) = answer["choices"]
        assert choice["message"]["content"] == "abcdefgh"
        assert choice["finish_reason"] == "stop"


def test_a_reply_is_parsed_into_thinking_and_tool_calls(tmp_path: Path) -> None:
    model = make_successor_model(
        tmp_path / "x.gguf",
        context=2048,
        chat_template=CHATML_TOOLS_THINK,
        replies={"\n": f"<think>\nLet me see: a tool.\n</think>\n\n{CALL}"},
    )
    messages = [{"role": "user", "content": "Hi"}]
    body = {"messages": messages, "tools": [{"type": "function", "function": TOOL}]}
    with engine(model) as url:
        (choice,) = post(f"{url}/v1/chat/completions", body)["choices"]
    assert choice["message"]["reasoning_content"].strip() == "Let me see: a tool."
    (call,) = choice["message"]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"a": "ñ", "b": "xx"}


def test_a_token_with_two_successors_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="would need the successors"):
        make_successor_model(tmp_path / "x.gguf", successor={":": "hello"})
