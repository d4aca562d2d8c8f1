"""Events become the stream of a response, in OpenAI's order."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from blank_response import BLANK
from msgspec import structs

from ayllu.errors import AylluError, BadRequestError, EngineError
from ayllu.server.response_tools import Tool
from ayllu.server.response_writer import Manner, ResponseWriter
from ayllu.server.wire import encode
from ayllu.server.wire_response_events import StreamEvent
from ayllu.types import (
    DoneEvent,
    Event,
    PromptEvent,
    TextEvent,
    ThinkingEvent,
    Timings,
    TokenLogprob,
    ToolPieceEvent,
)

TOOLS = {
    "add": Tool("add"),
    "files.find": Tool("find", "files"),
    "sh": Tool("sh", is_custom=True),
}
STOP = DoneEvent("stop", Timings(prompt_eval_count=9, prompt_cached_count=4, eval_count=5))
CUT = structs.replace(STOP, reason="length")


def written(
    *events: Event, done: DoneEvent = STOP, **manner: Any
) -> tuple[list[str], list[Any], Any]:
    """The kinds of the events between the first two and the last, these events, the response."""
    writer = ResponseWriter(structs.replace(BLANK, id="resp_1"), Manner(tools=TOOLS, **manner))
    told: list[StreamEvent] = []
    for event in (PromptEvent(9, 4), *events, done):
        told += writer.feed(event)
    found = msgspec.json.decode(encode([*told, writer.last()]))
    kinds = [event["type"].removeprefix("response.") for event in found]
    assert kinds[:2] == ["created", "in_progress"]
    assert kinds[-1] == ("incomplete" if done.reason == "length" else "completed")
    assert found[0]["response"]["output"] == []
    check_places(found[2:-1])
    return kinds[2:-1], found[2:-1], found[-1]["response"]


def check_places(events: Sequence[Any]) -> None:
    """Whether every event belongs to the item that is open, and items come one after the other."""
    index, ident = -1, None
    for event in events:
        if event["type"] == "response.output_item.added":
            assert ident is None
            index, ident = index + 1, event["item"]["id"]
        assert event["output_index"] == index
        assert event.get("item_id", ident) == ident
        if event["type"] == "response.output_item.done":
            assert event["item"]["id"] == ident
            ident = None
    assert ident is None


def deltas(events: Sequence[Any]) -> str:
    return "".join(event.get("delta", "") for event in events)


MESSAGE = [
    "output_item.added",
    "content_part.added",
    "output_text.delta",
    "output_text.delta",
    "output_text.done",
    "content_part.done",
    "output_item.done",
]


def test_a_message_comes_in_pieces_and_then_whole() -> None:
    kinds, events, response = written(TextEvent("Hel"), TextEvent("lo"))
    assert kinds == MESSAGE
    assert events[0]["item"]["status"] == "in_progress"
    assert events[0]["item"]["content"] == []
    assert (deltas(events), events[4]["text"], events[5]["part"]["text"]) == ("Hello",) * 3
    (item,) = response["output"]
    assert item == events[-1]["item"]
    assert (item["role"], item["status"], item["content"]) == (
        "assistant",
        "completed",
        [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}],
    )
    assert response["usage"] == {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 14,
    }
    assert response["completed_at"]


@pytest.mark.parametrize(
    ("summarizes", "kinds", "part"),
    [
        (False, ("content_part", "reasoning_text"), "content"),
        (True, ("reasoning_summary_part", "reasoning_summary_text"), "summary"),
    ],
)
def test_thinking_is_told_as_it_is_or_as_a_summary(
    summarizes: bool, kinds: tuple[str, str], part: str
) -> None:
    found, events, response = written(
        ThinkingEvent("Let me"),
        ThinkingEvent(" see"),
        TextEvent("\n\n"),
        TextEvent("3"),
        summarizes=summarizes,
    )
    around, within = kinds
    assert found == [
        "output_item.added",
        f"{around}.added",
        f"{within}.delta",
        f"{within}.delta",
        f"{within}.done",
        f"{around}.done",
        "output_item.done",
        *MESSAGE,
    ]
    assert deltas(events[:7]) == events[4]["text"] == "Let me see"
    thought, said = response["output"]
    assert [piece["text"] for piece in thought[part]] == ["Let me see"]
    assert thought["encrypted_content"] is None
    assert said["content"][0]["text"] == "\n\n3"


def test_thinking_can_be_sent_back_by_clients_that_want_nothing_stored() -> None:
    _, events, response = written(ThinkingEvent("hm"), sends_back=True, summarizes=True)
    assert events[0]["item"]["encrypted_content"] is None
    assert response["output"][0]["encrypted_content"] == "hm"


def test_calls_come_in_pieces_under_the_clients_names() -> None:
    kinds, events, response = written(
        TextEvent("\n"),
        ToolPieceEvent(0, "c1", "add", '{"a"'),
        ToolPieceEvent(0, arguments=": 1}"),
        ToolPieceEvent(1, "", "files.find", ""),
        ToolPieceEvent(2, "c3", "unheard", "{}"),
    )
    call = ["function_call_arguments.delta", "function_call_arguments.done", "output_item.done"]
    assert kinds == [
        "output_item.added",
        "function_call_arguments.delta",
        *call,
        *(["output_item.added", *call] * 2),
    ]
    assert (deltas(events[:5]), events[3]["arguments"]) == ('{"a": 1}',) * 2
    assert (events[0]["item"]["arguments"], events[3]["name"]) == ("", "add")
    add, find, unheard = response["output"]
    assert (add["call_id"], add["name"], add["status"]) == ("c1", "add", "completed")
    assert json.loads(add["arguments"]) == {"a": 1}
    assert "namespace" not in add
    assert (find["name"], find["namespace"], find["arguments"]) == ("find", "files", "{}")
    assert find["call_id"].startswith("call_")
    assert unheard["name"] == "unheard"


def test_white_space_that_was_no_text_stays_away_from_later_text() -> None:
    _, _, response = written(
        ThinkingEvent("hm"), TextEvent("\n"), ToolPieceEvent(0, "c1", "add"), TextEvent("so")
    )
    assert [item["type"] for item in response["output"]] == [
        "reasoning",
        "function_call",
        "message",
    ]
    assert response["output"][2]["content"][0]["text"] == "so"


def test_a_custom_call_gives_the_text_within_the_json() -> None:
    kinds, events, response = written(
        ToolPieceEvent(0, "c1", "sh", '{"inp'), ToolPieceEvent(0, arguments='ut": "ls\\n"}')
    )
    assert kinds == [
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    assert (deltas(events), events[2]["input"]) == ("ls\n", "ls\n")
    (item,) = response["output"]
    assert (item["type"], item["call_id"], item["input"]) == ("custom_tool_call", "c1", "ls\n")


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (TextEvent("Hel"), "incomplete"),
        (ThinkingEvent("hm"), "incomplete"),
        (ToolPieceEvent(0, "c", "add", '{"a'), "incomplete"),
        (ToolPieceEvent(0, "c", "add"), "incomplete"),
        (ToolPieceEvent(0, "c", "add", '{"a": 1}'), "completed"),
        (ToolPieceEvent(0, "c", "sh", '{"input": "l'), "incomplete"),
    ],
)
def test_an_answer_that_a_limit_ends_is_incomplete(event: Event, status: str) -> None:
    _, _, response = written(event, done=CUT)
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["completed_at"] is None
    assert [item["status"] for item in response["output"]] == [status]


@pytest.mark.parametrize("text", ["", " \n"])
def test_an_answer_of_nothing_has_no_items(text: str) -> None:
    kinds, _, response = written(TextEvent(text))
    assert (kinds, response["output"], response["status"]) == ([], [], "completed")


@pytest.mark.parametrize(("name", "text"), [("add", '{"a'), ("add", "[1]"), ("sh", "ls")])
def test_a_call_that_is_no_json_breaks_the_answer(name: str, text: str) -> None:
    with pytest.raises(EngineError, match=f"called '{name}' with arguments that are no JSON"):
        written(ToolPieceEvent(0, "c", name, text))


def test_probabilities_go_with_their_text_and_with_the_whole_of_it() -> None:
    def token(text: str) -> TokenLogprob:
        return TokenLogprob(text, -0.5, tuple(text.encode()), (TokenLogprob(text, -0.5),))

    events: list[Event] = [
        ThinkingEvent("hm", (token("hm"),)),
        TextEvent("\n", (token("\n"),)),
        TextEvent("a", (token("a"),)),
        TextEvent("", (token(""),)),
    ]
    _, told, response = written(*events, logprobs=True)
    pieces = [event["logprobs"] for event in told if event["type"].endswith("output_text.delta")]
    assert [[one["token"] for one in piece] for piece in pieces] == [["\n"], ["a"], [""]]
    part = response["output"][1]["content"][0]
    assert [one["token"] for one in part["logprobs"]] == ["\n", "a", ""]
    top = {"token": "a", "logprob": -0.5, "bytes": []}
    assert part["logprobs"][1] == top | {"bytes": [97], "top_logprobs": [top]}
    _, told, _ = written(*events)
    assert all(not event.get("logprobs") for event in told)


@pytest.mark.parametrize(
    ("error", "code"),
    [(EngineError("it died"), "server_error"), (BadRequestError("no"), "invalid_prompt")],
)
def test_an_answer_that_breaks_has_the_items_that_are_whole(error: AylluError, code: str) -> None:
    writer = ResponseWriter(BLANK, Manner(tools=TOOLS))
    for event in (ThinkingEvent("hm"), TextEvent("Hel")):
        list(writer.feed(event))
    failed = msgspec.json.decode(encode(writer.failed(error)))
    assert failed["type"] == "response.failed"
    response = failed["response"]
    assert (response["status"], response["store"]) == ("failed", False)
    assert response["error"] == {"code": code, "message": error.sentence}
    assert [item["type"] for item in response["output"]] == ["reasoning"]
