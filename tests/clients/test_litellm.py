"""LiteLLM against our server, through each of its three APIs."""

from __future__ import annotations

import json

from driving import Got

SCRIPT = "python/litellm_client.py"
SUM = "Two plus two is four."


def test_it_answers(got: Got) -> None:
    assert got["answers"] == [SUM] * 3


def test_it_streams(got: Got) -> None:
    for pieces in got["streams"]:
        assert "".join(pieces) == SUM
        assert len([piece for piece in pieces if piece]) == 7


def test_it_uses_tools(got: Got) -> None:
    used = ["get_weather", '{"city": "Paris"}', "It is 21 degrees in Paris."]
    assert got["uses_tools"] == [used] * 3


def test_it_gets_structured_answers(got: Got) -> None:
    assert [json.loads(text) for text in got["structures"]] == [{"name": "Ana", "age": 12}] * 2
    by_a_tool = [json.loads(text) for text in got["structures_by_a_tool"]]
    assert by_a_tool == [{"city": "Paris"}] * 3


def test_it_embeds(got: Got) -> None:
    assert got["embeds"] == [[256, 256]] * 2


def test_it_is_told_of_a_model_that_is_not_there(got: Got) -> None:
    names, sentences = zip(*got["misses_a_model"], strict=True)
    assert names == ("NotFoundError",) * 3
    assert all("model 'nope' not found" in sentence for sentence in sentences)
