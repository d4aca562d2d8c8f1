"""What all tests share: a small real model, and a real server that has it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from gguf_maker import CHATML, CHATML_TOOLS_THINK, make_successor_model
from serving import Serving, serving

# The suite tries the same examples every time; HYPOTHESIS_PROFILE=random looks for new ones.
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.register_profile("random", max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


@pytest.fixture(scope="session")
def base_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without a chat template; it goes on with the alphabet."""
    return make_successor_model(tmp_path_factory.mktemp("models") / "base.gguf")


@pytest.fixture(scope="session")
def chat_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a chat template; it answers `abc...` up to `z` and stops."""
    path = tmp_path_factory.mktemp("models") / "chat.gguf"
    return make_successor_model(path, chat_template=CHATML, end_after="z")


@pytest.fixture(scope="session")
def tool_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that thinks first, then calls the tool `add`."""
    path = tmp_path_factory.mktemp("models") / "tool.gguf"
    call = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>'
    return make_successor_model(
        path,
        chat_template=CHATML_TOOLS_THINK,
        replies={"\n": f"<think>\nLet me see.\n</think>\n\n{call}"},
    )


@pytest.fixture(scope="session")
def endless_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a chat template and a long context whose answers never stop by themselves."""
    path = tmp_path_factory.mktemp("models") / "endless.gguf"
    return make_successor_model(path, chat_template=CHATML, context=8192)


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, base_gguf: Path, chat_gguf: Path, tool_gguf: Path
) -> Iterator[Serving]:
    """A server with the models `base`, `chat` and `tool`, shared by a module's tests."""
    with serving(tmp_path_factory.mktemp("home")) as running:
        running.create("base", base_gguf)
        running.create("chat", chat_gguf)
        running.create("tool", tool_gguf)
        yield running


@pytest.fixture
def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
