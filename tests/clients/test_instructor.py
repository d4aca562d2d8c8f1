"""Instructor against our server: structured answers in its three usual modes."""

from __future__ import annotations

from driving import Got

SCRIPT = "python/instructor_client.py"
ANA = {"name": "Ana", "age": 12}


def test_it_gets_structured_answers(got: Got) -> None:
    assert got["structures"] == [ANA, ANA]


def test_it_gets_structured_answers_by_a_tool(got: Got) -> None:
    assert got["structures_by_a_tool"] == {"city": "Paris"}


def test_it_streams_what_it_has_so_far(got: Got) -> None:
    parts = got["streams_what_it_has_so_far"]
    assert parts[0] == {"name": None, "age": None}
    assert {"name": "Ana", "age": None} in parts
    assert parts[-1] == ANA
