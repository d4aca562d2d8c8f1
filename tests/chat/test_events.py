"""Chunks of the engine become Events."""

from __future__ import annotations

from ayllu.chat.events import EventBuilder
from ayllu.runner.client import Chunk, Progress, ToolDelta
from ayllu.types import (
    PromptEvent,
    TextEvent,
    ThinkingEvent,
    ToolCallEvent,
    ToolPieceEvent,
)


def test_white_space_at_the_end_of_thinking_goes_and_within_it_stays() -> None:
    builder = EventBuilder()
    chunks = [Chunk(thinking="2 + 2"), Chunk(thinking="\n"), Chunk(thinking="= 4."), Chunk("")]
    chunks += [Chunk(thinking=" \n"), Chunk("Four.")]
    events = [event for chunk in chunks for event in builder.feed(chunk)]
    assert events == [ThinkingEvent("2 + 2"), ThinkingEvent("\n= 4."), TextEvent("Four.")]
    assert list(builder.flush()) == []


def test_a_detailed_answer_starts_with_the_prompts_size_and_has_calls_in_pieces() -> None:
    builder = EventBuilder(detailed=True)
    chunks = [
        Chunk(progress=Progress(total=9, cache=4)),
        Chunk(progress=Progress(total=9, cache=4)),
        Chunk(tools=(ToolDelta(0, "c1", "add"),)),
        Chunk(tools=(ToolDelta(0, arguments='{"a":'),)),
        Chunk(tools=(ToolDelta(0, arguments="1}"),)),
        Chunk(finish="stop", stop_word="d"),
    ]
    events = [event for chunk in chunks for event in builder.feed(chunk)]
    assert events == [
        PromptEvent(9, 4),
        ToolPieceEvent(0, "c1", "add"),
        ToolPieceEvent(0, arguments='{"a":'),
        ToolPieceEvent(0, arguments="1}"),
    ]
    assert list(builder.flush()) == []
    assert builder.close(load_duration=0, truncated=0, context=()).stop_word == "d"


def test_a_call_that_a_limit_cut_short_is_left_out() -> None:
    for finish, calls in (("length", 1), ("stop", 2)):
        builder = EventBuilder()
        deltas = [ToolDelta(0, "x", "add", "{}"), ToolDelta(1, "y", "add", '{"a": ')]
        rest = "" if finish == "length" else "1}"
        deltas.append(ToolDelta(1, arguments=rest))
        events = list(builder.feed(Chunk(tools=tuple(deltas), finish=finish)))
        events += builder.flush()
        assert len([event for event in events if isinstance(event, ToolCallEvent)]) == calls


def test_calls_after_the_first_are_left_out_where_one_is_enough() -> None:
    builder = EventBuilder(one_call=True)
    deltas = tuple(ToolDelta(place, str(place), "add", "{}") for place in range(3))
    (event,) = [*builder.feed(Chunk(tools=deltas)), *builder.flush()]
    assert isinstance(event, ToolCallEvent)
    assert [call.id for call in event.calls] == ["0"]
