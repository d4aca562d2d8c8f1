"""Ollama's own Python client against our server, with only the host changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ollama
import pytest
from gguf_maker import walk
from serving import Serving

USER = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def client(server: Serving) -> Iterator[ollama.Client]:
    with ollama.Client(host=server.url) as ours:
        yield ours


def test_it_chats(client: ollama.Client) -> None:
    reply = client.chat("chat", USER)
    assert reply.message.content == walk(26)
    assert reply.done_reason == "stop"
    assert reply.eval_count == 27


def test_it_streams_a_chat(client: ollama.Client) -> None:
    parts = list(client.chat("chat", USER, stream=True))
    assert "".join(part.message.content or "" for part in parts) == walk(26)
    assert [part.done for part in parts] == [False] * 26 + [True]


def test_it_generates_with_options_and_context(client: ollama.Client) -> None:
    reply = client.generate("base", "abc", options={"num_predict": 3, "temperature": 0})
    assert reply.response == "def"
    assert list(reply.context or ()) == [ord(letter) for letter in "abcdef"]
    pieces = client.generate("base", "x", raw=True, stream=True, options={"num_predict": 2})
    assert "".join(piece.response or "" for piece in pieces) == "yz"


def test_it_thinks_and_calls_tools(client: ollama.Client) -> None:
    def add(a: int, b: int) -> int:
        """Add two numbers.

        Args:
            a: the first
            b: the second
        """
        return a + b

    reply = client.chat("tool", USER, tools=[add], think=True)
    assert (reply.message.thinking or "").strip() == "Let me see."
    (call,) = reply.message.tool_calls or ()
    assert call.function.name == "add"
    assert add(**call.function.arguments) == 3


def test_it_embeds(client: ollama.Client) -> None:
    reply = client.embed("base", ["ab", "cd"])
    assert len(reply.embeddings) == 2
    assert len(client.embeddings("base", "ab").embedding) == len(reply.embeddings[0])


def test_it_makes_shows_lists_copies_and_deletes_models(
    client: ollama.Client, chat_gguf: Path
) -> None:
    digest = client.create_blob(chat_gguf)
    progress = [
        item.status
        for item in client.create(
            "mine", files={"mine.gguf": digest}, system="Be kind.", stream=True
        )
    ]
    assert progress[-1] == "success"
    shown = client.show("mine")
    assert shown.details is not None
    assert shown.details.family == "llama"
    assert "SYSTEM" in (shown.modelfile or "")
    assert "completion" in (shown.capabilities or ())
    client.copy("mine", "yours")
    assert "yours:latest" in {model.model for model in client.list().models}
    for name in ("mine", "yours"):
        assert client.delete(name).status == "success"
    assert "mine:latest" not in {model.model for model in client.list().models}


def test_it_sees_what_is_loaded(client: ollama.Client) -> None:
    client.generate("chat", keep_alive="10m")
    rows = {row.model: row for row in client.ps().models}
    assert rows["chat:latest"].size_vram == 0
    assert rows["chat:latest"].expires_at is not None


def test_it_is_told_what_is_wrong(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="model 'nope' not found") as caught:
        client.chat("nope", USER)
    assert caught.value.status_code == 404
