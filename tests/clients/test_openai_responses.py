"""OpenAI's own Python client and its responses, with mini and models whose answers are known."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from gguf_maker import walk
from openai.types.responses import (
    FunctionToolParam,
    Response,
    ResponseFunctionToolCall,
    ResponseInputMessageItem,
    ResponseOutputMessage,
    ResponseReasoningItem,
)
from pydantic import BaseModel
from serving import Serving, serving

NUMBERS = {"a": {"type": "number"}, "b": {"type": "number"}}
ADD: FunctionToolParam = {
    "type": "function",
    "name": "add",
    "description": "adds two numbers",
    "parameters": {"type": "object", "properties": NUMBERS},
    "strict": False,
}
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
NAMED: dict[str, object] = {"type": "function", "name": "sky.get_weather"}
LIMA = "What is the weather in Lima?"
MINI: dict[str, Any] = {
    "model": "mini",
    "max_output_tokens": 200,
    "temperature": 0,
    "extra_body": {"options": {"seed": 1}},
}


@pytest.fixture(scope="module")
def client(server: Serving) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as ours:
        yield ours


def thinking(response: Response) -> str:
    (item,) = (item for item in response.output if isinstance(item, ResponseReasoningItem))
    return "".join(part.text for part in item.content or ()) or item.summary[0].text


def calls(response: Response) -> list[ResponseFunctionToolCall]:
    return [item for item in response.output if isinstance(item, ResponseFunctionToolCall)]


def test_it_answers(client: openai.OpenAI) -> None:
    response = client.responses.create(
        model="chat", input="hello", metadata={"a": "b"}, instructions="be kind", temperature=0.5
    )
    assert (response.output_text, response.status, response.error) == (walk(26), "completed", None)
    assert (response.metadata, response.instructions) == ({"a": "b"}, "be kind")
    assert (response.temperature, response.top_p) == (0.5, 1.0)
    assert response.usage is not None
    assert response.usage.output_tokens == 27
    assert response.usage.total_tokens == response.usage.input_tokens + 27


def test_it_streams_events_in_order(client: openai.OpenAI) -> None:
    stream = client.responses.create(model="chat", input="hello", stream=True)
    events = list(stream)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type.removeprefix("response.") for event in events]
    assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert kinds[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert set(kinds[4:-4]) == {"output_text.delta"}
    assert len(kinds[4:-4]) > 10
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == walk(26)
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == text
    assert client.responses.retrieve(last.response.id) == last.response


def test_its_stream_helper_puts_everything_together(client: openai.OpenAI) -> None:
    with client.responses.stream(model="tool", input="hello", tools=[ADD]) as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    thought, call = final.output
    assert isinstance(thought, ResponseReasoningItem)
    assert call.type == "function_call"
    assert json.loads(call.arguments) == {"a": 1, "b": 2}


def test_it_calls_tools_and_reads_their_results(client: openai.OpenAI) -> None:
    first = client.responses.create(model="tool", input="hello", tools=[ADD])
    assert thinking(first).strip() == "Let me see."
    (call,) = calls(first)
    assert (call.name, json.loads(call.arguments)) == ("add", {"a": 1, "b": 2})
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "3"}
    kept = client.responses.create(
        model="tool", input=[output], previous_response_id=first.id, max_output_tokens=5
    )
    history: list[Any] = [{"role": "user", "content": "hello"}, *first.output, output]
    sent = client.responses.create(model="tool", input=history, max_output_tokens=5, store=False)
    for second in (kept, sent):
        assert (second.status, second.output_text) == ("incomplete", "")
        assert second.incomplete_details is not None
        assert second.incomplete_details.reason == "max_output_tokens"
    # Both ways give the model the same prompt.
    assert kept.usage is not None
    assert sent.usage is not None
    assert kept.usage.input_tokens == sent.usage.input_tokens


def test_mini_uses_a_tool_of_a_namespace_and_tells_its_result(client: openai.OpenAI) -> None:
    space: Any = {"type": "namespace", "name": "sky", "description": "d", "tools": [WEATHER]}
    asked = client.responses.create(
        input=LIMA,
        tools=[space, {"type": "web_search"}],
        tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [NAMED]},
        reasoning={"summary": "auto"},
        **MINI,
    )
    (call,) = calls(asked)
    assert (call.name, call.namespace) == ("get_weather", "sky")
    assert json.loads(call.arguments) == {"city": "Lima"}
    assert thinking(asked)
    told = client.responses.create(
        previous_response_id=asked.id,
        tools=[space],
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "rain, 18 C"}],
        **MINI,
    )
    assert told.status == "completed"
    assert "18" in told.output_text


def test_mini_uses_a_custom_tool(client: openai.OpenAI) -> None:
    shell: Any = {"type": "custom", "name": "get_weather", "description": "in a city"}
    asked = client.responses.create(input=LIMA, tools=[shell], **MINI)
    item = asked.output[-1]
    assert item.type == "custom_tool_call"
    assert item.name == "get_weather"
    output: Any = {"type": "custom_tool_call_output", "call_id": item.call_id, "output": "rain"}
    told = client.responses.create(input=[output], previous_response_id=asked.id, **MINI)
    assert told.output_text


def test_it_reads_json_into_a_class(client: openai.OpenAI) -> None:
    class Person(BaseModel):
        name: str
        age: int

    question = "As JSON with name, age: Ana is 12 years old and lives in Lima."
    parsed = client.responses.parse(input=question, text_format=Person, **MINI)
    assert parsed.output_parsed == Person(name="Ana", age=12)
    loose = client.responses.create(
        input=question, text={"format": {"type": "json_object"}}, **MINI
    )
    assert loose.output_text.lstrip().startswith("{")


def test_thinking_is_told_or_left_out(client: openai.OpenAI) -> None:
    told = client.responses.create(
        input="What is two plus two?",
        reasoning={"effort": "high", "summary": "detailed"},
        include=["reasoning.encrypted_content"],
        **MINI,
    )
    (item,) = (item for item in told.output if isinstance(item, ResponseReasoningItem))
    assert item.encrypted_content == item.summary[0].text
    plain = client.responses.create(
        input="What is two plus two?", reasoning={"effort": "none"}, **MINI
    )
    assert [item.type for item in plain.output] == ["message"]


def test_probabilities_are_told(client: openai.OpenAI) -> None:
    response = client.responses.create(
        model="chat", input="hello", include=["message.output_text.logprobs"], top_logprobs=2
    )
    message = response.output[0]
    assert isinstance(message, ResponseOutputMessage)
    part = message.content[0]
    assert part.type == "output_text"
    assert part.logprobs is not None
    assert "".join(token.token for token in part.logprobs) == walk(26)
    assert {len(token.top_logprobs) for token in part.logprobs} == {2}


def test_a_conversation_outlives_the_server(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    with serving(home) as before, openai.OpenAI(base_url=f"{before.url}/v1", api_key="x") as old:
        first = old.responses.create(
            model="mini", instructions="You are a parrot.", input="My name is Inti."
        )
        second = old.responses.create(model="mini", input="Hello.", previous_response_id=first.id)
        secret = old.responses.create(model="mini", input="My word is xyzzy.", store=False)
        gone = old.responses.create(model="mini", input="Forget this plugh.")
        old.responses.delete(gone.id)
    with serving(home) as after, openai.OpenAI(base_url=f"{after.url}/v1", api_key="x") as new:
        assert new.responses.retrieve(second.id) == second
        third = new.responses.create(
            model="mini", input="What is my name?", previous_response_id=second.id
        )
        assert third.previous_response_id == second.id
        history: list[Any] = [
            {"role": "user", "content": "My name is Inti."},
            *first.output,
            {"role": "user", "content": "Hello."},
            *second.output,
            {"role": "user", "content": "What is my name?"},
        ]
        # The instructions of an earlier answer are not carried over.
        counted = new.responses.input_tokens.count(model="mini", input=history)
        assert third.usage is not None
        assert third.usage.input_tokens == counted.input_tokens
        for absent in (secret.id, gone.id):
            with pytest.raises(openai.NotFoundError, match="not found"):
                new.responses.retrieve(absent)
            with pytest.raises(openai.BadRequestError) as caught:
                new.responses.create(model="mini", input="x", previous_response_id=absent)
            assert caught.value.code == "previous_response_not_found"
    kept = b"".join(file.read_bytes() for file in Path(home).glob("responses.db*"))
    assert b"Inti" in kept
    assert b"xyzzy" not in kept
    assert b"plugh" not in kept


def test_items_of_a_request_are_listed(client: openai.OpenAI) -> None:
    texts = [f"message {number}" for number in range(25)]
    response = client.responses.create(
        model="chat",
        input=[{"role": "user", "content": text} for text in texts],
        max_output_tokens=1,
        truncation="auto",
    )

    def words(items: Any) -> list[str]:
        found = []
        for item in items:
            assert isinstance(item, ResponseInputMessageItem)
            assert item.content[0].type == "input_text"
            found.append(item.content[0].text)
        return found

    assert words(client.responses.input_items.list(response.id)) == texts[::-1]
    page = client.responses.input_items.list(response.id, order="asc", limit=10)
    assert (words(page.data), page.has_more) == (texts[:10], True)
    rest = client.responses.input_items.list(
        response.id, order="asc", limit=100, after=page.data[-1].id or ""
    )
    assert (words(rest.data), rest.has_more) == (texts[10:], False)
    named: Any = [{"type": "item_reference", "id": page.data[3].id}]
    again = client.responses.create(model="chat", input=named, max_output_tokens=1)
    assert words(client.responses.input_items.list(again.id).data) == [texts[3]]


def test_it_is_told_what_is_wrong(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="model 'nope' not found"):
        client.responses.create(model="nope", input="x")
    with pytest.raises(openai.NotFoundError, match="'resp_1' not found"):
        client.responses.retrieve("resp_1")
    with pytest.raises(openai.NotFoundError, match="'resp_1' not found"):
        client.responses.delete("resp_1")
    with pytest.raises(openai.BadRequestError, match="background is not supported"):
        client.responses.create(model="chat", input="x", background=True)
    response = client.responses.create(model="chat", input="x")
    with pytest.raises(openai.BadRequestError, match="close the connection instead"):
        client.responses.cancel(response.id)
    with pytest.raises(openai.BadRequestError, match="shorten the prompt") as caught:
        client.responses.create(model="chat", input="x" * 600, stream=True)
    assert caught.value.code == "context_length_exceeded"


def test_the_asynchronous_client_streams_several_at_once(server: Serving) -> None:
    async def one(ours: openai.AsyncOpenAI) -> str:
        stream = await ours.responses.create(model="chat", input="hello", stream=True)
        text = ""
        async for event in stream:
            if event.type == "response.output_text.delta":
                text += event.delta
        return text

    async def several() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x") as ours:
            return await asyncio.gather(*(one(ours) for _ in range(6)))

    assert asyncio.run(several()) == [walk(26)] * 6
