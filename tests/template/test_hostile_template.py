"""Templates that mean harm end in a TemplateError, in bounded time and memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from ayllu.errors import TemplateError
from ayllu.template import parse, render, template, thinking_tags, tool_tag
from ayllu.types import Message, ToolCall, ToolFunction

SECONDS = 4.0
"""A guard, four times what is wanted: bench/hostile.py measures what it takes."""
BYTES = 50 * 2**20
VALUES = {
    "L": list(range(10)),
    "M": {str(number): number for number in range(20)},
    "Response": "",
}

LONG = '{{ $x := "xxxxxxxxxx" }}{{ range 17 }}{{ $x = print $x $x }}{{ end }}'
ACCENTS = '{{ $x := "éxxxxxxxxx" }}{{ range 16 }}{{ $x = print $x $x }}{{ end }}'
CALLS = "".join(
    f'{{{{ define "{n}" }}}}{f"{{{{ template `{n - 1}` }}}}" * 10 if n else "xx"}{{{{ end }}}}'
    for n in range(12)
)


def often(action: str) -> str:
    return f"{{{{ range 1000000 }}}}{action}{{{{ end }}}}"


HOSTILE = {
    "ifs inside ifs": "{{ if 1 }}" * 3000 + "{{ end }}" * 3000,
    "parentheses": "{{ " + "(" * 9000 + "1" + ")" * 9000 + " }}",
    "a long else-if": "{{ if 0 }}" + "{{ else if 0 }}" * 4000 + "{{ end }}",
    "ranges inside ranges": "{{ range $.L }}" * 20 + "x" + "{{ end }}" * 20,
    "a long range": often(""),
    "a template that calls itself": '{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}',
    "one that calls itself twice": (
        '{{ define "a" }}{{ template "a" . }}{{ template "a" . }}{{ end }}{{ template "a" }}'
    ),
    "two that call each other": (
        '{{ define "a" }}{{ template "b" }}{{ end }}{{ define "b" }}{{ template "a" }}{{ end }}'
        '{{ template "a" }}'
    ),
    "a tree of calls": CALLS + "{{ template `11` }}",
    "a wide number": '{{ printf "%999999999d" 1 }}',
    "wide numbers": often('{{ printf "%1000000d" 1 }}'),
    "wide numbers, one format": f'{{{{ printf "{"%1000000d" * 99}"{" 1" * 99} }}}}',
    "a wide list": '{{ printf "%1000000v" .L }}',
    "a width from the arguments": often('{{ printf "%*d" 1000000 1 }}'),
    "precise floats": often('{{ printf "%.1000000f" 1.5 }}'),
    "precise integers": often('{{ printf "%.1000000d" 1 }}'),
    "text that doubles": '{{ $x := "x" }}{{ range 99 }}{{ $x = print $x $x }}{{ end }}',
    "bytes that double": '{{ $x := "\\xff" }}{{ range 99 }}{{ $x = print $x $x }}{{ end }}',
    "json of json": '{{ $x := "<<<" }}{{ range 99 }}{{ $x = json $x }}{{ end }}',
    "js of js": '{{ $x := "<<<" }}{{ range 99 }}{{ $x = js $x }}{{ end }}',
    "urlquery of urlquery": '{{ $x := "%" }}{{ range 99 }}{{ $x = urlquery $x "%" $x }}{{ end }}',
    "quotes of quotes": '{{ $x := "\\"" }}{{ range 99 }}{{ $x = printf "%q" $x }}{{ end }}',
    "comparing long texts": LONG + '{{ $y := print $x "" }}' + often("{{ if eq $x $y }}{{ end }}"),
    "ordering long texts": LONG + '{{ $y := print $x "" }}' + often("{{ if lt $x $y }}{{ end }}"),
    "measuring long texts": ACCENTS + often("{{ if len $x }}{{ end }}"),
    "indexing long texts": ACCENTS + often("{{ if index $x 1 }}{{ end }}"),
    "slicing long texts": ACCENTS + often("{{ if slice $x 1 }}{{ end }}"),
    "escaping long texts": LONG + often("{{ if html $x }}{{ end }}"),
    "many variables": "{{ $a := 1 }}" * 4500 + often(""),
    "many arguments": often(f"{{{{ print{' 1' * 30_000} }}}}"),
    "many fields": often(f"{{{{ $x.{'a.' * 30_000}a }}}}").replace("$x", "$.N"),
    "many actions": "{{ . }}" * 9000 + often(""),
    "much text": often("x" * 60_000),
    "ranging over a map": often("{{ range $.M }}{{ break }}{{ end }}"),
    "printing a map": often("{{ if print $.M }}{{ end }}"),
    "many verbs": often(f'{{{{ printf "{"%d" * 20_000}" }}}}'),
    "a large source": "x" * 1_000_000,
    "unclosed strings": '{{ "' * 15_000,
    "unclosed actions": "{{ " * 20_000,
    "escapes": '{{ "' + "\\\\" * 30_000 + '" }}' + often(""),
    "a long integer": "{{ " + "1" * 60_000 + " }}",
    "a long exponent": "{{ 1e" + "9" * 60_000 + " }}",
    "a long hexadecimal": "{{ 0x" + "f" * 60_000 + " }}",
}


def run(text: str) -> None:
    template._kept.cache_clear()
    with pytest.raises(TemplateError, match=r"^template: line "):
        parse(text).execute(VALUES)


def quickest(work: Callable[[], None]) -> float:
    """Seconds, the better of two: other work on the machine is not what is measured."""
    spent = []
    for _ in range(2):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
        if spent[-1] < SECONDS:
            break
    return min(spent)


def turns(count: int, content: str = "w") -> list[Message]:
    return [Message(role=("user", "assistant")[n % 2], content=content) for n in range(count)]


def tools(schema: Any) -> tuple[dict[str, Any], ...]:
    parameters = {"type": "object", "properties": {"p": schema}}
    return ({"type": "function", "function": {"name": "f", "parameters": parameters}},)


def nested(levels: int, key: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"anyOf": [schema]} if key == "anyOf" else {key: {"a": schema}}
    return schema


WIDE = {"anyOf": [{"type": "string"}] * 100_000}
TYPES = "{{ range .Tools }}{{ range .Function.Parameters.Properties }}{{ $p := . }}"
CONVERSATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "ranges over many messages": (
        "{{ range $.Messages }}{{ range $.Messages }}{{ end }}{{ end }}",
        {"messages": turns(60_000)},
    ),
    "more messages than there are steps": (
        "{{ range .Messages }}{{ .Content }}{{ end }}",
        {"messages": turns(200_000)},
    ),
    "slices of many messages": (
        often("{{ if slice $.Messages 1 }}{{ end }}"),
        {"messages": turns(10_000)},
    ),
    "many turns that each take long": (
        "{{ range 30000 }}{{ end }}{{ .Prompt }}{{ .Response }}",
        {"messages": turns(10_000)},
    ),
    "many turns that each write much": (
        LONG + "{{ $x }}{{ .Prompt }}{{ .Response }}",
        {"messages": turns(10_000)},
    ),
    "many neighbours of one role": (
        "{{ range .Messages }}{{ .Content }}{{ end }}",
        {"messages": turns(20_000, "w" * 1000)[::2]},
    ),
    "the JSON of many messages": (
        often("{{ if json $.Messages }}{{ end }}"),
        {"messages": turns(500)},
    ),
    "a schema inside schemas": (
        "{{ .Tools }}{{ .Messages }}",
        {"messages": turns(1), "tools": tools(nested(900, "anyOf"))},
    ),
    "properties inside properties": (
        "{{ .Tools }}{{ .Messages }}",
        {"messages": turns(1), "tools": tools(nested(300, "properties"))},
    ),
    "a wide schema": ("{{ .Tools }}{{ .Messages }}", {"messages": turns(1), "tools": tools(WIDE)}),
    "a wide schema in a long conversation": (
        TYPES
        + often("{{ if toTypeScriptType $p }}{{ end }}")
        + "{{ end }}{{ end }}{{ .Messages }}",
        {"messages": turns(10_000), "tools": tools({"anyOf": WIDE["anyOf"][:20_000]})},
    ),
    "a map of many arguments": (
        "{{ range .Messages }}{{ range .ToolCalls }}{{ $a := .Function.Arguments }}"
        + often("{{ if json $a }}{{ end }}")
        + "{{ end }}{{ end }}",
        {
            "messages": [
                Message(
                    role="assistant",
                    tool_calls=(ToolCall(ToolFunction("f", {f"{n}": n for n in range(50_000)})),),
                )
            ]
        },
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_hostile_conversation_ends_in_time(name: str) -> None:
    text, values = CONVERSATIONS[name]

    def run() -> None:
        template._kept.cache_clear()
        with pytest.raises(
            TemplateError, match=r"^template: line |^the (tools|messages) are too m"
        ):
            render(parse(text), **values)

    assert quickest(run) < SECONDS
    tracemalloc.start()
    try:
        run()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < BYTES


@pytest.mark.parametrize(
    "text",
    [
        "{{ range .Messages }}" + "{{ .Thinking }}" * 4000 + "{{ end }}",
        "{{ range .Messages }}" * 90 + "{{ .Thinking }}" * 4000 + "{{ end }}" * 90,
        "{{ if .ToolCalls }}" * 90 + "{{ if 1 }}{{ end }}" * 3000 + "{{ end }}" * 90,
        "{{ if 1 }}{{ else }}{{ end }}" * 2000,
    ],
)
def test_what_a_hostile_template_tells_of_itself_is_found_in_time(text: str) -> None:
    def look() -> None:
        template._kept.cache_clear()
        parsed = parse(text)
        thinking_tags(parsed)
        tool_tag(parsed)
        parsed.variables()
        assert parsed.before_answer.root

    assert quickest(look) < SECONDS


def test_trees_of_long_templates_are_not_kept() -> None:
    template._kept.cache_clear()
    parse("{{.}}" * 5000)
    assert template._kept.cache_info().currsize == 0
    assert parse("{{ .Response }}") is parse("{{ .Response }}")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_ends_in_time(name: str) -> None:
    assert quickest(lambda: run(HOSTILE[name])) < SECONDS


GREEDY = [
    "wide numbers, one format",
    "a wide list",
    "precise floats",
    "text that doubles",
    "bytes that double",
    "json of json",
    "js of js",
    "urlquery of urlquery",
    "much text",
    "unclosed actions",
    "ifs inside ifs",
]


@pytest.mark.parametrize("name", GREEDY)
def test_a_hostile_template_stays_small(name: str) -> None:
    text = HOSTILE[name]
    tracemalloc.start()
    try:
        run(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < BYTES


def test_a_long_conversation_is_not_mistaken_for_an_attack() -> None:
    parsed = parse(
        "{{ range $i, $_ := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}"
        "{{ if and $last (eq .Role `user`) }}!{{ else if or .Content $.System }}"
        "<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}{{ end }}"
    )
    messages = turns(5000, "word " * 50)
    assert render(parsed, messages=messages).count("<|im_start|>") == 5000


def test_a_deep_stack_of_the_caller_ends_in_an_error_and_not_in_a_crash() -> None:
    parsed = parse("{{ " + "(" * 90 + ".A" + ")" * 90 + " }}{{ .Response }}")

    def deeper(levels: int) -> str:
        return deeper(levels - 1) if levels else parsed.execute({"A": "a", "Response": "r"})

    assert deeper(100) == "ar"
    with pytest.raises(TemplateError, match="too deep"):
        deeper(700)
