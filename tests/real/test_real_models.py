"""Real trained models give the text they are known to give, by every way in.

Opt-in: `make test-real MODELS=folder`, with `chat3m/chat3m-f16.gguf` (a chat model tuned from
TinyStories-Instruct-3M) and `stories260K/stories260K-f32.gguf` (karpathy/tinyllamas) in the folder,
and beside each of them `hf`, the same as safetensors.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import ollama
import pytest
from serving import Serving, serving
from terminals import on_a_terminal, read_until

pytestmark = pytest.mark.real

HELLO = "Hello! How are you today?"
REPLY = " I'm doing well, thank you. How are you?"
GREEDY = {"temperature": 0}
OPENING = "Once upon a time"
STORY = (
    ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw "
    "a big, red ball. She wanted to play with it, but it was too high.\nLily's mom said, "
    "\"Lily, let's go to the park.\" Lily was sad and didn't know what to do."
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, torch_python: Path) -> Iterator[Serving]:
    models = Path(os.environ["AYLLU_TEST_MODELS"]).resolve()
    home = tmp_path_factory.mktemp("home")
    with serving(home, AYLLU_TORCH_PYTHON=str(torch_python)) as running:
        for name, path in (
            ("chat3m", "chat3m/chat3m-f16.gguf"),
            ("stories", "stories260K/stories260K-f32.gguf"),
            ("chat3m-hf", "chat3m/hf"),
            ("stories-hf", "stories260K/hf"),
        ):
            modelfile = home / f"Modelfile.{name}"
            modelfile.write_text(f"FROM {models / path}\nPARAMETER temperature 0\n")
            assert running.ayllu("create", name, "-f", str(modelfile)).status == 0
        yield running


def test_the_chat_model_answers_by_the_command_line(server: Serving) -> None:
    assert server.ayllu("run", "chat3m", HELLO).stdout == REPLY + "\n"


def test_the_chat_model_answers_raw_and_by_chat(server: Serving) -> None:
    raw = {"model": "chat3m", "prompt": f"User: {HELLO}\nBot:", "raw": True, "stream": False}
    assert server.post("/api/generate", raw).json["response"] == REPLY
    chat = {"model": "chat3m", "messages": [{"role": "user", "content": HELLO}], "stream": False}
    assert server.post("/api/chat", chat).json["message"]["content"] == REPLY


def test_the_chat_model_answers_ollamas_client(server: Serving) -> None:
    with ollama.Client(host=server.url) as client:
        reply = client.chat("chat3m", [{"role": "user", "content": HELLO}])
    assert reply.message.content == REPLY


def test_the_chat_model_answers_at_the_prompt(server: Serving) -> None:
    assert REPLY.strip() in talk(server, "chat3m", HELLO, REPLY.strip())


def test_the_story_model_goes_on_by_every_way(server: Serving) -> None:
    length = {"num_predict": 110}
    for raw in (True, False):
        body = {"model": "stories", "prompt": OPENING, "raw": raw, "stream": False}
        told = server.post("/api/generate", body | {"options": length}).json["response"]
        assert told.startswith(STORY)
    messages = [{"role": "user", "content": OPENING}]
    chat = {"model": "stories", "messages": messages, "stream": False, "options": length}
    assert server.post("/api/chat", chat).json["message"]["content"].startswith(STORY)
    with ollama.Client(host=server.url) as client:
        reply = client.generate("stories", OPENING, options=length)
    assert (reply.response or "").startswith(STORY)
    assert server.ayllu("run", "stories", OPENING).stdout.startswith(STORY)
    assert "named Lily" in talk(server, "stories", OPENING, "named Lily")


def talk(server: Serving, model: str, words: str, until: str) -> str:
    """What the interactive prompt shows up to some words."""
    with on_a_terminal(server.environment, "run", model, "--nowordwrap") as (terminal, _):
        read_until(terminal, ">>> ")
        os.write(terminal, words.encode() + b"\r")
        return read_until(terminal, until)


def test_imported_models_say_what_their_ggufs_say(server: Serving) -> None:
    for model, prompt, told in (
        ("chat3m", f"User: {HELLO}\nBot:", REPLY),
        ("stories", OPENING, STORY),
    ):
        said = []
        for name in (model, f"{model}-hf"):
            body = {"model": name, "prompt": prompt, "raw": True, "stream": False}
            options = {"num_predict": 120, "stop": ["<|endoftext|>"]}
            said.append(server.post("/api/generate", body | {"options": options}).json["response"])
        assert said[0] == said[1]
        assert said[1].startswith(told)
