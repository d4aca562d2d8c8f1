"""Ollama's own JavaScript client against our server, with only the host changed."""

from __future__ import annotations

from driving import Got

SCRIPT = "js/ollama.js"
SUM = "Two plus two is four."


def test_it_chats(got: Got) -> None:
    assert got["chats"] == [SUM, "stop", 8]


def test_it_streams(got: Got) -> None:
    texts, ends = zip(*got["streams"], strict=True)
    assert "".join(texts) == SUM
    assert ends == (*[False] * 7, True)


def test_it_thinks(got: Got) -> None:
    assert got["thinks"] == ["I calculate: 2 + 2 = 4, four.", SUM]


def test_it_uses_tools(got: Got) -> None:
    assert got["usesTools"] == ["get_weather", {"city": "Paris"}, "It is 21 degrees in Paris."]


def test_it_gets_what_follows_a_schema(got: Got) -> None:
    assert got["structures"] == {"name": "Ana", "age": 12}


def test_it_fills_in(got: Got) -> None:
    assert got["generates"].strip() == "es"


def test_it_embeds(got: Got) -> None:
    assert got["embeds"] == [256, 256, 256]


def test_it_makes_copies_shows_pulls_and_deletes_models(got: Got) -> None:
    last, names, capabilities, system, left = got["managesModels"]
    assert last == ["success", "success"]
    assert {"inti:latest", "killa:latest"} <= set(names)
    assert capabilities == ["completion", "tools", "insert", "thinking"]
    assert system == "Your name is Inti."
    assert left == len(names) - 2


def test_it_sees_what_is_loaded(got: Got) -> None:
    assert "mini:latest" in got["seesWhatIsLoaded"]


def test_it_is_told_of_a_model_that_is_not_there(got: Got) -> None:
    assert got["missesAModel"] == ["ResponseError", [404, "model 'nope' not found"]]


def test_it_frees_its_place_when_it_leaves(got: Got) -> None:
    assert got["leavesAndComesBack"] == [["DOMException", "AbortError"], "abc"]
