"""Olmo 3 and LFM2."""

from __future__ import annotations

from chat.parsers.reading import call, check_cuts, check_noise, check_plain, read, say, think

OLMO3 = [
    ("Good day!\n", [say("Good day!\n")]),
    ("<function_calls>\nadd(a=1, b=2.5)\n</function_calls>", [call("add", a=1, b=2.5)]),
    (
        (
            'So:\n<function_calls>\nget_weather(city="Cusco (\\"Perú\\")", metric=true)\n'
            "save(items=[1, {\"k\": 'it\\'s'}], data={'a': None}, note=null)\n</function_calls>"
        ),
        [
            say("So:"),
            call("get_weather", city='Cusco ("Perú")', metric=True),
            call("save", items=[1, {"k": "it's"}], data={"a": None}, note=None),
        ],
    ),
    ("<function_calls>add()</function_calls> Done.", [call("add"), say("Done.")]),
    ("<function_calls>add(a=1)", [call("add", a=1)]),
    (
        "<function_calls>save(note='</function_calls>')</function_calls>",
        [call("save", note="</function_calls>")],
    ),
]
TAGS = ("<|tool_call_start|>", "<|tool_call_end|>")
LFM2 = [
    ("Good day!\n", [say("Good day!\n")]),
    ("[1, 2] and [add", [say("[1, 2] and [add")]),
    ("So: [add(a=1)]", [say("So: [add(a=1)]")]),
    (f"{TAGS[0]}[add(a=1, b=-0.5)]{TAGS[1]}Done.", [call("add", a=1, b=-0.5), say("Done.")]),
    (
        f"So: {TAGS[0]}[get_weather(city='日本, \"x\"'), add()]{TAGS[1]}",
        [say("So:"), call("get_weather", city='日本, "x"'), call("add")],
    ),
    (
        "[get_weather(city='a)]', days=3), add(a=1)]",
        [call("get_weather", city="a)]", days=3), call("add", a=1)],
    ),
    (f'{TAGS[0]}[{{"name": "add", "arguments": {{"a": 1}}}}]{TAGS[1]}', [call("add", a=1)]),
]
BROKEN = ["{}nothing", "{}add(1)", "{}[add(a=b)]", "{}add(a=1", "{}[]", "{}f(a=" + "[" * 99]


def test_olmo3_calls_line_by_line() -> None:
    check_cuts("olmo3", OLMO3)


def test_lfm2_calls_in_a_list() -> None:
    check_cuts("lfm2", LFM2)


def test_thinking_comes_first() -> None:
    cases = [
        (f"<think>\nWhy?\n</think>\n{LFM2[3][0]}", [think("Why?"), *LFM2[3][1]]),
        ("<think>Why?</think>[add(a=1)]", [think("Why?"), call("add", a=1)]),
    ]
    check_cuts("lfm2-thinking", [*cases, *LFM2])
    olmo = [
        (
            "Why?\n</think>\nSo. <function_calls>add()",
            [think("Why?"), say("So. <function_calls>add()")],
        )
    ]
    check_cuts("olmo3-think", olmo)
    assert read("olmo3-think", ["So."], think=False) == [say("So.")]


def test_broken_calls_stay_text() -> None:
    for name, opening in (("olmo3", "<function_calls>"), ("lfm2", TAGS[0])):
        check_cuts(name, [(text, [say(text)]) for text in (t.format(opening) for t in BROKEN)])


def test_tags_in_any_order_never_raise() -> None:
    check_noise("olmo3")
    check_noise("lfm2-thinking", ["[add("])


def test_plain_text_passes_at_once() -> None:
    check_plain("olmo3")
    check_plain("lfm2")
