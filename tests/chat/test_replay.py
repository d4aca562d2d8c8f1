from __future__ import annotations

from collections.abc import Sequence

import pytest

from ayllu.chat.replay import MAX_FRUITLESS, MAX_REPLAYS, Replay
from ayllu.errors import EngineError
from ayllu.types import (
    DoneEvent,
    Event,
    PromptEvent,
    TextEvent,
    ThinkingEvent,
    TokenLogprob,
    ToolCall,
    ToolCallEvent,
    ToolFunction,
    ToolPieceEvent,
)


def call(name: str, ident: str) -> ToolCallEvent:
    return ToolCallEvent((ToolCall(ToolFunction(name), ident),))


def run(replay: Replay, events: Sequence[Event]) -> list[Event]:
    replay.start()
    return [part for event in events for part in replay.pass_on(event)]


def test_a_first_run_passes_unchanged() -> None:
    events: list[Event] = [ThinkingEvent("hm"), TextEvent("a"), TextEvent("b"), DoneEvent("stop")]
    assert run(Replay(), events) == events


def test_a_second_run_goes_on_where_the_first_broke_off() -> None:
    replay = Replay()
    run(replay, [ThinkingEvent("hm"), TextEvent("ab"), TextEvent("c")])
    second: list[Event] = [
        ThinkingEvent("h"),
        ThinkingEvent("m"),
        TextEvent("abcd"),
        TextEvent("e"),
    ]
    assert run(replay, second) == [TextEvent("d"), TextEvent("e")]


def test_another_answer_ends_in_an_error() -> None:
    replay = Replay()
    run(replay, [TextEvent("abc")])
    with pytest.raises(EngineError, match="repeat the request"):
        run(replay, [TextEvent("abx")])


def test_calls_are_passed_on_once_whatever_their_ids() -> None:
    replay = Replay()
    run(replay, [call("f", "1")])
    assert run(replay, [call("f", "2"), call("g", "3")]) == [call("g", "3")]
    with pytest.raises(EngineError):
        run(replay, [call("other", "4")])


def test_pieces_of_calls_are_passed_on_once_whatever_their_borders_and_ids() -> None:
    replay = Replay()
    first: list[Event] = [
        PromptEvent(9),
        ToolPieceEvent(0, "x", "f"),
        ToolPieceEvent(0, arguments='{"a'),
    ]
    assert run(replay, first) == first
    second: list[Event] = [
        PromptEvent(9, 8),
        ToolPieceEvent(0, "y", "f"),
        ToolPieceEvent(0, arguments="{"),
        ToolPieceEvent(0, arguments='"a": 1}'),
        ToolPieceEvent(1, "z", "g"),
    ]
    assert run(replay, second) == [
        ToolPieceEvent(0, arguments='": 1}'),
        ToolPieceEvent(1, "z", "g"),
    ]
    with pytest.raises(EngineError):
        run(replay, [ToolPieceEvent(0, "w", "other")])


def test_it_gives_up_only_when_no_run_gets_further() -> None:
    replay = Replay()
    for _ in range(MAX_FRUITLESS):
        run(replay, [PromptEvent(9)])
        assert replay.may_try_again()
    assert not replay.may_try_again()


def test_an_answer_that_has_begun_is_run_again_three_times() -> None:
    replay = Replay()
    assert replay.may_try_again()
    for text in ("a", "ab", "abc"):
        run(replay, [TextEvent(text)])
        assert replay.may_try_again()
    run(replay, [TextEvent("abcd")])
    assert not replay.may_try_again()
    elsewhere = Replay(replays=MAX_REPLAYS)
    run(elsewhere, [TextEvent("a")])
    assert not elsewhere.may_try_again()


def test_probabilities_are_passed_on_once() -> None:
    replay = Replay()
    a, b, c = (TokenLogprob(letter, -1.0) for letter in "abc")
    first: list[Event] = [TextEvent("", (a,)), TextEvent("ab", (b,))]
    assert run(replay, first) == first
    second: list[Event] = [TextEvent("a", (a,)), TextEvent("b"), TextEvent("c", (b, c))]
    assert run(replay, second) == [TextEvent("c", (c,))]


def test_a_run_that_hung_is_tried_once_more() -> None:
    replay = Replay()
    run(replay, [TextEvent("a")])
    assert replay.may_try_again(hung=True)
    assert not replay.may_try_again(hung=True)
