"""Chunks of the engine become Events."""

from __future__ import annotations

from ayllu.chat.events import EventBuilder
from ayllu.runner.client import Chunk
from ayllu.types import TextEvent, ThinkingEvent


def test_white_space_at_the_end_of_thinking_goes_and_within_it_stays() -> None:
    builder = EventBuilder()
    chunks = [Chunk(thinking="2 + 2"), Chunk(thinking="\n"), Chunk(thinking="= 4."), Chunk("")]
    chunks += [Chunk(thinking=" \n"), Chunk("Four.")]
    events = [event for chunk in chunks for event in builder.feed(chunk)]
    assert events == [ThinkingEvent("2 + 2"), ThinkingEvent("\n= 4."), TextEvent("Four.")]
    assert list(builder.flush()) == []
