"""Ministral, Mistral Large and Devstral."""

from __future__ import annotations

import pytest
from chat.parsers.reading import call, check_cuts, check_noise, check_plain, say, think

CASES = [
    ("Good day!\n", [say("Good day!\n")]),
    ('[TOOL_CALLS]add[ARGS]{"a": 1}', [call("add", a=1)]),
    (
        '[THINK]Why? [x]\n[/THINK]So.[TOOL_CALLS]add[ARGS]{"a": {"b": ["}", "\\""]}}',
        [think("Why? [x]"), say("So."), call("add", a={"b": ["}", '"']})],
    ),
    (
        '[TOOL_CALLS]add[ARGS]{}[TOOL_CALLS]save[ARGS]{"note": "日本"}',
        [call("add"), call("save", note="日本")],
    ),
    ('[TOOL_CALLS]add[CALL_ID]abc123[ARGS]{"a": 1} Done.', [call("add", a=1), say("Done.")]),
    (
        '[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1}, "id": "x"}, {"name": "save"}]',
        [call("add", a=1), call("save")],
    ),
    ('[TOOL_CALLS]add {"a": 1}', [call("add", a=1)]),
    ("A list: [1, 2] [TOO", [say("A list: [1, 2] [TOO")]),
]
BROKEN = [
    '[TOOL_CALLS]add[ARGS]{"a": 1',
    "So: [TOOL_CALLS]nothing more",
    "[TOOL_CALLS]add[ARGS]{a}",
    "[TOOL_CALLS][1]",
    "[TOOL_CALLS]}",
]


@pytest.mark.parametrize("name", ["ministral", "mistral"])
def test_thinking_and_calls_come_apart_from_the_answer(name: str) -> None:
    check_cuts(name, CASES)


def test_broken_calls_stay_text() -> None:
    check_cuts("ministral", [(text, [say(text)]) for text in BROKEN])


def test_tags_in_any_order_never_raise() -> None:
    check_noise("ministral")


def test_plain_text_passes_at_once() -> None:
    check_plain("ministral")
