"""OpenAI's own Python client against our server, with only the base URL changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from gguf_maker import walk
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionUserMessageParam
from serving import Serving

USER: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "hello"}]
NUMBERS = {"a": {"type": "number"}, "b": {"type": "number"}}
ADD: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": NUMBERS}},
}


@pytest.fixture(scope="module")
def client(server: Serving) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as ours:
        yield ours


def test_it_chats(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model="chat", messages=USER)
    (choice,) = reply.choices
    assert (choice.message.content, choice.finish_reason) == (walk(26), "stop")
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 27


def test_it_streams_a_chat_and_its_usage(client: openai.OpenAI) -> None:
    parts = list(
        client.chat.completions.create(
            model="chat", messages=USER, stream=True, stream_options={"include_usage": True}
        )
    )
    *pieces, last = parts
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == walk(26)
    assert pieces[0].choices[0].delta.role == "assistant"
    assert pieces[-1].choices[0].finish_reason == "stop"
    assert last.usage is not None
    assert last.usage.completion_tokens == 27


def test_it_calls_tools_and_reads_their_results(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(model="tool", messages=USER, tools=[ADD])
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    assert getattr(message, "reasoning", "").strip() == "Let me see."
    assert message.tool_calls
    (call,) = message.tool_calls
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("add", '{"a": 1, "b": 2}')
    history: list[Any] = [*USER, message.model_dump(exclude_none=True)]
    history.append({"role": "tool", "tool_call_id": call.id, "content": "3"})
    second = client.chat.completions.create(model="tool", messages=history, max_tokens=5)
    assert second.choices[0].finish_reason == "length"


def test_its_stream_helper_puts_a_tool_call_together(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="tool", messages=USER, tools=[ADD]) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls
    (call,) = calls
    assert call.function.arguments == '{"a": 1, "b": 2}'


def test_it_completes_prompts(client: openai.OpenAI) -> None:
    reply = client.completions.create(model="base", prompt=["abc", "x"], max_tokens=2, echo=True)
    assert [choice.text for choice in reply.choices] == ["abcde", "xyz"]
    pieces = client.completions.create(model="base", prompt="x", max_tokens=2, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == "yz"


def test_it_embeds(client: openai.OpenAI) -> None:
    # The client asks for base64 by itself and decodes it.
    reply = client.embeddings.create(model="base", input=["ab", "zzz"])
    assert sum(x * x for x in reply.data[0].embedding) == pytest.approx(1.0)
    floats = client.embeddings.create(model="base", input="ab", encoding_format="float")
    assert floats.data[0].embedding == pytest.approx(reply.data[0].embedding)


def test_it_lists_models(client: openai.OpenAI) -> None:
    assert {"base:latest", "chat:latest", "tool:latest"} <= {row.id for row in client.models.list()}
    assert client.models.retrieve("chat").owned_by == "library"


def test_it_is_told_what_is_wrong(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="model 'nope' not found"):
        client.chat.completions.create(model="nope", messages=USER)
    with pytest.raises(openai.BadRequestError, match="is too short"):
        client.chat.completions.create(model="chat", messages=[])
    with pytest.raises(openai.InternalServerError, match="is not supported") as caught:
        client.images.generate(model="chat", prompt="a cat")
    assert caught.value.status_code == 501
