"""The responses of OpenAI's own JavaScript client, against our server."""

from __future__ import annotations

from driving import Got

SCRIPT = "js/responses.js"
SUM = "Two plus two is four."
PARIS = "It is 21 degrees in Paris."


def test_it_gets_an_answer(got: Got) -> None:
    text, status, tokens = got["answers"]
    assert (text, status) == ("My name is Wayra.", "completed")
    assert tokens > 0


def test_it_streams(got: Got) -> None:
    pieces, kinds = got["streams"]
    assert "".join(pieces) == SUM
    assert len(pieces) == 7
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")


def test_it_thinks(got: Got) -> None:
    kinds, thought, text = got["thinks"]
    assert (kinds, text) == (["reasoning", "message"], SUM)
    assert thought == "I calculate: 2 + 2 = 4, four."


def test_it_uses_tools(got: Got) -> None:
    assert got["usesTools"] == ["get_weather", '{"city": "Paris"}', PARIS]


def test_it_gets_what_follows_a_schema(got: Got) -> None:
    assert got["structures"] == {"name": "Ana", "age": 12}


def test_it_goes_on_with_what_the_server_kept(got: Got) -> None:
    assert got["goesOnWithWhatIsKept"] == [PARIS, PARIS, ["NotFoundError", 404]]


def test_it_is_told_of_a_model_that_is_not_there(got: Got) -> None:
    assert got["missesAModel"] == ["NotFoundError", [404, "404 model 'nope' not found"]]


def test_it_frees_its_place_when_it_leaves(got: Got) -> None:
    assert got["leavesAndComesBack"] == ["abc", "incomplete"]
