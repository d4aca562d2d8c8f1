from __future__ import annotations

import pytest

from ayllu.chat.placing import (
    PLACE,
    Attachment,
    attachments,
    engine_prompt,
    joined,
    mark_content,
    marked,
    numbered,
    split,
    with_marks,
    without_marks,
)
from ayllu.types import Message

A, B = Attachment("AAAA"), Attachment("BBBB")


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (["a", "b"], "a\nb"),
        (["a", "", "b"], "a\nb"),
        ([None, "a"], f"{PLACE}a"),
        (["a", None, "b", "c", None], f"a{PLACE}b\nc{PLACE}"),
        (["", None], PLACE),
        ([f"a{PLACE}b"], f"a{PLACE}b"),
        ([f"a{PLACE}b", None], f"ab{PLACE}"),
        ([], ""),
    ],
)
def test_parts_become_a_text_with_places(parts: list[str | None], text: str) -> None:
    assert joined(parts) == text


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("look", [A, B, "look"]),
        (f"see {PLACE} now", [A, "see ", B, " now"]),
        (f"{PLACE}{PLACE}", [A, B]),
        (f"{PLACE}x{PLACE}y{PLACE}", [A, "x", B, f"y{PLACE}"]),
        ("", [A, B]),
    ],
)
def test_attachments_stand_at_their_places_or_in_front(content: str, parts: list[object]) -> None:
    assert split(mark_content(content, range(2)), ["AAAA", "BBBB"]) == parts


def test_attachments_are_numbered_through_all_messages() -> None:
    messages = [
        Message("user", "a", images=("AAAA",)),
        Message("assistant", f"b{PLACE}"),
        Message("user", f"c{PLACE}", images=("BBBB",)),
    ]
    one, two, three = marked(messages)
    assert two == messages[1]
    text = one.content + two.content + three.content
    assert split(text, attachments(messages)) == [A, f"ab{PLACE}c", B]
    assert numbered(text) == f"[img-0]ab{PLACE}c[img-1]"
    assert without_marks(text) == f"ab{PLACE}c"


def test_a_prompt_names_its_attachments_in_the_order_of_the_text() -> None:
    second, first = mark_content("", [1]), mark_content("", [0])
    prompt = engine_prompt(f"x{second}y{first}{first}z", ["AAAA", "BBBB"], "<M>")
    assert prompt == {"prompt_string": "x<M>y<M><M>z", "multimodal_data": ["BBBB", "AAAA", "AAAA"]}
    assert engine_prompt("x", ["AAAA"], "<M>") == "x"
    ended = engine_prompt(f"x{first}", ["AAAA"], "<M>")
    assert ended == {"prompt_string": "x<M>\n", "multimodal_data": ["AAAA"]}


def test_the_engines_markers_become_ours() -> None:
    text = with_marks("a<M>b<M>", "<M>")
    assert split(text, ["AAAA", "BBBB"]) == ["a", A, "b", B]
    assert with_marks("ab", "<M>") == "ab"
