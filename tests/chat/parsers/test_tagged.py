"""What all formats of tags share: tags that are none, answers that are cut, hostile text."""

from __future__ import annotations

import pytest
from chat.parsers.reading import call, check_cuts, read, say, think

from ayllu.chat.parsers import HEADED, TAGGED, Setting, make_parser
from ayllu.chat.parsers.holding import MAX_FAILURES
from ayllu.models.formats import FORMATS

CALL = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
XML = "<tool_call><function=add><parameter=a>1</parameter></function></tool_call>"


def test_a_tag_that_is_only_spoken_of_hides_no_answer() -> None:
    thought = "I could write <tool_call> or <tool_call> {x} here."
    cases = [
        (f"{thought}</think>\nYes.", [think(thought), say("Yes.")]),
        (f"{thought}</think>{CALL}", [think(thought), call("add", a=1)]),
    ]
    check_cuts("qwen3-thinking", cases)
    check_cuts("qwen3", [(f"<tool_call> is a tag: {CALL}", [say("<tool_call> is a tag:"), CALLED])])
    glm = "<tool_call>add<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>"
    check_cuts(
        "glm-4.7", [(f"<tool_call> is a tag: {glm}", [say("<tool_call> is a tag:"), CALLED])]
    )


CALLED = call("add", a=1)


def test_what_cannot_be_a_call_is_told_at_once() -> None:
    parser = make_parser("qwen3", Setting(tools=({"function": {"name": "add"}},)))
    assert "".join(e.text for e in parser.feed("A <tool_call> tag")) == "A <tool_call> tag"  # type: ignore[union-attr]


def test_after_many_tags_that_are_none_no_more_calls_are_looked_for() -> None:
    text = "<tool_call> " * (MAX_FAILURES - 1)
    assert read("qwen3", [text + CALL]) == [say(text.rstrip()), CALLED]
    text = "<tool_call> " * MAX_FAILURES
    check_cuts("qwen3", [(text + CALL, [say(text + CALL)])])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("glm-4.7", "<tool_call>add<arg_key>a</arg_key><arg_value>1"),
        ("glm-4.7", "<tool_call>ad"),
        ("qwen3-coder", "<tool_call><function=add><parameter=a>1"),
        ("qwen3-coder", "<tool_call><function=add><parameter=a>1</parameter>"),
        ("gemma4", "<|tool_call>call:add{a:1"),
        ("qwen3", CALL.removesuffix("</tool_call>")),
    ],
)
def test_a_call_that_a_limit_cut_is_none(name: str, text: str) -> None:
    assert read(name, [text], ended_by_limit=True) == [say(text)]
    assert read(name, list(text), ended_by_limit=True) == [say(text)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("harmony", " to=functions.add<|channel|>commentary<|message|>"),
        (
            "glimmer",
            ' to=add<|message|><atem:function_calls><atem:invoke name="add"></atem:invoke>',
        ),
    ],
)
def test_a_message_that_a_limit_cut_is_no_call(name: str, text: str) -> None:
    (kind, (called, _)), *rest = read(name, [text])
    assert (kind, called, rest) == ("call", "add", [])
    (kind, _), *rest = read(name, [text], ended_by_limit=True)
    assert (kind, rest) == ("text", [])


def test_a_whole_call_before_a_cut_is_one() -> None:
    told = read("qwen3", [f"{CALL}\nAnd <tool_call>"], ended_by_limit=True)
    assert told == [CALLED, say("And <tool_call>")]


def test_the_closing_tag_of_a_call_that_was_closed_already_is_dropped() -> None:
    inner = XML.removeprefix("<tool_call>")
    check_cuts("qwen3-coder", [(f"{inner}\nDone.", [CALLED, say("Done.")])])
    check_cuts("qwen3-coder", [("a </tool_call>", [say("a </tool_call>")])])
    assert read("qwen3-coder", ["</tool_call>"], tools=()) == [say("</tool_call>")]


HOSTILE = [
    ("qwen3-coder", "<tool_call><function=", " "),
    ("qwen3-coder", "<tool_call><function=add><parameter=", " "),
    ("qwen3-coder", "<tool_call><function=add><parameter=a>", "1"),
    ("qwen3", '<tool_call>{"a": "', '\\"'),
    ("ministral", "[TOOL_CALLS]add[ARGS]", "{"),
    ("gemma4", "<|tool_call>call:add{a:", "{a:"),
    ("glimmer", " to=add<|message|><atem:function_calls>", '<atem:parameter name="'),
    ("harmony", " to=functions.add<|channel|>commentary<|message|>", '{"a":'),
]


@pytest.mark.parametrize(("name", "opening", "filling"), HOSTILE)
def test_a_long_answer_costs_no_more_than_its_length(name: str, opening: str, filling: str) -> None:
    """Where the work grew with the square or the cube of the length, this would not come back."""
    text = opening + filling * (200_000 // len(filling)) + "x"
    told = read(name, [text, "</tool_call>"])
    assert [kind for kind, _ in told] == ["call" if filling == "1" else "text"]


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_parser_tells_its_tags_and_whether_it_thinks(name: str) -> None:
    known = FORMATS[name]
    assert make_parser(name, Setting()).thinks == known.thinks
    assert make_parser(name, Setting(think=False)).thinks == known.always
    tags = make_parser(name, Setting()).tags
    if name in HEADED:
        assert "<|message|>" in tags
    else:
        assert set(TAGGED[name].thinking or ()) <= set(tags)
