from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayllu.chat.thinking import ThinkingParser, partial_suffix


def parse(pieces: Sequence[str], *, inside: bool = False) -> tuple[str, str]:
    parser = ThinkingParser("<think>", "</think>", inside=inside)
    splits = [parser.feed(piece) for piece in pieces] + [parser.finish()]
    return "".join(s.thinking for s in splits), "".join(s.text for s in splits)


CASES = [
    ("<think>why</think>because", "why", "because"),
    ("  <think>\nwhy\n</think>\n\nbecause", "why", "because"),
    ("because", "", "because"),
    ("  because <think>no</think>", "", "  because <think>no</think>"),
    ("<think>a < b </thin k></think>c", "a < b </thin k>", "c"),
    ("<think>one</think>two<think>three</think>", "one", "two<think>three</think>"),
    ("<think>never closed", "never closed", ""),
    ("<think></think>x", "", "x"),
    ("<thin", "", "<thin"),
    ("", "", ""),
]


@pytest.mark.parametrize(("text", "thinking", "answer"), CASES)
def test_thinking_comes_apart_from_the_answer(text: str, thinking: str, answer: str) -> None:
    assert parse([text]) == (thinking, answer)


@pytest.mark.parametrize(("text", "thinking", "answer"), CASES)
def test_it_comes_apart_letter_by_letter_too(text: str, thinking: str, answer: str) -> None:
    assert parse(list(text)) == (thinking, answer)


@given(st.lists(st.sampled_from(["<", "think>", "</think>", "<think>", " ", "\n", "a", "/"])))
def test_where_the_pieces_are_cut_makes_no_difference(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert parse(pieces) == parse([text]) == parse(list(text))


def test_a_prompt_that_ends_in_the_tag_starts_inside() -> None:
    assert parse(["why</think> because"], inside=True) == ("why", "because")


@pytest.mark.parametrize(
    ("text", "length"), [("ab<", 1), ("ab</thin", 6), ("ab", 0), ("</think>", 0), ("<<", 1)]
)
def test_the_start_of_a_tag_is_recognized_at_the_end(text: str, length: int) -> None:
    assert partial_suffix(text, "</think>") == length
