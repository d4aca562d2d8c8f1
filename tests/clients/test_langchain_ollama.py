"""langchain-ollama against our server, with only the base URL changed."""

from __future__ import annotations

from driving import Got

SCRIPT = "python/langchain_ollama_client.py"
SUM = "Two plus two is four."


def test_it_answers(got: Got) -> None:
    text, reason, usage = got["answers"]
    assert (text, reason) == ("My name is Wayra.", "stop")
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0


def test_it_streams(got: Got) -> None:
    pieces = [piece for piece in got["streams"] if piece]
    assert "".join(pieces) == SUM
    assert len(pieces) == 7


def test_it_thinks(got: Got) -> None:
    assert got["thinks"] == ["I calculate: 2 + 2 = 4, four.", SUM]


def test_it_completes(got: Got) -> None:
    assert got["completes"] == SUM


def test_it_uses_tools(got: Got) -> None:
    assert got["uses_tools"] == ["get_weather", {"city": "Paris"}, "It is 21 degrees in Paris."]


def test_it_gets_structured_answers(got: Got) -> None:
    assert got["structures"] == {"name": "Ana", "age": 12}


def test_it_embeds(got: Got) -> None:
    assert got["embeds"] == [256, 256, 256]


def test_it_is_told_of_a_model_that_is_not_there(got: Got) -> None:
    assert got["misses_a_model"] == [404, "model 'nope' not found"]
