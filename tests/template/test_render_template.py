"""From a conversation to the values of a template: the three ways, merging, records and JSON."""

from __future__ import annotations

from typing import Any

import pytest

from ayllu.template import merge, parse, render
from ayllu.types import Message, ToolCall, ToolFunction

SYSTEM = Message("system", "Be brief.")
HI = Message("user", "Hi")
HELLO = Message("assistant", "Hello")
BYE = Message("user", "Bye")

LEGACY = "{{ if .System }}S:{{ .System }}\n{{ end }}U:{{ .Prompt }}\nA:{{ .Response }}<end>\n"
VALUES = "{{ .Messages }}{{ .System }}|{{ .Think }} {{ .ThinkLevel }} {{ .IsThinkSet }}"

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather in <city>",
        "parameters": {
            "type": "object",
            "required": ["city"],
            "properties": {
                "unit": {"type": "string", "enum": ["C", "F"], "description": "Unit"},
                "city": {"type": ["string", "null"], "default": "Lima"},
                "days": {"anyOf": [{"type": "integer"}, {"type": "boolean"}]},
                "any": True,
            },
        },
    },
}
WEATHER_JSON = (
    '{"type":"function","function":{"name":"weather","description":"Weather in \\u003ccity\\u003e",'
    '"parameters":{"type":"object","required":["city"],"properties":{"any":true,'
    '"city":{"type":["string","null"],"default":"Lima"},'
    '"days":{"anyOf":[{"type":"integer"},{"type":"boolean"}]},'
    '"unit":{"type":"string","description":"Unit","enum":["C","F"]}}}}}'
)
CALL = Message(
    "assistant",
    tool_calls=(ToolCall(ToolFunction("weather", {"unit": "C", "city": "Quito"}, 3), "id1"),),
)
RESULT = Message("tool", "sunny", tool_name="weather", tool_call_id="id1")


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        ([HI], "U:Hi\nA:"),
        ([SYSTEM, HI], "S:Be brief.\nU:Hi\nA:"),
        ([HI, HELLO, BYE], "U:Hi\nA:Hello<end>\nU:Bye\nA:"),
        ([SYSTEM, HI, HELLO, BYE], "S:Be brief.\nU:Hi\nA:Hello<end>\nU:Bye\nA:"),
        ([HI, SYSTEM, BYE], "U:Hi\nA:<end>\nS:Be brief.\nU:Bye\nA:"),
        ([HI, HELLO], "U:Hi\nA:Hello"),
        ([HI, BYE], "U:Hi\n\nBye\nA:"),
        ([RESULT], "U:\nA:"),
        ([], "U:\nA:"),
    ],
)
def test_a_template_without_messages_is_rendered_turn_by_turn(
    messages: list[Message], prompt: str
) -> None:
    assert render(parse(LEGACY), messages=messages) == prompt


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        ("{{ .Prompt }}", "Hi"),
        ("{{ .Prompt }}{{ .Response }}{{ if .System }}x{{ end }}tail", "Hi"),
        ("{{ .Prompt }}{{ if .Response }}a{{ .Response }}b{{ end }}c", "Hi"),
        ("{{ if .Prompt }}{{ .Prompt }}:{{ .Response }}|{{ else }}no{{ end }}tail", "Hi:"),
        ("{{ if .System }}x{{ .Response }}{{ else }}{{ .Prompt }}{{ end }}tail", ""),
        ("{{ if .System }}x{{ else }}{{ .Prompt }}{{ .Response }}y{{ end }}tail", "Hi"),
        ('{{ .Prompt }}{{ printf "<%s>" .Response }}tail', "Hi<>"),
        ("{{ range 1 }}{{ $.Prompt }}{{ $.Response }}x{{ end }}y", "Hi"),
        ("{{ with .Prompt }}{{ . }}{{ end }}{{ .Response }}y", "Hi"),
    ],
)
def test_the_last_turn_ends_where_the_answer_goes(template: str, prompt: str) -> None:
    assert render(parse(template), messages=[HI]) == prompt


def test_prompt_and_suffix_together_ask_for_what_is_between() -> None:
    template = parse(
        "{{ if .Suffix }}<PRE>{{ .Prompt }}<SUF>{{ .Suffix }}<MID>{{ else }}{{ .Prompt }}{{ end }}"
    )
    assert render(template, messages=[], prompt="a(", suffix=")") == "<PRE>a(<SUF>)<MID>"
    assert render(template, messages=[HI]) == "Hi"
    assert render(template, messages=[HI], prompt="a") == "Hi"


@pytest.mark.parametrize(
    ("think", "shown"),
    [
        (None, "false  false"),
        (False, "false  true"),
        (True, "true medium true"),
        ("high", "true high true"),
    ],
)
def test_thinking_reaches_every_way(think: bool | str | None, shown: str) -> None:
    text = "{{ .Think }} {{ .ThinkLevel }} {{ .IsThinkSet }}"
    assert render(parse(text), messages=[HI], think=think) == shown
    assert render(parse(text), messages=[], prompt="p", suffix="s", think=think) == shown
    assert render(parse(text + "{{ if .Messages }}{{ end }}"), messages=[HI], think=think) == shown


def test_all_system_messages_are_joined_by_a_blank_line() -> None:
    other = Message("system", "Be kind.")
    template = parse("{{ .System }}|{{ range .Messages }}[{{ .Role }}:{{ .Content }}]{{ end }}")
    assert render(template, messages=[SYSTEM, HI, other]) == (
        "Be brief.\n\nBe kind.|[system:Be brief.][user:Hi][system:Be kind.]"
    )


def test_neighbours_of_one_role_become_one_message_but_tool_results_do_not() -> None:
    picture = Message("user", "Look", images=("aGk=",))
    assert merge([HI, picture, HELLO, CALL, RESULT, RESULT]) == [
        Message("user", "Hi\n\nLook", images=("aGk=",)),
        Message("assistant", "Hello\n\n", tool_calls=CALL.tool_calls),
        RESULT,
        RESULT,
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ .Tools }}", f"[{WEATHER_JSON}]"),
        ("{{ range .Tools }}{{ . }}{{ end }}", WEATHER_JSON),
        ("{{ json .Tools }}", f"[{WEATHER_JSON}]"),
        ('{{ printf "%s" (index .Tools 0) }}', WEATHER_JSON),
        (
            '{{ range .Tools }}{"function": {{ .Function }}}{{ end }}',
            WEATHER_JSON.replace('{"type":"function","function":', '{"function": ', 1),
        ),
        (
            "{{ range .Tools }}{{ .Type }} {{ .Function.Name }}{{ .Items }}{{ end }}",
            "function weather<no value>",
        ),
        (
            "{{ with (index .Tools 0).Function.Parameters }}{{ .Type }} {{ .Required }}{{ end }}",
            "object [city]",
        ),
        ("{{ (index .Tools 0).Function.Parameters.Properties.unit.Enum }}", "[C F]"),
        ("{{ len (index .Tools 0).Function.Parameters.Properties }}", "4"),
        (
            (
                "{{ range $n, $p := (index .Tools 0).Function.Parameters.Properties }}"
                "{{ $n }}: {{ toTypeScriptType $p }}; {{ end }}"
            ),
            "any: any; city: string | null; days: number | boolean; unit: string; ",
        ),
        (
            (
                "{{ with (index .Tools 0).Function.Parameters.Properties }}"
                "{{ .city.Type }} {{ .unit.Type }} {{ index .unit.Type 0 }}{{ .days.Type }}{{ "
                "end }}"
            ),
            "[string null] string string",
        ),
        ("{{ len .Tools }}{{ if .Tools }} yes{{ end }}", "1 yes"),
        (
            (
                "{{ range .Messages }}{{ range .ToolCalls }}{{ .Function.Arguments }}{{ end "
                "}}{{ end }}"
            ),
            '{"city":"Quito","unit":"C"}',
        ),
        (
            (
                "{{ range .Messages }}{{ range .ToolCalls }}{{ .ID }} {{ .Function.Index }} "
                "{{ .Function.Name }} {{ .Function.Arguments.city }}{{ end }}{{ end }}"
            ),
            "id1 3 weather Quito",
        ),
        (
            (
                "{{ range .Messages }}{{ range .ToolCalls }}{{ range $k, $v := "
                ".Function.Arguments }}"
                "{{ $k }}={{ $v }};{{ end }}{{ end }}{{ end }}"
            ),
            "city=Quito;unit=C;",
        ),
        (
            "{{ range .Messages }}{{ json . }}{{ end }}",
            (
                '{"role":"user","content":"Hi"}{"role":"assistant","content":"","tool_calls":[{"id":"id1",'
                '"function":{"index":3,"name":"weather","arguments":{"city":"Quito","unit":"C"}}}]}'
                '{"role":"tool","content":"sunny","tool_name":"weather","tool_call_id":"id1"}'
            ),
        ),
        (
            "{{ range .Messages }}{{ .ToolName }}{{ .ToolCallID }}{{ len .Images }}{{ end }}",
            "00weatherid10",
        ),
    ],
)
def test_tools_and_calls_have_the_fields_of_go_and_print_as_json(text: str, expected: str) -> None:
    template = parse(text + "{{ if .Messages }}{{ end }}")
    assert render(template, messages=[HI, CALL, RESULT], tools=[WEATHER]) == expected


@pytest.mark.parametrize(
    ("tool", "printed"),
    [
        (
            {},
            (
                '{"type":"","function":{"name":"","description":"",'
                '"parameters":{"type":"","properties":null}}}'
            ),
        ),
        (
            {
                "type": "x",
                "items": [1],
                "function": {
                    "name": "f",
                    "parameters": {
                        "type": "object",
                        "$defs": {"d": 1},
                        "items": {"a": 2},
                        "properties": {},
                    },
                },
            },
            (
                '{"type":"x","items":[1],"function":{"name":"f","description":"","parameters":'
                '{"type":"object","$defs":{"d":1},"items":{"a":2},"properties":{}}}}'
            ),
        ),
        (
            {
                "function": {
                    "parameters": {
                        "properties": {
                            "o": {
                                "type": "object",
                                "required": ["p"],
                                "properties": {"p": {"type": "array", "items": {"type": "string"}}},
                            }
                        }
                    }
                }
            },
            (
                '{"type":"","function":{"name":"","description":"","parameters":{"type":"","properties":'
                '{"o":{"type":"object","properties":{"p":{"type":"array","items":{"type":"string"}}},'
                '"required":["p"]}}}}}'
            ),
        ),
        (
            {"type": 1, "function": [], "items": None},
            (
                '{"type":"","function":{"name":"","description":"",'
                '"parameters":{"type":"","properties":null}}}'
            ),
        ),
    ],
)
def test_a_tool_prints_with_its_members_in_order(tool: dict[str, Any], printed: str) -> None:
    template = parse("{{ range .Tools }}{{ . }}{{ end }}{{ if .Messages }}{{ end }}")
    assert render(template, messages=[HI], tools=[tool]) == printed


def test_messages_can_be_empty() -> None:
    assert render(parse(VALUES), messages=[]) == "[]|false  false"
