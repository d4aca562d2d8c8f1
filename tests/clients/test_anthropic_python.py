"""Anthropic's own Python client against our server, with only the base URL changed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types import ToolParam
from gguf_maker import walk
from serving import Serving

USER: list[Any] = [{"role": "user", "content": "hello"}]
ADD: ToolParam = {"name": "add", "input_schema": {"type": "object"}}


@pytest.fixture(scope="module")
def client(server: Serving) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0) as ours:
        yield ours


def test_it_gets_a_message(client: anthropic.Anthropic) -> None:
    message = client.messages.create(
        model="chat",
        max_tokens=100,
        messages=USER,
        system="Be kind.",
        extra_body={"temperature": 0},
    )
    (block,) = message.content
    assert block.type == "text"
    assert block.text == walk(26)
    assert (message.stop_reason, message.role) == ("end_turn", "assistant")
    assert message.usage.output_tokens == 27


def test_it_streams_text(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model="chat", max_tokens=100, messages=USER) as stream:
        pieces = list(stream.text_stream)
        message = stream.get_final_message()
    assert len(pieces) == 26
    assert "".join(pieces) == walk(26)
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == 27
    assert message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0) == 24


def test_it_streams_raw_events(client: anthropic.Anthropic) -> None:
    events = client.messages.create(model="chat", max_tokens=3, messages=USER, stream=True)
    kinds = [event.type for event in events]
    assert kinds == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_it_streams_without_blocking(server: Serving) -> None:
    async def text() -> str:
        async with (
            anthropic.AsyncAnthropic(base_url=server.url, api_key="none") as ours,
            ours.messages.stream(model="chat", max_tokens=100, messages=USER) as stream,
        ):
            return await stream.get_final_text()

    assert asyncio.run(text()) == walk(26)


def test_it_thinks_and_uses_tools(client: anthropic.Anthropic) -> None:
    with client.messages.stream(
        model="tool",
        max_tokens=200,
        messages=USER,
        tools=[ADD],
        thinking={"type": "enabled", "budget_tokens": 1024},
    ) as stream:
        kinds = {event.type for event in stream}
        message = stream.get_final_message()
    assert {"thinking", "signature", "input_json"} <= kinds
    thinking, call = message.content
    assert thinking.type == "thinking"
    assert thinking.thinking == "Let me see."
    assert call.type == "tool_use"
    assert (call.name, call.input) == ("add", {"a": 1, "b": 2})
    assert message.stop_reason == "tool_use"
    result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": "3"}
    again = client.messages.create(
        model="tool",
        max_tokens=200,
        tools=[ADD],
        messages=[
            *USER,
            {"role": "assistant", "content": message.content},
            {"role": "user", "content": [result]},
        ],
    )
    assert again.content[-1].type == "tool_use"


def test_it_forces_a_tool(client: anthropic.Anthropic) -> None:
    message = client.messages.create(
        model="tool",
        max_tokens=200,
        messages=USER,
        tools=[ADD],
        tool_choice={"type": "tool", "name": "add", "disable_parallel_tool_use": True},
    )
    assert [block.type for block in message.content][-1] == "tool_use"


def test_it_stops_where_it_is_told(client: anthropic.Anthropic) -> None:
    message = client.messages.create(
        model="chat", max_tokens=100, messages=USER, stop_sequences=["d"]
    )
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "d")


def test_it_counts_tokens(client: anthropic.Anthropic) -> None:
    assert client.messages.count_tokens(model="chat", messages=USER).input_tokens == 24


def test_it_is_told_what_is_wrong(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="model 'nope' not found") as caught:
        client.messages.create(model="nope", max_tokens=9, messages=USER)
    assert caught.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
    with pytest.raises(anthropic.BadRequestError, match="does not support tools"):
        client.messages.create(model="chat", max_tokens=9, messages=USER, tools=[ADD])
