"""Leaving out old messages until the prompt fits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ayllu.chat.attached import TokenCounter
from ayllu.chat.prompt import drop_oldest, droppable
from ayllu.chat.request import ChatRequest
from ayllu.chat.said import Record, Said
from ayllu.chat.turn import Turn
from ayllu.runner.client import RunnerClient
from ayllu.types import Message, Options

TEMPLATE = "{{ range .Messages }}{{ .Content }}{{ end }}"


class Engine:
    """Takes every letter for a token; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def tokenize(self, text: str, *, special: bool) -> list[int]:
        assert special
        self.asked += 1
        return [ord(letter) for letter in text]


def truncate(messages: Sequence[Message], context: int) -> tuple[tuple[Message, ...], int]:
    """What is left of the messages, and how many prompts were made for it."""
    engine = Engine()
    client = cast("RunnerClient", engine)
    turn = Turn(
        client=client,
        counter=TokenCounter(client),
        request=ChatRequest(messages=tuple(messages)),
        options=Options(),
        template=TEMPLATE,
        format="",
        thinks=False,
        context=context,
        record=Record(Said(seed=0)),
    )
    return asyncio.run(turn.truncate(messages)), engine.asked


def turns(sizes: Sequence[int]) -> list[Message]:
    return [Message(role=("user", "tool")[n % 2], content="x" * s) for n, s in enumerate(sizes)]


@pytest.mark.parametrize("count", [2, 3, 100, 1000, 10_000])
def test_few_prompts_are_made_however_many_messages_there_are(count: int) -> None:
    left, prompts = truncate(turns([1] * count), context=count // 2 + 1)
    assert len(left) == count // 2
    assert prompts <= (count - 1).bit_length()


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=40), st.integers(1, 200))
def test_as_few_as_possible_are_left_out(sizes: list[int], context: int) -> None:
    messages = [Message(role="system", content="s"), *turns(sizes)]
    left, _ = truncate(messages, context)
    fitting = (
        drop_oldest(messages, count)
        for count in range(1, droppable(messages) + 1)
        if sum(len(m.content) for m in drop_oldest(messages, count)) < context
    )
    assert left == next(fitting, drop_oldest(messages, droppable(messages)))
