"""gpt-oss."""

from __future__ import annotations

from chat.parsers.reading import call, check_cuts, check_noise, check_plain, read, say, think, tool

FINAL = "<|start|>assistant<|channel|>final<|message|>"
HM = "<|channel|>analysis<|message|>Hm < 1.<|end|>"
CASES = [
    ("Good day!\n", [say("Good day!\n")]),
    ("<|channel|>final<|message|>Good <day>!<|return|>", [say("Good <day>!")]),
    (f"{HM}{FINAL}So.\n", [think("Hm < 1."), say("So.\n")]),
    (f"{HM}{HM[:-7]}{FINAL}So.<|return|>", [think("Hm < 1.Hm < 1."), say("So.")]),
    ("<|message|>So.<|end|>", [say("So.")]),
    (
        (
            f"{HM}<|start|>assistant to=functions.add<|channel|>commentary "
            '<|constrain|>json<|message|>{"a": 1}<|call|>'
        ),
        [think("Hm < 1."), call("add", a=1)],
    ),
    (
        (
            f"{HM}<|start|>assistant<|channel|>commentary<|message|>I call.<|end|>"
            "<|start|>assistant<|channel|>commentary to=functions.save <|constrain|>json<|message|>"
            '{"data": {"日本": [null, "<|end"]}}'
        ),
        [think("Hm < 1."), say("I call."), call("save", data={"日本": [None, "<|end"]})],
    ),
    (
        (
            ' to=functions.add<|channel|>commentary json<|message|>{"a": 1}<|call|>'
            "<|start|>assistant<|channel|>commentary to=functions.add<|message|><|call|>"
        ),
        [call("add", a=1), call("add")],
    ),
    ("<|channel|>analysis<|message|>Hm<|channel|>final<|message|>So.", [think("Hm"), say("So.")]),
    ("<|channel|>analysis", []),
    (f"{HM}<|start|>assistant<|chan", [think("Hm < 1.")]),
    ("<|", [say("<|")]),
]


def test_each_channel_goes_where_it_belongs() -> None:
    check_cuts("harmony", CASES)


def test_broken_calls_stay_text() -> None:
    header = "<|channel|>commentary to=functions.add<|message|>"
    check_cuts("harmony", [(f'{header}{{"a": <|call|>', [say(f'{header}{{"a": ')])])
    check_cuts("harmony", [(f"{header}[1]", [say(f"{header}[1]")])])


def test_a_model_that_does_not_write_headers_has_its_text_passed_on() -> None:
    long = "<|channel|>" + "x" * 1000
    check_cuts("harmony", [(long, [say(long)]), ("to be or not", [say("to be or not")])])


def test_an_answer_may_go_on_from_a_text_that_was_begun() -> None:
    assert read("harmony", ["day!<|return|>"], prefilled=True) == [say("day!")]
    assert read("harmony", ["day!<|end|>"], prompt=f"x{FINAL}") == [say("day!")]


def test_names_come_back_as_the_request_has_them() -> None:
    tools = (tool("get-weather.v2"), tool("get_weather"))
    text = " to=functions.{}<|channel|>commentary<|message|>{{}}<|call|>"
    for written, name in (
        ("get_weather_v2", "get-weather.v2"),
        ("get-weather.v2", "get-weather.v2"),
        ("get_weather", "get_weather"),
        ("other", "other"),
    ):
        assert read("harmony", [text.format(written)], tools=tools) == [call(name)]


def test_tags_in_any_order_never_raise() -> None:
    check_noise("harmony", ["assistant", "analysis", "final", "commentary"])


def test_plain_text_passes_at_once() -> None:
    check_plain("harmony")
