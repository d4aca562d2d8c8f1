"""Chunks of the engine become Events."""

from __future__ import annotations

import pytest

from ayllu.chat.events import EventBuilder
from ayllu.chat.parsers import Setting, make_parser
from ayllu.errors import EngineError
from ayllu.runner.chunks import Chunk, Progress, ToolDelta
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


@pytest.mark.parametrize(
    "arguments", ['{"a": "\\ud800"}', "[1]", '{"a": ', '{"a":' * 900 + "1" + "}" * 900]
)
def test_arguments_that_cannot_be_passed_on_are_one_clear_error(arguments: str) -> None:
    builder = EventBuilder()
    assert list(builder.feed(Chunk(tools=(ToolDelta(0, "x", "add", arguments),)))) == []
    with pytest.raises(EngineError, match=r"^the model called 'add' with arguments that are not"):
        list(builder.flush())


def test_a_limit_cuts_a_parsers_call_too() -> None:
    for finish, kind in (("length", TextEvent), ("stop", ToolCallEvent)):
        tools = ({"type": "function", "function": {"name": "add"}},)
        builder = EventBuilder(parser=make_parser("glm-4.7", Setting(tools=tools)))
        assert list(builder.feed(Chunk("<tool_call>add<arg_key>a</arg_key><arg_value>1"))) == []
        assert list(builder.feed(Chunk(finish=finish))) == []
        assert {type(event) for event in builder.flush()} == {kind}
