"""pydantic-ai against our server: OpenAI's chat by its OllamaProvider, Anthropic's, responses."""

from __future__ import annotations

from driving import Got

SCRIPT = "python/pydantic_ai_client.py"
SUM = "Two plus two is four."


def test_it_answers(got: Got) -> None:
    assert got["answers"] == [SUM] * 3


def test_it_streams(got: Got) -> None:
    assert len(got["streams"]) == 3
    for pieces in got["streams"]:
        assert "".join(pieces) == SUM
        assert len(pieces) == 7


def test_it_runs_tools_until_there_is_an_answer(got: Got) -> None:
    turns = ["ModelRequest", "ModelResponse"] * 2
    assert got["uses_tools"] == [["It is 21 degrees in Paris.", turns]] * 3


def test_it_gets_structured_answers(got: Got) -> None:
    assert got["structures"] == {"name": "Ana", "age": 12}
    assert got["structures_by_a_tool"] == {"city": "Paris"}


def test_it_is_told_of_a_model_that_is_not_there(got: Got) -> None:
    status, error = got["misses_a_model"]
    assert (status, error["message"]) == (404, "model 'nope' not found")
