from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ayllu.chat import tools
from ayllu.chat.tools import ToolParser

NAMES = ["add", "get_weather", "get_weather_now"]


def parse(tag: str, pieces: Sequence[str]) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    parser = ToolParser(tag, NAMES)
    found = [parser.feed(piece) for piece in pieces]
    text = "".join(item.text for item in found) + parser.finish()
    calls = [call for item in found for call in item.calls]
    assert [call.function.index for call in calls] == list(range(len(calls)))
    assert len({call.id for call in calls}) == len(calls)
    return text, [(call.function.name, call.function.arguments) for call in calls]


CASES = [
    (
        "<tool_call>",
        '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>',
        "",
        [("add", {"a": 1})],
    ),
    (
        "<tool_call>",
        'Let me see. <tool_call>{"name": "add", "arguments": {"a": {"b": "}"}}}</tool_call>',
        "Let me see.",
        [("add", {"a": {"b": "}"}})],
    ),
    (
        "[TOOL_CALLS]",
        (
            '[TOOL_CALLS] [{"name": "add", "arguments": {}}, '
            '{"name": "get_weather", "arguments": {"city": "Cusco"}}]'
        ),
        "",
        [("add", {}), ("get_weather", {"city": "Cusco"})],
    ),
    ("{", '{"name": "add", "parameters": {"a": 2}}', "", [("add", {"a": 2})]),
    ("{", 'Here: {"name": "add"}', 'Here: {"name": "add"}', []),
    ("{", '{"answer": 42}', '{"answer": 42}', []),
    ("[", '[{"name": "add", "arguments": {"a": 1}}]', "", [("add", {"a": 1})]),
    ("<call>", '<call>get_weather{"city": "Lima"}', "", [("get_weather", {"city": "Lima"})]),
    (
        "<call>",
        '<call>get_weather_now {"city": "Lima"}',
        "",
        [("get_weather_now", {"city": "Lima"})],
    ),
    ("<call>", '<call>{"add": {"a": 1}}', "", [("add", {"a": 1})]),
    (
        "<call>",
        '<call>{"name": "add", "arguments": "{\\"a\\": 1}"}',
        "",
        [("add", {"a": 1})],
    ),
    ("<call>", "no call at all", "no call at all", []),
    ("<call>", "almost <cal", "almost <cal", []),
    ("<call>", '<call>{"name": "add", "argum', "", []),
    ("<call>", "The tag <call> begins a call.", "The tag <call> begins a call.", []),
    ("<call>", '<call>add{x} {"a": 1}', "", [("add", {"a": 1})]),
    ("<call>", '<call>add{"a": "\\ud800"}', '<call>add{"a": "\\ud800"}', []),
    ("<call>", '<call>add{"a": NaN} {"a": 1}', "", [("add", {"a": 1})]),
    ("<call>", f'<call>add{{"a": {"1" * 5000}}}', f'<call>add{{"a": {"1" * 5000}}}', []),
    ("<call>", '<call>add{"a": "x\ny"}', "", [("add", {"a": "x\ny"})]),
]


@pytest.mark.parametrize(("tag", "text", "answer", "calls"), CASES)
def test_calls_come_apart_from_the_answer(
    tag: str, text: str, answer: str, calls: list[Any]
) -> None:
    assert parse(tag, [text]) == (answer, calls)


@given(st.data())
def test_where_the_text_is_cut_makes_no_difference(data: st.DataObject) -> None:
    tag, text, answer, calls = data.draw(st.sampled_from(CASES))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    edges = [0, *cuts, len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)]
    assert parse(tag, pieces) == (answer, calls)
    assert parse(tag, list(text)) == (answer, calls)


def test_a_call_in_a_thousand_pieces_is_looked_at_once() -> None:
    inner = 'x{}\\"' * 5_000
    text = ' {"name": "add", "arguments": {"a": "' + inner + '"}} and more'
    end = text.index(" and more")
    scan = tools._Scan()
    for place in range(1, end, 4):
        assert scan.end(text[:place]) == 0
        assert scan._place >= place - 1, "it looks at old letters again"
    assert (scan.start, scan.end(text)) == (1, end)
    parts = [text[i : i + 4] for i in range(0, len(text), 4)]
    (call,) = parse("<call>", ["<call>", *parts])[1]
    assert call == ("add", {"a": 'x{}"' * 5_000})


def test_a_name_is_looked_for_once_in_a_long_text() -> None:
    parser = ToolParser("<call>", NAMES)
    parser.feed("<call>")
    for _ in range(1000):
        parser.feed("x" * 100)
        assert parser._looked > len(parser._held) - 2 * len(NAMES[-1])
    (call,) = parser.feed('add {"a": 1}').calls
    assert call.function.arguments == {"a": 1}


@pytest.mark.parametrize(
    "inner", ["{" * 100_000 + "}" * 100_000, '{"a":' * 50_000 + "x" + "}" * 50_000]
)
def test_a_broken_object_is_looked_at_once(inner: str) -> None:
    """Where every bracket in it was tried anew, this would not come back."""
    text, calls = parse("<call>", ["<call>add", inner, '{"a": 1}'])
    assert (text, calls) == ("", [("add", {"a": 1})])


def test_hostile_nesting_is_no_call_and_no_crash() -> None:
    text, calls = parse("<call>", ["<call>add" + '{"a":' * 100_000])
    assert (text, calls) == ("", [])
