"""Streams of every dialect, read to their end and looked at as a client would."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import aiohttp


class Told(NamedTuple):
    """What a stream told: its text, its ids (each once), and how many last lines it has."""

    text: str
    ids: set[str]
    ends: int


class Dialect(NamedTuple):
    """A route that streams: what is asked for `tokens` tokens, and how its lines are read."""

    path: str
    body: Callable[[int], dict[str, Any]]
    read: Callable[[list[Any]], Told]


def _ollama(field: Callable[[Any], str]) -> Callable[[list[Any]], Told]:
    def read(lines: list[Any]) -> Told:
        assert not any("error" in line for line in lines), lines[-1]
        return Told("".join(map(field, lines)), set(), sum(line["done"] for line in lines))

    return read


def _openai(field: Callable[[Any], str | None]) -> Callable[[list[Any]], Told]:
    def read(events: list[Any]) -> Told:
        *chunks, done = events
        assert done == "[DONE]", done
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
        ends = sum(choice["finish_reason"] is not None for choice in choices)
        text = "".join(field(choice) or "" for choice in choices)
        return Told(text, {f"{chunk['id']} {chunk['created']}" for chunk in chunks}, ends)

    return read


def _choices(events: list[Any]) -> Told:
    """Two choices that say the same, each told once."""
    told = [
        _openai(lambda choice: choice["delta"].get("content"))(
            [
                {**chunk, "choices": [one for one in chunk["choices"] if one["index"] == index]}
                for chunk in events[:-1]
            ]
            + events[-1:]
        )
        for index in (0, 1)
    ]
    assert told[0] == told[1]
    return told[0]


def _responses(events: list[Any]) -> Told:
    numbers = [event["sequence_number"] for event in events]
    assert numbers == list(range(len(events))), events[-1]
    assert events[-1]["type"] != "error", events[-1]
    text = "".join(
        event["delta"] for event in events if event["type"] == "response.output_text.delta"
    )
    wholes = [event["response"] for event in events if "response" in event]
    items = {event["item_id"] for event in events if "item_id" in event}
    assert len(items) == 1, items
    ends = sum(whole["status"] != "in_progress" for whole in wholes)
    assert wholes[-1]["output"][0]["content"][0]["text"] == text
    return Told(text, {f"{whole['id']} {whole['created_at']}" for whole in wholes}, ends)


def _anthropic(events: list[Any]) -> Told:
    assert not any(event["type"] == "error" for event in events), events[-1]
    deltas = (event["delta"] for event in events if event["type"] == "content_block_delta")
    text = "".join(delta["text"] for delta in deltas)
    ids = [event["message"]["id"] for event in events if event["type"] == "message_start"]
    assert len(ids) == 1, ids
    return Told(text, set(ids), sum(event["type"] == "message_stop" for event in events))


USER = [{"role": "user", "content": "hi"}]
DIALECTS = {
    "ollama chat": Dialect(
        "/api/chat",
        lambda n: {"messages": USER, "options": {"num_predict": n, "temperature": 0}},
        _ollama(lambda line: line["message"]["content"]),
    ),
    "ollama generate": Dialect(
        "/api/generate",
        lambda n: {"prompt": "hi", "options": {"num_predict": n, "temperature": 0}},
        _ollama(lambda line: line["response"]),
    ),
    "openai chat": Dialect(
        "/v1/chat/completions",
        lambda n: {"messages": USER, "max_tokens": n, "temperature": 0},
        _openai(lambda choice: choice["delta"].get("content")),
    ),
    "openai choices": Dialect(
        "/v1/chat/completions",
        lambda n: {"messages": USER, "max_tokens": n, "temperature": 0, "n": 2},
        _choices,
    ),
    "openai completions": Dialect(
        "/v1/completions",
        lambda n: {"prompt": "hi", "max_tokens": n, "temperature": 0},
        _openai(lambda choice: choice["text"]),
    ),
    "openai responses": Dialect(
        "/v1/responses",
        lambda n: {"input": "hi", "max_output_tokens": n, "temperature": 0, "store": False},
        _responses,
    ),
    "anthropic": Dialect(
        "/v1/messages",
        lambda n: {"messages": USER, "max_tokens": n, "temperature": 0},
        _anthropic,
    ),
}


async def ask(
    session: aiohttp.ClientSession,
    url: str,
    dialect: Dialect,
    body: Mapping[str, Any],
    after: Callable[[bytes, str], None] = lambda _data, _node: None,
) -> Told:
    """A stream read to its end; `after` is called with each piece, and who began to answer."""
    data = b""
    async with session.post(url + dialect.path, json={**body, "stream": True}) as response:
        assert response.status == 200, await response.text()
        node = response.headers.get("x-ayllu-node", "")
        async for piece in response.content.iter_any():
            data += piece
            after(data, node)
    return dialect.read(_items(data))


def _items(data: bytes) -> list[Any]:
    lines = [line.removeprefix(b"data: ") for line in data.splitlines()]
    lines = [line for line in lines if line and not line.startswith((b"event:", b":"))]
    return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]
