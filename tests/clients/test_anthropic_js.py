"""Anthropic's own JavaScript client against our server, with only the base URL changed."""

from __future__ import annotations

from driving import Got

SCRIPT = "js/anthropic.js"
SUM = "Two plus two is four."


def test_it_gets_an_answer(got: Got) -> None:
    assert got["answers"] == [[{"type": "text", "text": "My name is Wayra."}], "end_turn"]


def test_it_streams(got: Got) -> None:
    pieces, reason, tokens = got["streams"]
    assert "".join(pieces) == SUM
    assert (len(pieces), reason, tokens) == (7, "end_turn", 8)


def test_it_streams_thinking(got: Got) -> None:
    thoughts, kinds, text = got["streamsThinking"]
    assert "".join(thoughts) == "I calculate: 2 + 2 = 4, four."
    assert (kinds, text) == (["thinking", "text"], SUM)


def test_it_streams_tools_and_thinking(got: Got) -> None:
    kinds, thought, name, arguments, reason = got["streamsToolsAndThinking"]
    assert {"thinking_delta", "signature_delta", "input_json_delta"} <= set(kinds)
    assert thought == "Let me see."
    assert (name, arguments, reason) == ("add", {"a": 1, "b": 2}, "tool_use")


def test_it_uses_tools(got: Got) -> None:
    reason, name, arguments, answer = got["usesTools"]
    assert (reason, name, arguments) == ("tool_use", "get_weather", {"city": "Paris"})
    assert answer == "It is 21 degrees in Paris."


def test_it_gets_what_follows_a_schema(got: Got) -> None:
    assert got["structures"] == {"name": "Ana", "age": 12}


def test_it_counts_the_tokens_that_it_then_sends(got: Got) -> None:
    counted, sent = got["countsTokens"]
    assert counted == sent > 0


def test_it_is_told_of_a_model_that_is_not_there(got: Got) -> None:
    name, (status, error) = got["missesAModel"]
    assert (name, status) == ("NotFoundError", 404)
    assert error == {"type": "not_found_error", "message": "model 'nope' not found"}


def test_it_frees_its_place_when_it_leaves(got: Got) -> None:
    left = ["APIUserAbortError", "Request was aborted."]
    assert got["leavesAndComesBack"] == [left, "abc"]
