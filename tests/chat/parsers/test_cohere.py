"""Cohere's Command A and R7B."""

from __future__ import annotations

from chat.parsers.reading import call, check_cuts, check_noise, check_plain, read, say, think

ACTION = (
    '<|START_ACTION|>[\n    {"tool_call_id": "0", "tool_name": "add", "parameters": {"a": 1}},\n'
    '    {"tool_call_id": "1", "tool_name": "save", "parameters": '
    '{"note": "<|END_ACTION|> 日本"}}\n'
    "]<|END_ACTION|>"
)
CALLS = [call("add", a=1), call("save", note="<|END_ACTION|> 日本")]
CASES = [
    ("Good day!\n", [say("Good day!\n")]),
    ("<|START_RESPONSE|>Good <day>!<|END_RESPONSE|>", [say("Good <day>!")]),
    ("<|START_TEXT|>Good day!<|END_TEXT|>", [say("Good day!")]),
    (
        "<|START_THINKING|>Why?\n<|END_THINKING|><|START_RESPONSE|>So.<|END_RESPONSE|>",
        [think("Why?"), say("So.")],
    ),
    ("<|START_THINKING|>I call.<|END_THINKING|>" + ACTION, [think("I call."), *CALLS]),
    (ACTION.removesuffix("<|END_ACTION|>"), CALLS),
    ("<|START_THINKING|>No end", [think("No end")]),
]
BROKEN = [
    "<|START_ACTION|>nothing<|END_ACTION|> and more",
    '<|START_ACTION|>[{"tool_name": "add", "parameters": ]<|END_ACTION|>',
    "a <|START_ACT",
]


def test_thinking_and_calls_come_apart_from_the_answer() -> None:
    check_cuts("cohere", CASES)


def test_broken_calls_stay_text() -> None:
    check_cuts("cohere", [(text, [say(text)]) for text in BROKEN])


def test_the_prompt_may_open_the_thinking() -> None:
    prompt = "<|CHATBOT_TOKEN|><|START_THINKING|>"
    assert read("cohere", ["Why?<|END_THINKING|>So."], prompt=prompt) == [think("Why?"), say("So.")]


def test_tags_in_any_order_never_raise() -> None:
    check_noise("cohere")


def test_plain_text_passes_at_once() -> None:
    check_plain("cohere")
