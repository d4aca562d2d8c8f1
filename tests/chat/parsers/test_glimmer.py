"""Muse Glimmer."""

from __future__ import annotations

import pytest
from chat.parsers.reading import call, check_cuts, check_noise, check_plain, read, say, think, tool

USER, SELF = " to=user<|message|>", " to=self<|message|>"
NEXT = "<|eom|><|start|>assistant"


def block(name: str, **values: str) -> str:
    pairs = "".join(f'<atem:parameter name="{k}">{v}</atem:parameter>\n' for k, v in values.items())
    return (
        f'<atem:function_calls>\n<atem:invoke name="{name}">\n{pairs}</atem:invoke>\n'
        "</atem:function_calls>"
    )


ADD = block("add", a="5", b="0.5")
TAGS = "<|eot|> <|start|>assistant to=user<|message|> </atem:function_calls>"
CASES = [
    ("Good day!\n", [say("Good day!\n")]),
    (f"{USER}Good <day>!<|eot|>", [say("Good <day>!")]),
    ("<|message|>So.<|eot|>", [say("So.")]),
    (f"{SELF}Hm <|e.{NEXT}{USER}So.\n<|eot|>", [think("Hm <|e."), say("So.\n")]),
    (f"{SELF}No end", [think("No end")]),
    (f"{SELF}Hm<|start|>assistant{USER}So.", [think("Hm"), say("So.")]),
    (f" to=add<|message|>{ADD}<|eot|>", [call("add", a=5, b=0.5)]),
    (
        f"{SELF}Hm.{NEXT} to=add<|message|>{ADD}{NEXT} to=save<|message|>\n{block('save')}<|eot|>",
        [think("Hm."), call("add", a=5, b=0.5), call("save")],
    ),
    (
        f" to=save<|message|>{block('save', note=TAGS, items='[1, null]', data='{}')}<|eot|>",
        [call("save", note=TAGS, items=[1, None], data={})],
    ),
    (
        f" to=get_weather<|message|>{block('get_weather', city='  日本 ', days='3')}",
        [call("get_weather", city="  日本 ", days=3)],
    ),
    (
        f" to=add<|message|>{ADD}".removesuffix("</atem:function_calls>"),
        [call("add", a=5, b=0.5)],
    ),
    (
        f" to=add<|message|>{ADD.replace('</atem:invoke>', '</atem:invoke>' + ADD[22:-23])}",
        [call("add", a=5, b=0.5)] * 2,
    ),
    (f" to=other<|message|>{block('other', x='5')}<|eot|>", [call("other", x="5")]),
    (f"{USER}{ADD}<|eot|>", [call("add", a=5, b=0.5)]),
    (f"<|message|>{ADD}<|start|>assistant{USER}So.", [call("add", a=5, b=0.5), say("So.")]),
    (f"{USER}I call:\n{ADD}<|eot|>", [say(f"I call:\n{ADD}")]),
    (f" to=add<|message|>{block('add<|message|>', a='5')}<|eot|>", [call("add", a=5)]),
    (f" to=add<|message|>{block('add.add', a='5')}<|eot|>", [call("add", a=5)]),
    (f" to=x.add<|message|>{block('x.add', a='5')}<|eot|>", [call("x.add", a="5")]),
    (" to=5?", [say(" to=5?")]),
    ("<|start|>assistant", []),
    ("<|", [say("<|")]),
    ("to be or not", [say("to be or not")]),
]
BROKEN = [
    f"{ADD}\nDone.",
    "<atem:function_calls>nothing</atem:function_calls>",
    "<atem:function_calls></atem:function_calls>",
    ADD.replace("</atem:invoke>", ""),
    ADD.replace('name="add"', 'name=""'),
    '<atem:function_calls><atem:invoke name="add"><atem:parameter name="a">5',
    '{"a": 5}',
]


def test_each_message_goes_where_it_belongs() -> None:
    check_cuts("glimmer", CASES)


def test_broken_calls_stay_text() -> None:
    check_cuts("glimmer", [(f" to=add<|message|>{text}", [say(text)]) for text in BROKEN])
    check_cuts(
        "glimmer",
        [
            (f" to=add<|message|>{text}<|eom|>{SELF}Oh.", [say(text), think("Oh.")])
            for text in BROKEN
        ],
    )


def test_without_tools_blocks_are_text() -> None:
    check_cuts("glimmer", [(f"{USER}{ADD}<|eot|>", [say(ADD)])], tools=())


def test_names_with_dots_stay_whole() -> None:
    tools = (tool("repo.read"), tool("read"))
    for written, name in (
        ("repo.read", "repo.read"),
        ("repo.repo.read", "repo.read"),
        ("read.read", "read"),
        ("write.read", "write.read"),
    ):
        text = f" to={written}<|message|>{block(written)}<|eot|>"
        assert read("glimmer", [text], tools=tools) == [call(name)]


@pytest.mark.parametrize("prompt", [f"<|start|>assistant{USER}", ""])
def test_an_answer_may_go_on_from_a_text_that_was_begun(prompt: str) -> None:
    begun = read("glimmer", ["day!<|eot|>"], prompt=prompt, prefilled=not prompt)
    assert begun == [say("day!")]


def test_a_model_that_does_not_write_headers_has_its_text_passed_on() -> None:
    long = "<|start|>" + "x" * 1000
    check_cuts("glimmer", [(long, [say(long)])])


def test_tags_in_any_order_never_raise() -> None:
    words = ["assistant", " to=self", " to=add", "<atem:function_calls>", "</atem:function_calls>"]
    more = ['<atem:invoke name="add">', "</atem:invoke>", '<atem:parameter name="a">']
    check_noise("glimmer", [*words, *more, "</atem:parameter>"])


def test_plain_text_passes_at_once() -> None:
    check_plain("glimmer")
