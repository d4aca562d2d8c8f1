"""OpenAI's own JavaScript client against our server, with only the base URL changed."""

from __future__ import annotations

from driving import Got

SCRIPT = "js/openai.js"
SUM = "Two plus two is four."


def test_it_chats(got: Got) -> None:
    assert got["chats"] == [SUM, "stop", 8]


def test_it_streams_and_learns_the_usage(got: Got) -> None:
    streamed = got["streams"]
    assert "".join(text or "" for text in streamed["texts"]) == SUM
    assert len(streamed["texts"]) > 7
    assert (streamed["reason"], streamed["tokens"]) == ("stop", 8)


def test_it_thinks(got: Got) -> None:
    assert got["thinks"] == ["I calculate: 2 + 2 = 4, four.", SUM]


def test_it_uses_tools(got: Got) -> None:
    assert got["usesTools"] == ["get_weather", '{"city": "Paris"}', "It is 21 degrees in Paris."]


def test_its_helper_runs_tools_until_there_is_an_answer(got: Got) -> None:
    assert got["runsTools"] == ["It is 21 degrees in Paris.", ["Paris"]]


def test_it_gets_what_follows_a_schema(got: Got) -> None:
    assert got["structures"] == {"name": "Ana", "age": 12}


def test_it_completes_prompts(got: Got) -> None:
    assert got["completes"] == [["abcde", "xyz"], "xyz"]


def test_it_embeds_in_base64_and_in_numbers(got: Got) -> None:
    sizes, apart = got["embeds"]
    assert sizes == [64, 64]
    assert apart < 1e-6


def test_it_lists_models(got: Got) -> None:
    names, owner = got["listsModels"]
    assert {"mini:latest", "base:latest"} <= set(names)
    assert owner == "library"


def test_it_is_told_what_is_wrong(got: Got) -> None:
    assert got["missesAModel"] == ["NotFoundError", [404, "404 model 'nope' not found"]]
    name, (status, sentence) = got["isToldWhatIsWrong"]
    assert (name, status) == ("BadRequestError", 400)
    assert "is too short" in sentence


def test_it_frees_its_place_when_it_leaves(got: Got) -> None:
    assert got["leavesAndComesBack"] == "abc"
