"""GLM 4.7, Laguna and Poolside."""

from __future__ import annotations

import pytest
from chat.parsers.reading import call, check_cuts, check_noise, check_plain, say, think


def xml(name: str, **values: str) -> str:
    pairs = "".join(
        f"<arg_key>{k}</arg_key>\n<arg_value>{v}</arg_value>\n" for k, v in values.items()
    )
    return f"<tool_call>{name}\n{pairs}</tool_call>"


CASES = [
    ("Good day!\n", [say("Good day!\n")]),
    (xml("add", a="5", b="0.5"), [call("add", a=5, b=0.5)]),
    (
        "<think>Why?</think>\nSo.\n" + xml("add", a="5") + "\n" + xml("add"),
        [think("Why?"), say("So."), call("add", a=5), call("add")],
    ),
    (xml("get_weather", city="12", days="3"), [call("get_weather", city="12", days=3)]),
    (xml("get_weather", city='"Lima"'), [call("get_weather", city='"Lima"')]),
    (
        xml("unknown", a='{"k": [1, null]}', b="日本 </tool_call>"),
        [call("unknown", a={"k": [1, None]}, b="日本 </tool_call>")],
    ),
    ("<tool_call>add</tool_call>", [call("add")]),
    (
        "<tool_call>add<arg_key>a<arg_value>5<arg_key>b</arg_key><arg_value>1</tool_call>",
        [call("add", a=5, b=1)],
    ),
    (xml("add", a="5").removesuffix("</tool_call>"), [call("add", a=5)]),
]
BROKEN = [
    "<tool_call>two words</tool_call> and more",
    "<tool_call></tool_call>",
    "Well,\n<tool_call>add<arg_key>a</arg_key></tool_call>",
    "<tool_call>{no json}</tool_call>",
    "a <tool",
]


@pytest.mark.parametrize("name", ["glm-4.7", "laguna", "poolside-v1"])
def test_thinking_and_calls_come_apart_from_the_answer(name: str) -> None:
    check_cuts(name, CASES)


def test_the_prompt_may_open_the_thinking() -> None:
    cases = [("Why?</think>So.", [think("Why?"), say("So.")])]
    check_cuts("glm-4.7", cases, prompt="<|assistant|><think>")


def test_broken_calls_stay_text() -> None:
    check_cuts("glm-4.7", [(text, [say(text)]) for text in BROKEN])


def test_tags_in_any_order_never_raise() -> None:
    check_noise("glm-4.7", ["<arg_key>", "</arg_key>", "</arg_value>"])


def test_plain_text_passes_at_once() -> None:
    check_plain("glm-4.7")
